//! Services behind one type.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Call, Reply, Service};

/// Any [`Service`], behind one type; clones share it. An [immediate](Service::is_immediate) service costs no heap
/// allocation a request, any other costs one.
#[derive(Clone)]
pub struct BoxService(Arc<dyn Erased>);

impl BoxService {
    /// Erases `service`; the same as [`Service::boxed`].
    pub fn new(service: impl Service) -> Self {
        Self(Arc::new(service))
    }
}

impl Service for BoxService {
    async fn call(&self, mut call: Call<'_>) -> Reply {
        if self.0.is_immediate_erased()
            && let Some(reply) = self.0.call_now(call.reborrow())
        {
            return reply;
        }
        self.0.call_later(call).await
    }

    fn is_immediate(&self) -> bool {
        self.0.is_immediate_erased()
    }
}

impl fmt::Debug for BoxService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxService(..)")
    }
}

/// [`Service`] without `impl Trait` in its way of being a trait object.
trait Erased: Send + Sync {
    fn is_immediate_erased(&self) -> bool;
    fn call_now(&self, call: Call<'_>) -> Option<Reply>;
    fn call_later<'a>(&'a self, call: Call<'a>) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;
}

impl<S: Service> Erased for S {
    fn is_immediate_erased(&self) -> bool {
        self.is_immediate()
    }

    /// Polls once; an immediate service is ready then. One that lied is asked again by `call_later`.
    fn call_now(&self, call: Call<'_>) -> Option<Reply> {
        match pin!(self.call(call)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => None,
        }
    }

    fn call_later<'a>(&'a self, call: Call<'a>) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        Box::pin(self.call(call))
    }
}
