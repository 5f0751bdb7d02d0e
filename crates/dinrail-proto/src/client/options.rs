//! How a client uses its line.

use core::time::Duration;

use crate::adu::CustomLength;
use crate::{Framing, UnitId};

/// How a [`Connection`](super::Connection) uses its line. Build it with [`Options::new`] and set what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How frames are laid on the line.
    pub framing: Framing,
    /// How many requests may be unanswered at a time, 1 to the connection's `N`; always 1 on framings without a
    /// [transaction id](Framing::has_transactions). Default 1: some devices break with more than one (pipelining is
    /// opt-in).
    pub depth: usize,
    /// Shared lines: how long a broadcast takes before the next request may follow, the turnaround delay (SL 2.4.1, 100 to
    /// 200 ms). A broadcast call ends when it has passed. Default 100 ms.
    pub broadcast_delay: Duration,
    /// Serial: the silence that must precede a request, t3.5 (SL 2.5.1.1). Default zero, for lines that have no silence,
    /// such as RTU frames over TCP.
    pub frame_gap: Duration,
    /// Serial: how long one byte takes on the line. The response timeout counts from when the request has left, so
    /// that a long request at a low speed is not charged for its own way out. Default zero.
    pub byte_time: Duration,
    /// Without transaction ids: how long a unit that did not answer in time is left alone, unless its late reply comes
    /// first. Nothing in the frame tells a late reply from the answer to the next request, so this is what keeps them
    /// apart. Without units too, that goes for all calls. `None`, the default, takes the timeout of the call that got no answer.
    pub quarantine: Option<Duration>,
    /// Shared lines: whether the line repeats what we send (two-wire RS-485 adapters that leave their receiver on).
    pub local_echo: bool,
    /// RTU and bare PDUs: how long the replies to functions are that the specification does not define, so that they are
    /// framed without waiting for silence. Default none.
    pub custom_lengths: &'static [CustomLength],
}

impl Options {
    /// One request at a time, no silence, no echo.
    pub const fn new(framing: Framing) -> Self {
        Self {
            framing,
            depth: 1,
            broadcast_delay: Duration::from_millis(100),
            frame_gap: Duration::ZERO,
            byte_time: Duration::ZERO,
            quarantine: None,
            local_echo: false,
            custom_lengths: &[],
        }
    }

    /// Whether nothing but the order of frames tells which request a reply is for, so that only one can be out at a time.
    pub(super) fn takes_turns(&self) -> bool {
        !self.framing.has_transactions()
    }

    /// The unit as far as the line knows of it: without units, all calls go to the same device.
    pub(super) fn addressed(&self, unit: UnitId) -> UnitId {
        if self.framing.has_units() { unit } else { UnitId::DIRECT }
    }

    /// Whether a call to this unit goes to every device of the line.
    pub(super) fn is_broadcast(&self, unit: UnitId) -> bool {
        unit.is_broadcast() && self.framing.is_shared_line()
    }
}
