//! One call: its request until it is answered, then its answer.

use core::time::Duration;

use super::Options;
use super::outcome::{Failure, Mismatch, Outcome};
use crate::error::ReplyError;
use crate::pdu::diagnostics::Diagnostic;
use crate::pdu::{ExceptionCode, FunctionCode, Pdu, Request, Response};
use crate::{Adu, Instant, UnitId};

/// Names a call of one [`Connection`](super::Connection), until its outcome was taken or it was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    pub(super) slot: u8,
    pub(super) generation: u32,
}

impl CallId {
    /// Which of the connection's `N` slots the call has: no two open calls share one. For tables beside the connection.
    pub const fn index(self) -> usize {
        self.slot as usize
    }
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Free,
    Waiting,
    /// Sent, unanswered.
    Open,
    /// The PDU is the response.
    Answered,
    Excepted(ExceptionCode),
    Sent,
    Failed(Failure),
}

/// In this order in memory, so that a call on an otherwise idle line touches but the first bytes of a PDU.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slot {
    pub(super) generation: u32,
    /// Which waiting call came first.
    pub(super) order: u32,
    pub(super) transaction: u16,
    pub(super) unit: UnitId,
    /// Nobody waits for it any more: its reply is swallowed.
    pub(super) abandoned: bool,
    pub(super) timeout: Duration,
    /// When it is given up; counts from sending.
    pub(super) deadline: Instant,
    pub(super) stage: Stage,
    pub(super) mismatch: Option<Mismatch>,
    pub(super) pdu: Pdu,
}

impl Slot {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Free,
            generation: 0,
            order: 0,
            abandoned: false,
            unit: UnitId(0),
            transaction: 0,
            timeout: Duration::ZERO,
            deadline: Instant::ZERO,
            mismatch: None,
            pdu: Pdu::exception(1, ExceptionCode::IllegalFunction),
        }
    }

    pub(super) const fn has_ended(&self) -> bool {
        !matches!(self.stage, Stage::Free | Stage::Waiting | Stage::Open)
    }

    /// The request on the line.
    pub(super) fn adu(&self) -> Adu<'_> {
        Adu { transaction: self.transaction, unit: self.unit, pdu: self.pdu.as_bytes() }
    }

    /// Puts the response in the place of the request.
    pub(super) fn answer(&mut self, response: &[u8]) {
        let filled: Result<(), ()> = self.pdu.refill(|out| {
            let room = out.get_mut(..response.len()).ok_or(())?;
            room.copy_from_slice(response);
            Ok(response.len())
        });
        debug_assert_eq!(filled, Ok(()), "a decoder gives 1 to 253 bytes");
    }

    /// What the call came to, once it has ended.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.stage {
            Stage::Free | Stage::Waiting | Stage::Open => None,
            Stage::Answered => Some(Outcome::Response(self.pdu)),
            Stage::Excepted(code) => Some(Outcome::Exception(code)),
            Stage::Sent => Some(Outcome::Sent),
            Stage::Failed(failure) => Some(Outcome::Failed(failure)),
        }
    }

    /// When it was sent.
    pub(super) fn sent(&self) -> Instant {
        let timeout = Instant::from(self.timeout);
        Instant::from_micros(self.deadline.as_micros().saturating_sub(timeout.as_micros()))
    }

    /// Whether nobody answers this request.
    pub(super) fn is_unanswered(&self, options: &Options) -> bool {
        let silences = || {
            let [high, low] = Diagnostic::FORCE_LISTEN_ONLY.0.to_be_bytes();
            self.pdu.as_bytes().starts_with(&[FunctionCode::DIAGNOSTICS.code(), high, low])
        };
        // Most calls are told by their first byte.
        (self.pdu.function_byte() == FunctionCode::DIAGNOSTICS.code() && silences()) || options.is_broadcast(self.unit)
    }
}

/// Holds a reply against the request in every field that the specification lets one check.
#[inline]
pub(super) fn verify(request: &Pdu, reply: &[u8]) -> Result<(), ReplyError> {
    match Request::decode(request.as_bytes()) {
        Ok(request) => Response::decode(&request, reply).map(drop),
        // A request that is not legal itself was sent on purpose: to see what the device does with it.
        Err(_) => verify_function(request.function_byte(), reply),
    }
}

fn verify_function(asked: u8, reply: &[u8]) -> Result<(), ReplyError> {
    let length = ReplyError::Length { received: reply.len() };
    let (&function, fields) = reply.split_first().ok_or(length)?;
    if function == asked {
        return Ok(());
    }
    match (function == asked | 0x80, fields) {
        (true, [code]) => Err(ReplyError::Exception(ExceptionCode::from(*code))),
        (true, _) => Err(length),
        (false, _) => match FunctionCode::new(asked) {
            Some(expected) => Err(ReplyError::Function { expected, received: function }),
            None => Err(ReplyError::Mismatch("function code")),
        },
    }
}
