//! A service that is asked no faster than it can bear.

use super::{Call, Reply, Service};
use crate::client::RateLimit;
use crate::proto::{ExceptionCode, UnitId};

/// A service whose requests are paced; [`Service::paced`] makes it.
#[derive(Debug)]
pub struct Paced<S> {
    service: S,
    limit: RateLimit,
}

impl<S> Paced<S> {
    pub(super) fn new(service: S, limit: RateLimit) -> Self {
        Self { service, limit }
    }
}

impl<S: Service> Service for Paced<S> {
    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.service.served_units()
    }

    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.service.allows(call)
    }

    async fn call(&self, mut call: Call<'_>) -> Reply {
        self.limit.turn().await;
        match self.service.call_now(&mut call) {
            Some(reply) => reply,
            None => self.service.call(call).await,
        }
    }
}
