//! Several units behind one address, each with a service of its own.

use super::{BoxService, Call, Reply, Service};
use crate::proto::{ExceptionCode, UnitId};

/// Routes each request to the service of its unit. A unit that is not there is answered with 0x0B, gateway target failed
/// to respond, or not at all.
#[derive(Clone, Debug)]
pub struct Units {
    /// By unit id; 256 places, so that routing is one look.
    services: Box<[Option<BoxService>; 256]>,
    missing: Missing,
}

/// What an unknown unit's client is told.
#[derive(Clone, Copy, Debug)]
enum Missing {
    Exception(ExceptionCode),
    Silent,
}

impl Default for Units {
    fn default() -> Self {
        Self {
            services: Box::new([const { None }; 256]),
            missing: Missing::Exception(ExceptionCode::GatewayTargetFailedToRespond),
        }
    }
}

impl Units {
    /// No unit yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `unit` by `service`, in place of what served it before.
    pub fn with(mut self, unit: impl Into<UnitId>, service: impl Service) -> Self {
        self.services[usize::from(unit.into().0)] = Some(service.boxed());
        self
    }

    /// Answers requests for other units with this exception; it is 0x0B as it stands.
    pub fn with_missing(mut self, code: ExceptionCode) -> Self {
        self.missing = Missing::Exception(code);
        self
    }

    /// Does not answer requests for other units at all, as on a shared serial line.
    pub fn ignore_missing(mut self) -> Self {
        self.missing = Missing::Silent;
        self
    }

    /// The units that are served, in ascending order.
    pub fn ids(&self) -> impl Iterator<Item = UnitId> + '_ {
        (0..=u8::MAX).zip(self.services.iter()).filter(|(_, service)| service.is_some()).map(|(unit, _)| UnitId(unit))
    }
}

impl Units {
    /// Whether it is a broadcast that nobody has spread over the units yet.
    fn is_for_all(call: &Call<'_>) -> bool {
        call.is_broadcast() && call.unit().is_broadcast()
    }

    /// Every unit does it; what they say is for nobody.
    async fn broadcast(&self, mut call: Call<'_>) -> Reply {
        for (unit, service) in (0..=u8::MAX).zip(self.services.iter()) {
            if let Some(service) = service {
                let mut call = call.reborrow().with_unit(UnitId(unit));
                if service.call_now(&mut call).is_none() {
                    service.call(call).await;
                }
            }
        }
        Reply::Silent
    }
}

impl Service for Units {
    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        // What every unit is asked, every unit must allow.
        let everyone = call.is_broadcast() && call.unit() == UnitId::BROADCAST;
        let asked = (0..=u8::MAX).zip(self.services.iter());
        asked
            .filter(|(unit, _)| everyone || *unit == call.unit().0)
            .try_for_each(|(_, service)| service.as_ref().map_or(Ok(()), |service| service.allows(call)))
    }

    async fn call(&self, mut call: Call<'_>) -> Reply {
        if Self::is_for_all(&call) {
            return self.broadcast(call).await;
        }
        match &self.services[usize::from(call.unit().0)] {
            Some(service) => service.call(call).await,
            None => self.call_now(&mut call).unwrap_or(Reply::Silent),
        }
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        if Self::is_for_all(call) {
            return None;
        }
        match (&self.services[usize::from(call.unit().0)], self.missing) {
            (Some(service), _) => service.call_now(call),
            (None, Missing::Exception(code)) => Some(Reply::Exception(code)),
            (None, Missing::Silent) => Some(Reply::Silent),
        }
    }

    fn served_units(&self) -> Option<Vec<UnitId>> {
        Some(self.ids().collect())
    }
}
