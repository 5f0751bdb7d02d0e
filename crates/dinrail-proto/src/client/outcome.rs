//! How a call ends.

use core::fmt;

use crate::UnitId;
use crate::error::ReplyError;
use crate::pdu::{ExceptionCode, Pdu};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "without allocation there is nowhere else to put a PDU")]
pub enum Outcome {
    /// The answer. It fits the request: [`Response::decode`](crate::Response::decode) succeeds on it. (A request that is
    /// itself not legal is only held against the reply's function code.)
    Response(Pdu),
    /// The server refused: nothing was done.
    Exception(ExceptionCode),
    /// Sent, and nobody answers such a request: a broadcast, or FC 8 / 4, which silences the device.
    Sent,
    /// No answer.
    Failed(Failure),
}

/// Why a call ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The request was sent and no fitting answer came in time. What became of a write is unknown.
    Timeout {
        /// The last reply that claimed to be for this call and did not fit it, if there was one: it tells a device that
        /// answers nonsense from one that is dead.
        mismatch: Option<Mismatch>,
    },
    /// The connection broke after the request was sent. What became of a write is unknown.
    Lost,
    /// The request was not sent: nothing was done.
    NotSent,
}

/// Why a reply was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// It has the call's transaction id and another unit.
    Unit {
        /// The unit that was asked.
        expected: UnitId,
        /// The unit that the reply names.
        received: UnitId,
    },
    /// It is not what the request asks for.
    Reply(ReplyError),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit { expected, received } => {
                write!(f, "the reply comes from unit {received}, asked was unit {expected}")
            }
            Self::Reply(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// What a connection has seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that ended without an answer because their time was up.
    pub timeouts: u64,
    /// Replies to calls that had already timed out.
    pub late: u64,
    /// Frames that belong to no call at all.
    pub orphans: u64,
    /// Replies that claimed to be for an open call and did not fit it.
    pub mismatches: u64,
    /// Bytes that were no frame.
    pub noise: u64,
}
