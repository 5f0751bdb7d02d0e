//! One request and its answer, as a future. Dropping it never harms others: what was sent is still awaited and swallowed.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

use super::Client;
use super::core::{Core, Link, Pump};
use super::queue::{Place, Ticket};
use super::retry::{Retry, nothing_was_done};
use crate::Error;
use crate::proto::client::{CallId, Failure, Outcome, StartError};
use crate::proto::error::EncodeError;
use crate::proto::pdu::{Area, is_read};
use crate::proto::{FunctionCode, Pdu, Request, Response, UnitId};
use crate::transport::fault;

/// Sends a request, again if need be, and has `take` make something of the response where it lies. There is none when
/// nobody answers such a request.
pub(super) struct Exchange<'c, A, F> {
    client: &'c Client,
    unit: UnitId,
    request: A,
    take: F,
    /// It is passed on for somebody else.
    forwarded: bool,
    tries: u32,
    stage: Stage,
    /// Of a call that is tried again, has a deadline, or waits for its turn. Kept apart: most calls are none of these.
    aside: Option<Box<Aside>>,
}

/// What few calls need.
#[derive(Default)]
struct Aside {
    /// When the call is over, whatever is tried still.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Until it is tried, or tried again.
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    /// What the tries so far ended with.
    last: Option<Error>,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Asked<'c> {
    Request(Request<'c>),
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

    /// What a response says that was held against the request before.
    pub(super) fn response<'r>(&self, pdu: &'r [u8]) -> Option<Response<'r>> {
        match self {
            Self::Request(request) => Response::decode(request, pdu).ok(),
            Self::Pdu(asked) => Response::decode(&Request::decode(asked.as_bytes()).ok()?, pdu).ok(),
        }
    }

    /// Whether asking twice does the same as asking once, and changes nothing.
    fn is_read(&self) -> bool {
        match self {
            Self::Request(Request::Custom { .. }) => false,
            Self::Request(request) => request.function().is_read(),
            Self::Pdu(pdu) => is_read(pdu.as_bytes()),
        }
    }

    /// Whether it may change something. A function of one's own that bears the number of a read is none.
    #[cold]
    fn may_write(&self) -> bool {
        match self {
            Self::Request(Request::Custom { function, data }) => match data.first() {
                Some(first) => !is_read(&[function.code(), *first]),
                None => !is_read(&[function.code()]),
            },
            _ => !self.is_read(),
        }
    }
}

/// What can be asked: a form of its own for requests that are made often, so that their way is known when it is compiled.
pub(super) trait Ask {
    fn asked(&self) -> Asked<'_>;
}

impl Ask for Asked<'_> {
    #[inline]
    fn asked(&self) -> Asked<'_> {
        *self
    }
}

/// Coils or registers that are read.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub(super) area: Area,
    pub(super) address: u16,
    pub(super) count: u16,
}

impl Ask for Read {
    #[inline]
    fn asked(&self) -> Asked<'_> {
        let Self { area, address, count } = *self;
        Asked::Request(Request::Read { area, address, count })
    }
}

// Nothing in it is to be dropped, which spares every call a look.
#[derive(Clone, Copy)]
enum Stage {
    /// Of a client with a deadline or a limit: what they need is not there yet.
    Unprepared,
    New,
    Queued(Ticket),
    Started(CallId),
    /// Until the pause is over.
    Paused,
    Ended,
}

/// Nothing in it is pinned.
impl<A, F> Unpin for Exchange<'_, A, F> {}

impl<T, A: Ask, F: FnMut(&Asked<'_>, Option<&[u8]>) -> Result<T, Error>> Future for Exchange<'_, A, F> {
    type Output = Result<T, Error>;

    /// The short way first: that of a call that has a line of TCP for itself, is sent at once and answered in one piece. If
    /// things are not like that, or not any more, the usual way goes on from here.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let asked = this.request.asked();
        if let Asked::Request(request) = &asked {
            match this.stage {
                Stage::New => {
                    let sent = this.client.shared.lock().send_alone(cx, this.unit, request, this.client.timeout);
                    if let Some(call) = sent {
                        this.stage = Stage::Started(call);
                        return Poll::Pending;
                    }
                }
                Stage::Started(call) => {
                    let mut core = this.client.shared.lock();
                    let take = |response: &[u8]| (this.take)(&asked, Some(response));
                    let polled = core.read_alone(cx, call, request, take);
                    if polled.is_ready() {
                        this.stage = Stage::Ended;
                        return polled;
                    }
                }
                _ => {}
            }
        }
        this.poll_among_others(cx)
    }
}

impl<'c, T, A: Ask, F: FnMut(&Asked<'_>, Option<&[u8]>) -> Result<T, Error>> Exchange<'c, A, F> {
    /// `take` is given the request as well. Nothing happens before it is polled.
    #[inline]
    pub(super) fn new(client: &'c Client, request: A, take: F) -> Self {
        let stage = if client.is_plain { Stage::New } else { Stage::Unprepared };
        Self { client, unit: client.unit, request, take, forwarded: false, tries: 1, stage, aside: None }
    }

    /// The request is another's: it goes to that one's unit, and is not repeated if it writes.
    pub(super) fn forwarded_to(mut self, unit: UnitId) -> Self {
        self.unit = unit;
        self.forwarded = true;
        self
    }

    /// The usual way.
    #[inline(never)] // so that the short way stays short
    fn poll_among_others(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let polled = self.poll_tries(cx);
        if polled.is_pending() && self.aside.is_some() { self.poll_deadline(cx) } else { polled }
    }

    fn poll_tries(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        loop {
            match self.stage {
                Stage::Unprepared => {
                    self.prepare();
                    continue;
                }
                Stage::Paused => {
                    if let Some(aside) = &mut self.aside
                        && let Some(pause) = &mut aside.pause
                    {
                        ready!(pause.as_mut().poll(cx));
                        aside.pause = None;
                    }
                    self.stage = Stage::New;
                }
                _ => {}
            }
            match ready!(self.poll_call(cx)) {
                Ok(taken) => return Poll::Ready(Ok(taken)),
                Err(error) => self.pause_after(error)?,
            }
        }
    }

    #[cold]
    fn prepare(&mut self) {
        let deadline = self.client.rest.retry.deadline.map(|deadline| Box::pin(tokio::time::sleep(deadline)));
        self.aside = Some(Box::new(Aside { deadline, ..Aside::default() }));
        self.stage = Stage::New;
        if let Some(limit) = &self.client.rest.limit {
            self.pause(limit.clone().into_turn());
        }
    }

    #[cold]
    fn pause(&mut self, pause: impl Future<Output = ()> + Send + Sync + 'static) {
        self.aside.get_or_insert_default().pause = Some(Box::pin(pause));
        self.stage = Stage::Paused;
    }

    /// A call that is not over yet is over when its deadline is.
    #[cold]
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let Some(aside) = &mut self.aside else { return Poll::Pending };
        let Some(deadline) = &mut aside.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(cx));
        let last = aside.last.take();
        let mut core = self.client.shared.lock();
        let after = self.client.rest.retry.deadline.unwrap_or_default();
        let overdue = match (&self.stage, self.request.asked().function()) {
            (Stage::Started(call), Some(function)) if !core.connection.is_unsent(*call) => {
                let may_write = self.request.asked().may_write();
                Error::Timeout { peer: self.peer(), function, after, instead: None, may_write }
            }
            _ => last.unwrap_or_else(|| self.no_turn(&core, after)),
        };
        self.give_up(&mut core);
        Poll::Ready(Err(overdue))
    }

    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let client = self.client;
        let core = &mut *client.shared.lock();
        let polled = match self.stage {
            Stage::New => self.admit(core, cx),
            Stage::Queued(ticket) => self.poll_queued(core, cx, ticket),
            Stage::Started(call) => self.poll_started(core, cx, call),
            // Polled again after it was ready: against the contract of futures.
            Stage::Unprepared | Stage::Paused | Stage::Ended => Poll::Pending,
        };
        if polled.is_ready() {
            self.stage = Stage::Ended;
            // A call that was let in and could not be sent has left its slot to the next.
            core.grant();
        }
        polled
    }

    /// Tries again after a while, or passes the error on.
    #[cold]
    fn pause_after(&mut self, error: Error) -> Result<(), Error> {
        let retry = self.client.rest.retry;
        let retry = Retry { writes: retry.writes && !self.forwarded, ..retry };
        let again = retry.after(self.tries, self.request.asked().is_read(), &error);
        let before = self.aside.as_mut().and_then(|aside| aside.last.take());
        let error = match before.filter(Error::outcome_unknown) {
            // That nothing came of this try says nothing about the one before it.
            Some(before) if self.request.asked().may_write() && nothing_was_done(&error) => before,
            _ => error,
        };
        match again {
            Some(wait) => {
                self.tries += 1;
                let limit = self.client.rest.limit.clone();
                self.pause(async move {
                    tokio::time::sleep(wait).await;
                    if let Some(limit) = limit {
                        limit.turn().await;
                    }
                });
                self.aside.get_or_insert_default().last = Some(error);
                Ok(())
            }
            None => Err(error),
        }
    }

    fn admit(&mut self, core: &mut Core, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        if let Some(error) = self.hopeless(core) {
            return Poll::Ready(Err(error));
        }
        if !core.queue.lets_in(core.connection.room()) {
            let now = core.now();
            self.stage = Stage::Queued(core.queue.push(cx.waker().clone(), now, self.client.timeout));
            return Poll::Pending;
        }
        self.start(core, cx)
    }

    fn poll_queued(&mut self, core: &mut Core, cx: &mut Context<'_>, ticket: Ticket) -> Poll<Result<T, Error>> {
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

    fn start(&mut self, core: &mut Core, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let timeout = self.client.timeout;
        let started = match &self.request.asked() {
            Asked::Request(request) => core.connection.start_request(self.unit, request, timeout),
            Asked::Pdu(pdu) => core.connection.start(self.unit, pdu, timeout),
        };
        let call = match started {
            Ok(call) => call,
            Err(StartError::Invalid(error)) => return Poll::Ready(Err(Error::Invalid(error))),
            // The queue lets in as many as there are slots.
            Err(_) => return Poll::Ready(Err(Error::Invalid(EncodeError::Field("too many calls at a time")))),
        };
        let now = core.now();
        self.stage = Stage::Started(call);
        let deadline = now + timeout;
        core.enter(call, cx.waker(), deadline, timeout);
        match core.link {
            Link::Up(_) if core.is_lone() => {
                core.pump = Pump::Caller(call);
                if let Err(failure) = core.pump(cx, now, None) {
                    core.lose(failure, now);
                }
                core.arm(deadline);
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

    fn poll_started(&mut self, core: &mut Core, cx: &mut Context<'_>, call: CallId) -> Poll<Result<T, Error>> {
        if core.pump == Pump::Caller(call) && !core.connection.has_ended(call) {
            let now = core.now();
            if let Err(failure) = core.pump(cx, now, Some(call)) {
                core.lose(failure, now);
            }
        }
        let result = match core.connection.response(call) {
            Some(response) => (self.take)(&self.request.asked(), Some(response.as_bytes())),
            None => match core.connection.take(call) {
                Some(Outcome::Sent) => (self.take)(&self.request.asked(), None),
                Some(Outcome::Exception(code)) => Err(Error::Exception(code)),
                Some(Outcome::Failed(failure)) => Err(self.failed(core, failure)),
                // A response is taken above.
                Some(Outcome::Response(_)) | None => {
                    core.stay(call, cx.waker());
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

impl<A: Ask, F> Exchange<'_, A, F> {
    /// What a new call ends with at once, if there is no hope for it.
    fn hopeless(&self, core: &Core) -> Option<Error> {
        match core.link {
            Link::Closed => Some(Error::Closed { sent: false }),
            Link::Gone => Some(self.not_sent(core)),
            Link::Refused(option) => Some(Error::Option(option)),
            Link::Up(_) | Link::Down => None,
        }
    }

    fn failed(&self, core: &Core, failure: Failure) -> Error {
        let closed = matches!(core.link, Link::Closed);
        match (failure, self.request.asked().function()) {
            (Failure::NotSent, _) if closed => Error::Closed { sent: false },
            (Failure::Lost, _) if closed => Error::Closed { sent: true },
            (Failure::Timeout { mismatch }, Some(function)) => {
                let may_write = self.request.asked().may_write();
                Error::Timeout { peer: self.peer(), function, after: self.client.timeout, instead: mismatch, may_write }
            }
            (Failure::Lost, Some(function)) => {
                let may_write = self.request.asked().may_write();
                Error::Lost { peer: self.peer(), function, source: core.failure.clone(), may_write }
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

    /// The call's deadline has passed before it could be sent.
    fn no_turn(&self, core: &Core, after: Duration) -> Error {
        let source = core.failure.clone().unwrap_or_else(|| {
            Arc::new(match core.link {
                Link::Up(_) => {
                    let what = format!("other calls had the line for all of {after:?}; take a longer deadline");
                    fault(io::ErrorKind::TimedOut, what)
                }
                _ => io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {after:?}")),
            })
        });
        Error::Connect { peer: self.peer(), source }
    }

    fn peer(&self) -> Arc<str> {
        self.client.shared.peer.clone()
    }
}

impl<A, F> Exchange<'_, A, F> {
    #[cold]
    #[inline(never)] // so that the drop of a call that is over is short
    fn abandon(&mut self) {
        let client = self.client;
        self.give_up(&mut client.shared.lock());
    }

    /// Leaves the queue, or a call that was sent to its fate.
    fn give_up(&mut self, core: &mut Core) {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Unprepared | Stage::New | Stage::Paused | Stage::Ended => {}
            Stage::Queued(ticket) => {
                core.queue.leave(ticket);
                core.grant();
            }
            Stage::Started(call) => {
                core.connection.cancel(call);
                core.leave(call);
            }
        }
    }
}

impl<A, F> Drop for Exchange<'_, A, F> {
    #[inline]
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Queued(_) | Stage::Started(_)) {
            self.abandon();
        }
    }
}
