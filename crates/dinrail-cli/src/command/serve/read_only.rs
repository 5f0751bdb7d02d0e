//! A service whose values clients cannot change.

use dinrail::proto::{ExceptionCode, UnitId, pdu};
use dinrail::service::{Call, Reply, Service};

/// Answers what reads, and refuses everything else as a device does that does not know the function.
pub(super) struct ReadOnly<S>(pub(super) S);

impl<S: Service> Service for ReadOnly<S> {
    async fn call(&self, call: Call<'_>) -> Reply {
        if reads(&call) { self.0.call(call).await } else { Reply::Exception(ExceptionCode::IllegalFunction) }
    }

    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.0.served_units()
    }

    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        if reads(call) { self.0.allows(call) } else { Err(ExceptionCode::IllegalFunction) }
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        if reads(call) { self.0.call_now(call) } else { Some(Reply::Exception(ExceptionCode::IllegalFunction)) }
    }
}

fn reads(call: &Call<'_>) -> bool {
    pdu::is_read(call.pdu())
}
