//! Parts of a device: what answers some functions in front of any service, and what sees replies on their way out.

use std::fmt;

use super::{Call, Reply, Service};
use crate::proto::{ExceptionCode, UnitId};

/// Something that a device has besides its data: [`Files`](super::Files), [`Fifos`](super::Fifos),
/// [`ServerId`](super::ServerId), [`ExceptionStatus`](super::ExceptionStatus), or one of your own.
/// [`Service::with_part`] puts it in front of a service.
///
/// Its methods run on the thread that serves the connection and must not block.
pub trait Part: Send + Sync + 'static {
    /// Answers a request that is for this part; `None`, with nothing done, for every other one. It may be asked twice
    /// about a request that it does not answer.
    fn answer(&self, _call: &mut Call<'_>) -> Option<Reply> {
        None
    }

    /// Sees what the service behind it has answered, and may answer something else.
    fn amend(&self, _call: &mut Call<'_>, reply: Reply) -> Reply {
        reply
    }
}

/// A service with a part in front of it; [`Service::with_part`] makes it.
pub struct WithPart<S, P> {
    service: S,
    part: P,
}

impl<S, P> WithPart<S, P> {
    pub(super) fn new(service: S, part: P) -> Self {
        Self { service, part }
    }
}

impl<S: Service, P: Part> Service for WithPart<S, P> {
    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.service.served_units()
    }

    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.service.allows(call)
    }

    async fn call(&self, mut call: Call<'_>) -> Reply {
        if let Some(reply) = self.part.answer(&mut call) {
            return reply;
        }
        let reply = self.service.call(call.reborrow()).await;
        self.part.amend(&mut call, reply)
    }

    #[inline]
    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        if let Some(reply) = self.part.answer(call) {
            return Some(reply);
        }
        let reply = self.service.call_now(call)?;
        Some(self.part.amend(call, reply))
    }
}

impl<S: fmt::Debug, P: fmt::Debug> fmt::Debug for WithPart<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithPart").field("service", &self.service).field("part", &self.part).finish()
    }
}
