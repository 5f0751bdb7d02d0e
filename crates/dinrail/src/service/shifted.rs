//! A service whose addresses do not begin where the wire's do.

use super::{Call, Reply, Service};
use crate::proto::pdu::Pdu;
use crate::proto::{ExceptionCode, Request, UnitId};

/// A service that is asked for other addresses than the client names; [`Service::with_offset`] makes it.
#[derive(Debug)]
pub struct Shifted<S> {
    service: S,
    offset: i32,
}

impl<S> Shifted<S> {
    pub(super) fn new(service: S, offset: i32) -> Self {
        Self { service, offset }
    }

    /// The request with other addresses; `None` for one that has none.
    fn shift(&self, call: &Call<'_>) -> Result<Option<Pdu>, ExceptionCode> {
        // Where the addresses stand, and how many items there are.
        let places = match call.request()? {
            Request::Read { count, .. } => [(1, count), (1, 0)],
            Request::WriteSingleCoil { .. }
            | Request::WriteSingleRegister { .. }
            | Request::MaskWriteRegister { .. }
            | Request::ReadFifoQueue { .. } => [(1, 1), (1, 0)],
            Request::WriteMultipleCoils { values, .. } => [(1, values.len() as u16), (1, 0)],
            Request::WriteMultipleRegisters { values, .. } => [(1, values.len() as u16), (1, 0)],
            Request::ReadWriteMultipleRegisters { read_count, values, .. } => {
                [(1, read_count), (5, values.len() as u16)]
            }
            _ => return Ok(None),
        };
        let mut bytes = [0; crate::proto::pdu::MAX_PDU];
        let bytes = &mut bytes[..call.pdu().len()];
        bytes.copy_from_slice(call.pdu());
        for (at, count) in places.into_iter().filter(|(_, count)| *count > 0) {
            let address = i32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]])).saturating_add(self.offset);
            let first = u16::try_from(address).map_err(|_| ExceptionCode::IllegalDataAddress)?;
            first.checked_add(count - 1).ok_or(ExceptionCode::IllegalDataAddress)?;
            bytes[at..at + 2].copy_from_slice(&first.to_be_bytes());
        }
        // As long as the request, whose bytes are a PDU.
        Pdu::new(bytes).map(Some).map_err(|_| ExceptionCode::ServerDeviceFailure)
    }
}

/// Replies that repeat the address repeat the client's.
fn restore(request: &[u8], reply: Reply, response: &mut [u8]) -> Reply {
    if matches!(reply, Reply::Response(_)) && matches!(response[0], 5 | 6 | 15 | 16 | 22) {
        response[1..3].copy_from_slice(&request[1..3]);
    }
    reply
}

impl<S: Service> Service for Shifted<S> {
    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.service.served_units()
    }

    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.service.allows(call)
    }

    async fn call(&self, mut call: Call<'_>) -> Reply {
        let shifted = match self.shift(&call) {
            Ok(Some(shifted)) => shifted,
            Ok(None) => return self.service.call(call).await,
            Err(code) => return Reply::Exception(code),
        };
        let reply = self.service.call(call.reborrow().with_pdu(&shifted)).await;
        let (request, response) = call.parts();
        restore(request, reply, response)
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        let shifted = match self.shift(call) {
            Ok(Some(shifted)) => shifted,
            Ok(None) => return self.service.call_now(call),
            Err(code) => return Some(Reply::Exception(code)),
        };
        let reply = self.service.call_now(&mut call.reborrow().with_pdu(&shifted))?;
        let (request, response) = call.parts();
        Some(restore(request, reply, response))
    }
}
