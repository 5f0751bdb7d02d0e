//! What a device says about its state: exception status, FC 7, and server id, FC 17 (AP 6.7 and 6.13).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::{Call, Part, Reply, Service};
use crate::proto::pdu::FunctionCode;
use crate::proto::{ExceptionCode, Response, UnitId};

/// The most bytes that FC 17 returns behind its byte count, as [`DataModel::server_id`](super::DataModel::server_id).
const MAX_SERVER_ID: usize = 250;

/// Whether the request is this one, which is nothing but its function code. Longer ones are exception 0x03.
fn bare(call: &Call<'_>, function: FunctionCode) -> Option<Result<(), ExceptionCode>> {
    (call.pdu()[0] == function.code()).then(|| call.request().map(drop))
}

fn respond(call: &mut Call<'_>, checked: Result<(), ExceptionCode>, response: &Response<'_>) -> Reply {
    match checked {
        Ok(()) => call.respond(response).unwrap_or(Reply::Exception(ExceptionCode::ServerDeviceFailure)),
        Err(code) => Reply::Exception(code),
    }
}

/// The eight exception status bits of FC 7. The application sets them; a clone is another handle on the same bits.
///
/// Devices that show eight of their coils instead are made by [`Service::with_status_coils`].
#[derive(Clone, Debug, Default)]
pub struct ExceptionStatus(Arc<AtomicU8>);

impl ExceptionStatus {
    /// Begins with these bits.
    pub fn new(bits: u8) -> Self {
        Self(Arc::new(AtomicU8::new(bits)))
    }

    /// All eight bits.
    pub fn bits(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets all eight bits.
    pub fn set(&self, bits: u8) {
        self.0.store(bits, Ordering::Relaxed);
    }

    /// Sets one bit, 0 to 7, and leaves the others; there are no bits beyond, and nothing is done for them.
    pub fn set_bit(&self, bit: u8, on: bool) {
        let mask = 1u8.checked_shl(bit.into()).unwrap_or(0);
        if on {
            self.0.fetch_or(mask, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!mask, Ordering::Relaxed);
        }
    }
}

impl Part for ExceptionStatus {
    fn answer(&self, call: &mut Call<'_>) -> Option<Reply> {
        let checked = bare(call, FunctionCode::READ_EXCEPTION_STATUS)?;
        Some(respond(call, checked, &Response::ExceptionStatus(self.bits())))
    }
}

/// A service whose exception status is eight of its coils; [`Service::with_status_coils`] makes it.
#[derive(Debug)]
pub struct StatusCoils<S> {
    service: S,
    /// FC 1 for the eight coils.
    read: [u8; 5],
}

impl<S> StatusCoils<S> {
    pub(super) fn new(service: S, first: u16) -> Self {
        let [high, low] = first.min(u16::MAX - 7).to_be_bytes();
        Self { service, read: [FunctionCode::READ_COILS.code(), high, low, 0, 8] }
    }
}

/// Turns the reply to FC 1 into that to FC 7.
fn as_status(reply: Reply, response: &mut [u8]) -> Reply {
    match reply {
        Reply::Response(written) if written.length() == 3 && response[0] == FunctionCode::READ_COILS.code() => {
            response[0] = FunctionCode::READ_EXCEPTION_STATUS.code();
            response[1] = response[2];
            Reply::written(2)
        }
        // Of a device behind the service, that refuses.
        Reply::Response(written) if written.length() == 2 && response[0] >= 0x80 => {
            Reply::Exception(response[1].into())
        }
        Reply::Response(_) => Reply::Exception(ExceptionCode::ServerDeviceFailure),
        other => other,
    }
}

impl<S: Service> Service for StatusCoils<S> {
    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.service.served_units()
    }

    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.service.allows(call)
    }

    async fn call(&self, mut call: Call<'_>) -> Reply {
        match bare(&call, FunctionCode::READ_EXCEPTION_STATUS) {
            None => self.service.call(call).await,
            Some(Err(code)) => Reply::Exception(code),
            Some(Ok(())) => {
                let (unit, peer) = (call.unit(), call.peer());
                let response = call.parts().1;
                let reply = self.service.call(Call::new(unit, peer, &self.read, response)).await;
                as_status(reply, response)
            }
        }
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        match bare(call, FunctionCode::READ_EXCEPTION_STATUS) {
            None => self.service.call_now(call),
            Some(Err(code)) => Some(Reply::Exception(code)),
            Some(Ok(())) => {
                let (unit, peer) = (call.unit(), call.peer());
                let response = call.parts().1;
                let reply = self.service.call_now(&mut Call::new(unit, peer, &self.read, response))?;
                Some(as_status(reply, response))
            }
        }
    }
}

/// The server id of FC 17: bytes of the device's own, the run indicator, and more bytes. A clone is another handle on the
/// same run indicator.
#[derive(Clone, Debug)]
pub struct ServerId {
    id: Vec<u8>,
    running: Arc<AtomicBool>,
    additional: Vec<u8>,
}

impl ServerId {
    /// An id of these bytes, running, with nothing behind. The reply holds 250 bytes: what does not fit is cut off.
    pub fn new(id: impl AsRef<[u8]>) -> Self {
        let mut id = id.as_ref().to_vec();
        id.truncate(MAX_SERVER_ID - 1);
        Self { id, running: Arc::new(AtomicBool::new(true)), additional: Vec::new() }
    }

    /// With these bytes behind the run indicator.
    #[must_use]
    pub fn with_additional(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.additional = bytes.as_ref().to_vec();
        self.additional.truncate(MAX_SERVER_ID - 1 - self.id.len());
        self
    }

    /// Sets the run indicator: 0xFF for a device that runs, 0 for one that does not.
    pub fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
    }

    /// Whether the run indicator is on.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }
}

impl Part for ServerId {
    fn answer(&self, call: &mut Call<'_>) -> Option<Reply> {
        let checked = bare(call, FunctionCode::REPORT_SERVER_ID)?;
        let mut bytes = [0; MAX_SERVER_ID];
        let run = [if self.is_running() { 0xFF } else { 0 }];
        let all = self.id.iter().chain(&run).chain(&self.additional);
        let length = bytes.iter_mut().zip(all).map(|(byte, value)| *byte = *value).count();
        Some(respond(call, checked, &Response::ServerId(&bytes[..length])))
    }
}
