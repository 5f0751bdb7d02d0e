//! Understanding what others say to each other: frames of a line that is only listened to become exchanges, requests
//! with their replies.
//!
//! Nothing here waits or reads a clock; time is an argument. An [`Observer`] is given the bytes of one line or connection
//! and says what they mean; with the feature `capture`, a [`Capture`] reads a file of packets and has an observer for
//! each connection in it. A [`Summary`] counts.
//!
//! It is in the library and not in the command line, which shows it, since a gateway or a test rig wants the same.

#[cfg(feature = "capture")]
mod capture;
#[cfg(feature = "capture")]
mod flow;
mod observer;
mod pairs;
mod summary;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[cfg(feature = "capture")]
pub use self::capture::{Capture, CaptureOptions};
pub use self::observer::Observer;
pub use self::summary::{Summary, UnitSummary};
use crate::proto::adu::Discard;
use crate::proto::{ExceptionCode, FunctionCode, Pdu, UnitId};

/// Something that was seen on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// Where: the client and the server of a connection, or a serial line.
    pub link: Arc<str>,
    /// The server of a connection, or the serial line: where a unit is at home.
    pub server: Arc<str>,
    /// What.
    pub event: Event,
}

impl Seen {
    /// Something that was seen between these, as people call them.
    pub fn new(link: Arc<str>, server: Arc<str>, event: Event) -> Self {
        Self { link, server, event }
    }
}

/// What an [`Observer`] makes of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "nearly every event is an exchange")]
pub enum Event {
    /// A request and what became of it.
    Exchange(Exchange),
    /// Bytes that are no frame.
    Garbage {
        /// When the last of them came.
        at: SystemTime,
        /// At least one, and 512 at most.
        bytes: Vec<u8>,
        /// Why they are none.
        reason: Discard,
        /// The unit whose reply was due then, on a line with one request at a time.
        awaited: Option<UnitId>,
    },
    /// Bytes of a TCP connection that the capture does not have.
    Gap {
        /// When it was noticed.
        at: SystemTime,
        /// How many.
        bytes: u32,
    },
}

/// A request with its reply, or one without the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// When the request came; without one, the reply.
    pub at: SystemTime,
    /// Who was asked.
    pub unit: UnitId,
    /// The transaction id, on framings that have one.
    pub transaction: Option<u16>,
    /// What was asked.
    pub request: Option<Pdu>,
    /// What was answered.
    pub reply: Option<Pdu>,
    /// How long the answer took, from the last byte of the request to the last byte of the reply.
    pub elapsed: Option<Duration>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The reply fits.
    Answered,
    /// The reply is an exception.
    Refused(ExceptionCode),
    /// The reply has the request's function, but does not fit it otherwise.
    Misanswered,
    /// Nothing came: before the next request on a line with one at a time, or within the time that was given.
    Unanswered,
    /// Nobody answers such a request: a broadcast on a line that is shared, or FC 8 / 4.
    NotToBeAnswered,
    /// A reply that belongs to no request that was seen.
    Unasked,
}

impl Exchange {
    /// The function.
    pub fn function(&self) -> Option<FunctionCode> {
        let pdu = self.request.as_ref().or(self.reply.as_ref())?;
        FunctionCode::new(pdu.function_byte() & 0x7F)
    }
}
