//! What passes, as events of `tracing`.

use std::fmt;
use std::time::SystemTime;

use tracing::{debug, trace};

use super::{Frame, Garbage, Kind, Link, Sink};
use crate::transport::Direction;

/// Makes an event of each frame, on the target `dinrail::wire`: at level DEBUG, with the fields `peer`, `link`,
/// `direction` (`sent`, `received`), `kind` (`request`, `reply`, `frame`), `transaction`, `unit`, `function`, `address`,
/// `count`, `exception`, `length` (of the frame, in bytes) and `hex`, where they apply. Bytes that are no frame are an
/// event too; so are the beginning and the end of a connection, at level TRACE.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    hex: bool,
}

impl Trace {
    /// Without the bytes of frames.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the bytes of each frame, as hexadecimal digits.
    #[must_use]
    pub fn with_hex(mut self) -> Self {
        self.hex = true;
        self
    }
}

impl Sink for Trace {
    fn opened(&self, link: &Link, _: SystemTime) {
        trace!(target: "dinrail::wire", peer = %link.peer, link = link.id, role = ?link.role, framing = ?link.framing, "opened");
    }

    fn frame(&self, link: &Link, frame: &Frame<'_>) {
        debug!(
            target: "dinrail::wire",
            peer = %link.peer,
            link = link.id,
            direction = way(frame.direction),
            kind = match frame.kind {
                Kind::Request => "request",
                Kind::Reply => "reply",
                Kind::Either => "frame",
            },
            transaction = frame.adu.transaction,
            unit = frame.adu.unit.0,
            function = frame.function().map(tracing::field::display),
            address = frame.address(),
            count = frame.count(),
            exception = frame.exception().map(tracing::field::display),
            length = frame.bytes.len(),
            hex = self.hex.then(|| tracing::field::display(Hex(frame.bytes))),
        );
    }

    fn garbage(&self, link: &Link, garbage: &Garbage<'_>) {
        debug!(
            target: "dinrail::wire",
            peer = %link.peer,
            link = link.id,
            direction = way(garbage.direction),
            length = garbage.bytes.len(),
            reason = ?garbage.reason,
            hex = self.hex.then(|| tracing::field::display(Hex(garbage.bytes))),
            "no frame"
        );
    }

    fn closed(&self, link: &Link, _: SystemTime) {
        trace!(target: "dinrail::wire", peer = %link.peer, link = link.id, "closed");
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
