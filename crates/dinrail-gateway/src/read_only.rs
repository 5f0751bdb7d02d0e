//! What clients may not write.

use std::ops::RangeInclusive;
use std::sync::Arc;

use dinrail::proto::{Request, pdu};
use dinrail::service::{Call, Part, Reply};
use dinrail::{Area, ExceptionCode};

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

impl Part for ReadOnly {
    fn answer(&self, call: &mut Call<'_>) -> Option<Reply> {
        if pdu::is_read(call.pdu()) {
            return None;
        }
        if let Self::Everything = self {
            return Some(Reply::Exception(ExceptionCode::IllegalFunction));
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
        refused.then_some(Reply::Exception(ExceptionCode::IllegalDataAddress))
    }
}
