//! A client as a service: what makes a forwarding gateway of a server.

use super::Client;
use super::exchange::{Asked, Exchange};
use crate::proto::{ExceptionCode, Pdu};
use crate::service::{Call, Reply, Service};

/// Forwards each request, byte for byte, to the unit that it is for, and answers what the device answers.
///
/// Without a connection the answer is exception 0x0A and without an answer 0x0B, after which nobody knows what became of
/// a write. Writes are never sent twice, whatever the handle's retries say; busy devices, whose exception says that
/// nothing was done, aside.
impl Service for Client {
    async fn call(&self, mut call: Call<'_>) -> Reply {
        let Ok(request) = Pdu::new(call.pdu()) else { return Reply::Exception(ExceptionCode::IllegalFunction) };
        let unit = call.unit();
        let respond = |_: &Asked<'_>, response: Option<&[u8]>| {
            Ok(response.map(|response| {
                call.respond_with(|out| {
                    out[..response.len()].copy_from_slice(response);
                    response.len()
                })
            }))
        };
        match Exchange::new(self, Asked::Pdu(&request), respond).forwarded_to(unit).await {
            Ok(Some(reply)) => reply,
            Ok(None) => Reply::Silent,
            Err(error) => {
                Reply::Exception(error.as_gateway_exception().unwrap_or(ExceptionCode::GatewayPathUnavailable))
            }
        }
    }
}
