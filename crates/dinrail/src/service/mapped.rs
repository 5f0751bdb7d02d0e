//! Requests and replies changed on their way, by closures.

use std::fmt;

use super::{Call, Part, Reply, Service};
use crate::proto::{ExceptionCode, Pdu, UnitId};

/// A service whose requests a closure sees first; [`Service::map_request`] makes it.
pub struct MapRequest<S, F> {
    service: S,
    map: F,
}

impl<S, F> MapRequest<S, F> {
    pub(super) fn new(service: S, map: F) -> Self {
        Self { service, map }
    }
}

impl<S, F> Service for MapRequest<S, F>
where
    S: Service,
    F: Fn(&Call<'_>) -> Option<Pdu> + Send + Sync + 'static,
{
    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.service.served_units()
    }

    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.service.allows(call)
    }

    /// The closure is asked here only, and so once, whether the service answers at once or not.
    async fn call(&self, mut call: Call<'_>) -> Reply {
        let Some(pdu) = (self.map)(&call) else { return Reply::Silent };
        let mut call = call.reborrow().with_pdu(&pdu);
        match self.service.call_now(&mut call) {
            Some(reply) => reply,
            None => self.service.call(call).await,
        }
    }
}

impl<S, F> fmt::Debug for MapRequest<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapRequest(..)")
    }
}

/// The part that [`Service::map_reply`] puts in front of a service.
pub struct MapReply<F>(F);

impl<F> MapReply<F> {
    pub(super) fn new(map: F) -> Self {
        Self(map)
    }
}

impl<F> Part for MapReply<F>
where
    F: Fn(&Call<'_>, Option<Pdu>) -> Option<Pdu> + Send + Sync + 'static,
{
    fn amend(&self, call: &mut Call<'_>, reply: Reply) -> Reply {
        let before = match reply {
            Reply::Response(written) => Pdu::new(&call.parts().1[..written.length()]).ok(),
            Reply::Exception(code) => Some(Pdu::exception(call.pdu()[0], code)),
            Reply::Silent => None,
        };
        match (self.0)(call, before) {
            Some(pdu) => call.respond_pdu(&pdu),
            None => Reply::Silent,
        }
    }
}

impl<F> fmt::Debug for MapReply<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapReply(..)")
    }
}
