//! Services behind one type.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Call, Reply, Service};
use crate::proto::{ExceptionCode, UnitId};

/// Any [`Service`], behind one type; clones share it. A request that is [answered at once](Service::call_now) costs no
/// heap allocation, any other costs one.
#[derive(Clone)]
pub struct BoxService(Arc<dyn Erased>);

impl BoxService {
    /// Erases `service`; the same as [`Service::boxed`].
    pub fn new(service: impl Service) -> Self {
        Self(Arc::new(service))
    }
}

impl Service for BoxService {
    async fn call(&self, call: Call<'_>) -> Reply {
        self.0.erased_call(call).await
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        self.0.erased_call_now(call)
    }

    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.0.erased_served_units()
    }

    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.0.erased_allows(call)
    }
}

impl fmt::Debug for BoxService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxService(..)")
    }
}

/// [`Service`] without `impl Trait` in its way of being a trait object.
trait Erased: Send + Sync {
    fn erased_call<'a>(&'a self, call: Call<'a>) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;
    fn erased_call_now(&self, call: &mut Call<'_>) -> Option<Reply>;
    fn erased_served_units(&self) -> Option<Vec<UnitId>>;
    fn erased_allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode>;
}

impl<S: Service> Erased for S {
    fn erased_call<'a>(&'a self, call: Call<'a>) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        Box::pin(self.call(call))
    }

    fn erased_call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        self.call_now(call)
    }

    fn erased_served_units(&self) -> Option<Vec<UnitId>> {
        self.served_units()
    }

    fn erased_allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.allows(call)
    }
}
