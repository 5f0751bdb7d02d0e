//! One request and its answer, as a future. Dropping it never harms others: what was sent is still awaited and swallowed.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::core::{Caller, Core, Link, Pump, Shared};
use super::queue::{Place, Ticket};
use crate::Error;
use crate::proto::client::{CallId, Failure, Outcome, StartError};
use crate::proto::error::EncodeError;
use crate::proto::pdu::is_read;
use crate::proto::{FunctionCode, Instant, Pdu, Request, UnitId};

/// Sends a request once, and has the response taken where it lies. `None` when nobody answers such a request.
pub(super) struct Exchange<'c, F> {
    pub(super) shared: &'c Shared,
    pub(super) unit: UnitId,
    pub(super) timeout: Duration,
    pub(super) request: Asked<'c>,
    pub(super) take: F,
    pub(super) stage: Stage,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Asked<'c> {
    Request(&'c Request<'c>),
    /// Bytes as they are.
    Pdu(&'c Pdu),
}

impl Asked<'_> {
    fn function(&self) -> Option<FunctionCode> {
        match self {
            Self::Request(request) => Some(request.function()),
            Self::Pdu(pdu) => FunctionCode::new(pdu.function_byte()),
        }
    }

    /// Whether asking twice does the same as asking once, and changes nothing.
    pub(super) fn is_read(&self) -> bool {
        match self {
            Self::Request(Request::Custom { .. }) => false,
            Self::Request(request) => request.function().is_read(),
            Self::Pdu(pdu) => is_read(pdu.as_bytes()),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Stage {
    New,
    Queued(Ticket),
    /// With the moment at which it was.
    Started(CallId, Instant),
    Ended,
}

/// Nothing in it is pinned.
impl<F> Unpin for Exchange<'_, F> {}

impl<T, F: FnMut(&Pdu) -> T> Future for Exchange<'_, F> {
    type Output = Result<Option<T>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = self.shared;
        let mut core = shared.lock();
        let polled = match self.stage {
            Stage::New => self.admit(&mut core, cx),
            Stage::Queued(ticket) => self.poll_queued(&mut core, cx, ticket),
            Stage::Started(call, since) => self.poll_started(&mut core, cx, call, since),
            Stage::Ended => Poll::Pending, // polled again after it was ready: against the contract of futures
        };
        if polled.is_ready() {
            self.stage = Stage::Ended;
            // A call that was let in and could not be sent has left its slot to the next.
            if core.queue.is_waiting() {
                let room = core.connection.room();
                core.queue.grant(room);
            }
        }
        polled
    }
}

impl<T, F: FnMut(&Pdu) -> T> Exchange<'_, F> {
    fn admit(&mut self, core: &mut Core, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Error>> {
        if let Some(error) = self.hopeless(core) {
            return Poll::Ready(Err(error));
        }
        if !core.queue.lets_in(core.connection.room()) {
            let now = core.now();
            self.stage = Stage::Queued(core.queue.push(cx.waker().clone(), now, self.timeout));
            return Poll::Pending;
        }
        self.start(core, cx)
    }

    fn poll_queued(&mut self, core: &mut Core, cx: &mut Context<'_>, ticket: Ticket) -> Poll<Result<Option<T>, Error>> {
        match core.queue.poll(ticket, cx.waker()) {
            Place::Waiting => Poll::Pending,
            Place::Granted => {
                core.queue.leave(ticket);
                self.stage = Stage::New;
                match self.hopeless(core) {
                    Some(error) => Poll::Ready(Err(error)),
                    None => self.start(core, cx),
                }
            }
            Place::Refused | Place::Left => {
                core.queue.leave(ticket);
                Poll::Ready(Err(self.hopeless(core).unwrap_or_else(|| self.not_sent(core))))
            }
        }
    }

    fn start(&mut self, core: &mut Core, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Error>> {
        let started = match self.request {
            Asked::Request(request) => core.connection.start_request(self.unit, request, self.timeout),
            Asked::Pdu(pdu) => core.connection.start(self.unit, pdu, self.timeout),
        };
        let call = match started {
            Ok(call) => call,
            Err(StartError::Invalid(error)) => return Poll::Ready(Err(Error::Invalid(error))),
            // The queue lets in as many as there are slots.
            Err(_) => return Poll::Ready(Err(Error::Invalid(EncodeError::Field("too many calls at a time")))),
        };
        let now = core.now();
        self.stage = Stage::Started(call, now);
        let caller = Caller { call, waker: cx.waker().clone(), give_up: now + self.timeout, timeout: self.timeout };
        core.callers[call.index()] = Some(caller);
        match core.link {
            Link::Up(_) if core.is_lone() => {
                core.pump = Pump::Caller(call);
                if let Err(failure) = core.pump(cx, now, None) {
                    core.lose(failure, now);
                }
                if core.next_deadline().is_some_and(|at| core.armed.is_none_or(|armed| armed > at)) {
                    core.wake_driver();
                }
                // What stood in the stream may have ended it, but hardly ever does: the waker takes care of it.
                core.wake_callers();
            }
            Link::Up(_) => {
                let handed_over = core.pump != Pump::Driver;
                core.pump = Pump::Driver;
                if handed_over || core.connection.has_depth() {
                    core.wake_driver();
                }
            }
            _ => core.wake_driver(),
        }
        Poll::Pending
    }

    fn poll_started(
        &mut self,
        core: &mut Core,
        cx: &mut Context<'_>,
        call: CallId,
        since: Instant,
    ) -> Poll<Result<Option<T>, Error>> {
        if core.pump == Pump::Caller(call) && !core.connection.has_ended(call) {
            // On TCP it was sent when it was started, so it does not matter that `since` is not now. On a serial line it
            // may have waited for silence, or for a late reply, and is sent now.
            let now = if core.is_serial { core.now() } else { since };
            if let Err(failure) = core.pump(cx, now, Some(call)) {
                let now = core.now();
                core.lose(failure, now);
            }
        }
        let result = match core.connection.response(call) {
            Some(response) => Ok(Some((self.take)(response))),
            None => match core.connection.take(call) {
                Some(Outcome::Sent) => Ok(None),
                Some(Outcome::Exception(code)) => Err(Error::Exception(code)),
                Some(Outcome::Failed(failure)) => Err(self.failed(core, failure)),
                // A response is taken above.
                Some(Outcome::Response(_)) | None => {
                    if let Some(caller) = &mut core.callers[call.index()] {
                        caller.waker.clone_from(cx.waker());
                    }
                    return Poll::Pending;
                }
            },
        };
        core.connection.cancel(call);
        self.stage = Stage::Ended;
        core.leave(call);
        Poll::Ready(result)
    }
}

impl<F> Exchange<'_, F> {
    /// What a new call ends with at once, if there is no hope for it.
    fn hopeless(&self, core: &Core) -> Option<Error> {
        match core.link {
            Link::Closed => Some(Error::Closed { sent: false }),
            Link::Gone => Some(self.not_sent(core)),
            Link::Up(_) | Link::Down => None,
        }
    }

    fn failed(&self, core: &Core, failure: Failure) -> Error {
        let closed = matches!(core.link, Link::Closed);
        match (failure, self.request.function()) {
            (Failure::NotSent, _) if closed => Error::Closed { sent: false },
            (Failure::Lost, _) if closed => Error::Closed { sent: true },
            (Failure::Timeout { mismatch }, Some(function)) => {
                Error::Timeout { peer: self.peer(), function, after: self.timeout, instead: mismatch }
            }
            (Failure::Lost, Some(function)) => {
                Error::Lost { peer: self.peer(), function, source: core.failure.clone() }
            }
            _ => self.not_sent(core),
        }
    }

    fn not_sent(&self, core: &Core) -> Error {
        let source = core.failure.clone().unwrap_or_else(|| {
            let why = match core.link {
                Link::Up(_) => io::Error::new(io::ErrorKind::TimedOut, "the line is never silent"),
                _ => io::Error::new(io::ErrorKind::NotConnected, "the connection was closed by the peer"),
            };
            Arc::new(why)
        });
        Error::Connect { peer: self.peer(), source }
    }

    fn peer(&self) -> Arc<str> {
        self.shared.peer.clone()
    }
}

impl<F> Drop for Exchange<'_, F> {
    fn drop(&mut self) {
        match self.stage {
            Stage::New | Stage::Ended => {}
            Stage::Queued(ticket) => {
                let mut core = self.shared.lock();
                core.queue.leave(ticket);
                let room = core.connection.room();
                core.queue.grant(room);
            }
            Stage::Started(call, _) => {
                let mut core = self.shared.lock();
                core.connection.cancel(call);
                core.leave(call);
            }
        }
    }
}
