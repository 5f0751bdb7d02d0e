//! How a client uses its line.

use core::time::Duration;

use crate::Framing;
use crate::adu::CustomLength;

/// How a [`Connection`](super::Connection) uses its line. Build it with [`Options::new`] and set what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How frames are laid on the line.
    pub framing: Framing,
    /// How many requests may be unanswered at a time, 1 to the connection's `N`. Serial framings carry no transaction
    /// id, so there it is always 1. Default 1: some devices break with more than one (pipelining is opt-in).
    pub depth: usize,
    /// Serial: how long a broadcast takes before the next request may follow, the turnaround delay (SL 2.4.1, 100 to
    /// 200 ms). A broadcast call ends when it has passed. Default 100 ms.
    pub broadcast_delay: Duration,
    /// Serial: the silence that must precede a request, t3.5 (SL 2.5.1.1). Default zero, for lines that have no silence,
    /// such as RTU frames over TCP.
    pub frame_gap: Duration,
    /// Serial: how long one byte takes on the line. The response timeout counts from when the request has left, so
    /// that a long request at a low speed is not charged for its own way out. Default zero.
    pub byte_time: Duration,
    /// Serial: how long a unit that did not answer in time is left alone, unless its late reply comes first. Nothing in
    /// a serial frame tells a late reply from the answer to the next request, so this is what keeps them apart.
    /// `None`, the default, takes the timeout of the call that got no answer.
    pub quarantine: Option<Duration>,
    /// Serial: whether the line repeats what we send (two-wire RS-485 adapters that leave their receiver on).
    pub local_echo: bool,
    /// RTU: how long the replies to functions are that the specification does not define, so that they are framed
    /// without waiting for silence. Default none.
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

    /// Whether the framing has no transaction ids, so that only one request can be out at a time.
    pub(super) const fn is_serial(&self) -> bool {
        !matches!(self.framing, Framing::Tcp)
    }
}
