//! A service whose values clients cannot change.

use dinrail::proto::{ExceptionCode, FunctionCode};
use dinrail::service::{Call, Reply, Service};

/// Answers what reads, and refuses everything else as a device does that does not know the function.
pub(super) struct ReadOnly<S>(pub(super) S);

impl<S: Service> Service for ReadOnly<S> {
    async fn call(&self, call: Call<'_>) -> Reply {
        match call.pdu().first().copied().and_then(FunctionCode::new) {
            Some(function) if function.is_read() => self.0.call(call).await,
            _ => Reply::Exception(ExceptionCode::IllegalFunction),
        }
    }

    fn is_immediate(&self) -> bool {
        self.0.is_immediate()
    }
}
