//! Asking the service: units, panics and deadlines are dealt with here, and the reply becomes a frame.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tracing::{error, warn};

use super::{HEADER, MAX_FRAME};
use crate::proto::adu::mbap_header;
use crate::proto::pdu::is_read;
use crate::proto::server::{After, Completion, is_diagnostic};
use crate::proto::{Adu, ExceptionCode, UnitId};
use crate::server::options::MissingUnit;
use crate::server::shared::Shared;
use crate::service::{Call, Peer, Reply, Service};

/// Whom to ask, and on whose behalf.
pub(in crate::server) struct Asker<'a, S> {
    pub(in crate::server) service: &'a S,
    pub(in crate::server) shared: &'a Shared,
    pub(in crate::server) peer: &'a Peer,
    /// Whether every unit is asked at once.
    pub(in crate::server) broadcast: bool,
}

impl<S: Service> Asker<'_, S> {
    /// Asks a service whether it answers at once: the length of the frame, if there is an answer to send. Nobody is told.
    /// A panic of the service passes through.
    #[inline]
    pub(super) fn answer_now(&self, request: &Adu<'_>, frame: &mut [u8; MAX_FRAME]) -> Option<Option<usize>> {
        let reply = if self.shared.serves(request.unit) {
            self.service.call_now(&mut self.call(request.unit, request.pdu, &mut frame[HEADER..]))?
        } else {
            self.not_served()
        };
        Some(finish_frame(reply, request, frame))
    }

    /// Asks a service whether it answers at once; its response goes to the front of `response`, which holds 253 bytes.
    /// The hooks are told. A panic of the service passes through.
    pub(super) fn try_now(&self, unit: UnitId, pdu: &[u8], response: &mut [u8]) -> Option<Reply> {
        match self.announce(unit, pdu) {
            None => self.service.call_now(&mut self.call(unit, pdu, response)),
            not_served => not_served,
        }
    }

    /// Counts what became of a request of this function.
    #[cold]
    pub(super) fn count(&self, function: u8, completion: Completion) {
        if let Some(counts) = self.shared.counts() {
            counts.request(function, completion);
        }
    }

    /// As [`try_now`](Self::try_now), with a panic answered.
    pub(in crate::server) fn ask_now(&self, unit: UnitId, pdu: &[u8], response: &mut [u8]) -> Option<Reply> {
        match catch_unwind(AssertUnwindSafe(|| self.try_now(unit, pdu, response))) {
            Ok(reply) => reply,
            Err(panic) => Some(self.panicked(unit, pdu, &*panic)),
        }
    }

    /// Asks a service that takes its time, and that has said so by `ask_now`.
    pub(in crate::server) async fn ask(&self, unit: UnitId, pdu: &[u8], response: &mut [u8]) -> Reply {
        let call = self.call(unit, pdu, response);
        let mut answer = match catch_unwind(AssertUnwindSafe(|| self.service.call(call))) {
            Ok(answer) => pin!(answer),
            Err(panic) => return self.panicked(unit, pdu, &*panic),
        };
        let answer = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(self.panicked(unit, pdu, &*panic)),
        });
        match self.shared.options.request_deadline {
            None => answer.await,
            Some(limit) => match tokio::time::timeout(limit, answer).await {
                Ok(reply) => reply,
                Err(_) => self.took_too_long(unit, pdu, limit),
            },
        }
    }

    /// Answers what is asked about the server itself; `None` for everything else.
    pub(in crate::server) fn diagnose(&self, unit: UnitId, pdu: &[u8], response: &mut [u8]) -> Option<(Reply, After)> {
        if !is_diagnostic(pdu[0]) {
            return None;
        }
        if let Some(not_served) = self.announce(unit, pdu) {
            return Some((not_served, After::default()));
        }
        if let Err(refused) = self.allowed(unit, pdu, response) {
            return Some((refused, After::default()));
        }
        let answer = self.shared.diagnostics.lock().answer(pdu)?;
        let reply = answer.reply.map(|reply| self.call(unit, pdu, response).respond_pdu(&reply));
        Some((reply.unwrap_or(Reply::Silent), answer.after))
    }

    /// Whether the service lets the server do what it is asked itself; the reply when it does not.
    fn allowed(&self, unit: UnitId, pdu: &[u8], response: &mut [u8]) -> Result<(), Reply> {
        let call = self.call(unit, pdu, response);
        match catch_unwind(AssertUnwindSafe(|| self.service.allows(&call))) {
            Ok(allowed) => allowed.map_err(Reply::Exception),
            Err(panic) => Err(self.panicked(unit, pdu, &*panic)),
        }
    }

    /// A broadcast that the server answers itself; `None` for every other one.
    pub(in crate::server) fn diagnose_everywhere(
        &self,
        pdu: &[u8],
        response: &mut [u8],
    ) -> Option<(Completion, After)> {
        if !is_diagnostic(pdu[0]) {
            return None;
        }
        if let Err(refused) = self.allowed(UnitId::BROADCAST, pdu, response) {
            return Some((completion(&refused, response), After::default()));
        }
        let answer = self.shared.diagnostics.lock().answer(pdu)?;
        Some((answer.completion(), answer.after))
    }

    /// A broadcast: every unit does it, and none says so. Reading makes no sense then (SL 2.4.1). Of several refusals
    /// the first one is returned.
    pub(in crate::server) async fn ask_everywhere(&self, pdu: &[u8], response: &mut [u8]) -> Completion {
        if is_read(pdu) {
            return Completion::Ignored;
        }
        let units: &[UnitId] = self.shared.options.units.as_deref().unwrap_or_default();
        // 0 among them is no unit of its own here. Where there are none, the service is to know which there are.
        let each = units.iter().copied().filter(|unit| !unit.is_broadcast());
        let all_of_them = self.shared.options.units.is_none().then_some(UnitId::BROADCAST);
        let mut all = Completion::Done;
        for unit in each.chain(all_of_them) {
            let reply = match self.ask_now(unit, pdu, response) {
                Some(reply) => reply,
                None => self.ask(unit, pdu, response).await,
            };
            if let (Completion::Done, refused @ Completion::Refused(_)) = (all, completion(&reply, response)) {
                all = refused;
            }
        }
        all
    }

    #[inline]
    fn call<'c>(&'c self, unit: UnitId, pdu: &'c [u8], response: &'c mut [u8]) -> Call<'c> {
        Call::new(unit, self.peer, pdu, response).as_broadcast(self.broadcast)
    }

    /// Tells the hooks; the reply for units that are not served.
    fn announce(&self, unit: UnitId, pdu: &[u8]) -> Option<Reply> {
        if !self.shared.serves(unit) {
            return Some(self.not_served());
        }
        if self.shared.is_watched() {
            self.shared.tell(|hooks| hooks.request(self.peer, unit, pdu));
        }
        None
    }

    #[cold]
    fn not_served(&self) -> Reply {
        match self.shared.options.missing_units {
            MissingUnit::Answer(code) => Reply::Exception(code),
            MissingUnit::Ignore => Reply::Silent,
        }
    }

    /// What was begun and takes too long is dropped, and nobody knows what became of it.
    fn took_too_long(&self, unit: UnitId, pdu: &[u8], limit: Duration) -> Reply {
        let code = self.shared.options.deadline_exception;
        warn!(
            target: "dinrail::server",
            server = %self.shared.options.name, peer = %self.peer, %unit, function = pdu[0],
            "the service took longer than {limit:?}: answered with exception {code}"
        );
        Reply::Exception(code)
    }

    /// The reply to a request at which the service panicked.
    #[cold]
    pub(super) fn panicked(&self, unit: UnitId, pdu: &[u8], panic: &(dyn Any + Send)) -> Reply {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        error!(
            target: "dinrail::server",
            server = %self.shared.options.name, peer = %self.peer, %unit, function = pdu[0], panic = text,
            "the service panicked: answered with exception 0x04"
        );
        Reply::Exception(ExceptionCode::ServerDeviceFailure)
    }
}

/// What a reply means; that of a device behind the service may be an exception as well.
pub(in crate::server) fn completion(reply: &Reply, response: &[u8]) -> Completion {
    match reply {
        Reply::Exception(code) => Completion::Refused(*code),
        Reply::Response(_) if response[0] >= 0x80 => Completion::Refused(response[1].into()),
        Reply::Response(_) => Completion::Done,
        Reply::Silent => Completion::Ignored,
    }
}

/// What a frame means whose PDU begins like this; it has no length when it is not sent.
pub(super) fn completion_of(pdu: &[u8], length: Option<usize>) -> Completion {
    match length {
        None => Completion::Ignored,
        Some(_) if pdu[0] >= 0x80 => Completion::Refused(pdu[1].into()),
        Some(_) => Completion::Done,
    }
}

/// Puts the header in front of a response, or an exception behind it; returns the frame's length, or `None` when the
/// client gets no answer.
#[inline]
pub(super) fn finish_frame(reply: Reply, request: &Adu<'_>, frame: &mut [u8]) -> Option<usize> {
    let length = match reply {
        Reply::Response(written) => written.length(),
        Reply::Exception(code) => except(code, request.pdu[0], &mut frame[HEADER..]),
        Reply::Silent => return None,
    };
    frame[..HEADER].copy_from_slice(&mbap_header(request.transaction, request.unit, length));
    Some(HEADER + length)
}

/// Writes an exception's PDU and returns its length.
#[cold]
pub(super) fn except(code: ExceptionCode, function: u8, pdu: &mut [u8]) -> usize {
    (pdu[0], pdu[1]) = (function | 0x80, code.code());
    2
}
