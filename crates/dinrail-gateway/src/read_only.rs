//! What clients may not write.

use std::ops::RangeInclusive;
use std::sync::Arc;

use dinrail::proto::{Request, pdu};
use dinrail::service::{BoxService, Call, Reply, Service};
use dinrail::{Area, ExceptionCode, UnitId};

/// Refuses writes: all with exception 0x01, as a device that does not know them; those that touch some addresses with
/// exception 0x02.
#[derive(Clone, Debug)]
pub(crate) enum ReadOnly {
    Everything,
    These(Arc<[(Area, RangeInclusive<u16>)]>),
}

impl ReadOnly {
    fn refuses(&self, area: Area, address: u16, count: usize) -> bool {
        let Self::These(ranges) = self else { return true };
        let (first, end) = (usize::from(address), usize::from(address) + count);
        let meets =
            |range: &RangeInclusive<u16>| usize::from(*range.start()) < end && first <= usize::from(*range.end());
        ranges.iter().any(|(of, range)| *of == area && meets(range))
    }
}

/// A service some of which clients cannot write.
pub(crate) struct Guarded {
    pub(crate) service: BoxService,
    pub(crate) read_only: ReadOnly,
}

impl Service for Guarded {
    async fn call(&self, call: Call<'_>) -> Reply {
        match self.read_only.refusal(&call) {
            Some(code) => Reply::Exception(code),
            None => self.service.call(call).await,
        }
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        match self.read_only.refusal(call) {
            Some(code) => Some(Reply::Exception(code)),
            None => self.service.call_now(call),
        }
    }

    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.service.served_units()
    }

    /// What the server answers itself may write as well: FC 8 clears counters, and can silence it.
    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        self.read_only.refusal(call).map_or_else(|| self.service.allows(call), Err)
    }
}

impl ReadOnly {
    /// The exception for a request that writes what may not be written.
    fn refusal(&self, call: &Call<'_>) -> Option<ExceptionCode> {
        if pdu::is_read(call.pdu()) {
            return None;
        }
        if let Self::Everything = self {
            return Some(ExceptionCode::IllegalFunction);
        }
        // What is no whole request is refused by the service, with the specification's exception.
        let refused = match call.request().ok()? {
            Request::WriteSingleCoil { address, .. } => self.refuses(Area::Coil, address, 1),
            Request::WriteMultipleCoils { address, values } => self.refuses(Area::Coil, address, values.len()),
            Request::WriteSingleRegister { address, .. } | Request::MaskWriteRegister { address, .. } => {
                self.refuses(Area::HoldingRegister, address, 1)
            }
            Request::WriteMultipleRegisters { address, values } => {
                self.refuses(Area::HoldingRegister, address, values.len())
            }
            Request::ReadWriteMultipleRegisters { write_address, values, .. } => {
                self.refuses(Area::HoldingRegister, write_address, values.len())
            }
            _ => false,
        };
        refused.then_some(ExceptionCode::IllegalDataAddress)
    }
}
