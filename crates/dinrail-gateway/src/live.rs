//! What a server answers from, which can be exchanged while it runs: connections stay, and each request is answered by
//! what is there when it comes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use dinrail::service::{BoxService, Call, Reply, Service};
use dinrail::{ExceptionCode, UnitId};

/// A service in the place of which another one can be put. Clones share the place.
#[derive(Clone)]
pub(crate) struct Live(Arc<ArcSwap<BoxService>>);

impl Live {
    pub(crate) fn new(service: BoxService) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(service)))
    }

    /// Requests from now on are answered by `service`; those that are being worked on end as they began.
    pub(crate) fn put(&self, service: BoxService) {
        self.0.store(Arc::new(service));
    }
}

impl Service for Live {
    async fn call(&self, call: Call<'_>) -> Reply {
        let service = self.0.load_full();
        service.call(call).await
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        self.0.load().call_now(call)
    }

    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.0.load().served_units()
    }

    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.0.load().allows(call)
    }
}
