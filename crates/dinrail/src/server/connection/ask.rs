//! Asking the service: units, panics and deadlines are dealt with here, and the reply becomes a frame.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::HEADER;
use crate::proto::{Adu, ExceptionCode, UnitId};
use crate::server::options::MissingUnit;
use crate::server::shared::Shared;
use crate::service::{Call, Peer, Reply, Service};

/// Whom to ask, and on whose behalf.
pub(super) struct Asker<'a, S> {
    pub(super) service: &'a S,
    pub(super) shared: &'a Shared,
    pub(super) peer: &'a Peer,
}

impl<S: Service> Asker<'_, S> {
    /// Asks the service; its response goes to the front of `response`, which holds 253 bytes.
    pub(super) async fn ask(&self, unit: UnitId, pdu: &[u8], response: &mut [u8]) -> Reply {
        if !self.shared.serves(unit) {
            return match self.shared.options.missing_units {
                MissingUnit::Answer(code) => Reply::Exception(code),
                MissingUnit::Ignore => Reply::Silent,
            };
        }
        if let Some(hooks) = &self.shared.hooks {
            hooks.request(self.peer, unit, pdu);
        }
        let call = Call::new(unit, self.peer, pdu, response);
        let mut answer = match catch_unwind(AssertUnwindSafe(|| self.service.call(call))) {
            Ok(answer) => pin!(answer),
            Err(panic) => return self.panicked(unit, pdu, &*panic),
        };
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(self.panicked(unit, pdu, &*panic)),
        })
        .await
    }

    /// Waits for an answer that was not there at once, for as long as the deadline allows. What was begun and takes too
    /// long is dropped, and nobody knows what became of it.
    pub(super) async fn wait(
        &self,
        asked: Pin<&mut impl Future<Output = Reply>>,
        adu: Adu<'_>,
        since: Instant,
    ) -> Reply {
        let Some(limit) = self.shared.options.request_deadline else {
            return asked.await;
        };
        // A timer on the heap, so that no connection carries one that does not need it.
        match Box::pin(tokio::time::timeout(limit.saturating_sub(since.elapsed()), asked)).await {
            Ok(reply) => reply,
            Err(_) => self.took_too_long(&adu, limit),
        }
    }

    pub(super) fn took_too_long(&self, adu: &Adu<'_>, limit: Duration) -> Reply {
        let code = self.shared.options.deadline_exception;
        warn!(
            target: "dinrail::server",
            server = %self.shared.options.name, peer = %self.peer, unit = %adu.unit, function = adu.pdu[0],
            "the service took longer than {limit:?}: answered with exception {code}"
        );
        Reply::Exception(code)
    }

    /// Whether a request has waited behind others for longer than a request may take.
    pub(super) fn is_late(&self, since: Option<Instant>) -> bool {
        match (since, self.shared.options.request_deadline) {
            (Some(since), Some(limit)) => since.elapsed() >= limit,
            _ => false,
        }
    }

    /// The answer to a request that is late: it is not done, and the client is told so.
    pub(super) fn too_late(&self) -> Reply {
        Reply::Exception(ExceptionCode::ServerDeviceBusy)
    }

    fn panicked(&self, unit: UnitId, pdu: &[u8], panic: &(dyn Any + Send)) -> Reply {
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

/// Puts the header in front of a response, or an exception behind it; returns the frame's length, or `None` when the
/// client gets no answer.
pub(super) fn finish_frame(reply: Reply, request: &Adu<'_>, frame: &mut [u8]) -> Option<usize> {
    let length = match reply {
        Reply::Response(written) => written.length(),
        Reply::Exception(code) => {
            frame[HEADER] = request.pdu[0] | 0x80;
            frame[HEADER + 1] = code.code();
            2
        }
        Reply::Silent => return None,
    };
    frame[..HEADER].copy_from_slice(&crate::proto::adu::mbap_header(request.transaction, request.unit, length));
    Some(HEADER + length)
}
