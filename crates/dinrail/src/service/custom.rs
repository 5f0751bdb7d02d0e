//! Function codes of one's own, in front of any service.

use std::fmt;
use std::future::Future;

use super::{Call, Failure, Reply, Service};
use crate::proto::pdu::MAX_PDU;
use crate::proto::{ExceptionCode, FunctionCode, UnitId};

/// A handler for [`Service::with_function`]: given the bytes behind the function code, it returns those of the reply.
/// Closures that return a future are handlers.
pub trait CustomCall: Send + Sync + 'static {
    /// Answers one request; at most 252 bytes.
    fn answer(&self, data: &[u8]) -> impl Future<Output = Result<Vec<u8>, Failure>> + Send;
}

impl<F, T> CustomCall for F
where
    F: Fn(Vec<u8>) -> T + Send + Sync + 'static,
    T: Future<Output = Result<Vec<u8>, Failure>> + Send,
{
    fn answer(&self, data: &[u8]) -> impl Future<Output = Result<Vec<u8>, Failure>> + Send {
        self(data.to_vec())
    }
}

/// A service with one more function; [`Service::with_function`] makes it.
pub struct Custom<S, F> {
    service: S,
    code: FunctionCode,
    handler: F,
}

impl<S, F> Custom<S, F> {
    pub(super) fn new(service: S, code: FunctionCode, handler: F) -> Self {
        Self { service, code, handler }
    }
}

impl<S: Service, F: CustomCall> Service for Custom<S, F> {
    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.service.allows(call)
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        if call.pdu().first() == Some(&self.code.code()) { None } else { self.service.call_now(call) }
    }

    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.service.served_units()
    }

    async fn call(&self, mut call: Call<'_>) -> Reply {
        let (&function, data) = match call.pdu().split_first() {
            Some(split) => split,
            None => return self.service.call(call).await,
        };
        if function != self.code.code() {
            return self.service.call(call).await;
        }
        // On the heap, so that a connection's state does not grow by the handler's.
        let answered = Box::pin(self.handler.answer(data)).await.and_then(|reply| {
            if reply.len() < MAX_PDU {
                return Ok(reply);
            }
            Err(Failure::message(format!(
                "the handler of {} returned {} bytes; a reply holds at most {}",
                self.code,
                reply.len(),
                MAX_PDU - 1
            )))
        });
        match answered {
            Ok(reply) => call.respond_with(|out| {
                out[0] = function;
                out[1..=reply.len()].copy_from_slice(&reply);
                1 + reply.len()
            }),
            Err(failure) => failure.into_reply(call.unit(), call.peer(), call.pdu()),
        }
    }
}

impl<S, F> fmt::Debug for Custom<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Custom").field(&self.code).finish()
    }
}
