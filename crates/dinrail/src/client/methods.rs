//! Reading and writing coils and registers.

use std::future::Future;

use super::Client;
use super::exchange::{Asked, Exchange, Read};
use crate::Error;
use crate::proto::error::EncodeError;
use crate::proto::pdu::{Area, Bits, Registers};
use crate::proto::{Request, Response};

/// Reading and writing. Addresses are 0-based, as on the wire.
// Reads return the exchange itself: an `async fn` around it costs every call a state more to go through.
impl Client {
    /// Reads 1 to 2000 coils (FC 1).
    pub fn read_coils(&self, address: u16, count: u16) -> impl Future<Output = Result<Vec<bool>, Error>> {
        self.read_bits(Area::Coil, address, count, |bits| bits.iter().collect())
    }

    /// Reads as many coils as `values` holds (FC 1), without allocating.
    pub async fn read_coils_into(&self, address: u16, values: &mut [bool]) -> Result<(), Error> {
        self.read_bits_into(Area::Coil, address, values).await
    }

    /// Reads 1 to 2000 discrete inputs (FC 2).
    pub fn read_discrete_inputs(&self, address: u16, count: u16) -> impl Future<Output = Result<Vec<bool>, Error>> {
        self.read_bits(Area::DiscreteInput, address, count, |bits| bits.iter().collect())
    }

    /// Reads as many discrete inputs as `values` holds (FC 2), without allocating.
    pub async fn read_discrete_inputs_into(&self, address: u16, values: &mut [bool]) -> Result<(), Error> {
        self.read_bits_into(Area::DiscreteInput, address, values).await
    }

    /// Reads 1 to 125 holding registers (FC 3).
    pub fn read_holding_registers(&self, address: u16, count: u16) -> impl Future<Output = Result<Vec<u16>, Error>> {
        self.read(Area::HoldingRegister, address, count, values)
    }

    /// Reads as many holding registers as `values` holds (FC 3), without allocating.
    pub async fn read_holding_registers_into(&self, address: u16, values: &mut [u16]) -> Result<(), Error> {
        self.read_registers_into(Area::HoldingRegister, address, values).await
    }

    /// Reads 1 to 125 input registers (FC 4).
    pub fn read_input_registers(&self, address: u16, count: u16) -> impl Future<Output = Result<Vec<u16>, Error>> {
        self.read(Area::InputRegister, address, count, values)
    }

    /// Reads as many input registers as `values` holds (FC 4), without allocating.
    pub async fn read_input_registers_into(&self, address: u16, values: &mut [u16]) -> Result<(), Error> {
        self.read_registers_into(Area::InputRegister, address, values).await
    }

    /// Switches one coil (FC 5).
    pub async fn write_coil(&self, address: u16, value: bool) -> Result<(), Error> {
        self.tell(Request::WriteSingleCoil { address, value }).await
    }

    /// Writes one holding register (FC 6).
    pub async fn write_register(&self, address: u16, value: u16) -> Result<(), Error> {
        self.tell(Request::WriteSingleRegister { address, value }).await
    }

    /// Switches 1 to 1968 coils (FC 15).
    pub async fn write_coils(&self, address: u16, values: &[bool]) -> Result<(), Error> {
        self.tell(Request::WriteMultipleCoils { address, values: values.into() }).await
    }

    /// Writes 1 to 123 holding registers (FC 16).
    pub async fn write_registers(&self, address: u16, values: &[u16]) -> Result<(), Error> {
        self.tell(Request::WriteMultipleRegisters { address, values: values.into() }).await
    }

    /// Makes a holding register `(value & and_mask) | (or_mask & !and_mask)` in one step (FC 22).
    pub async fn mask_write_register(&self, address: u16, and_mask: u16, or_mask: u16) -> Result<(), Error> {
        self.tell(Request::MaskWriteRegister { address, and_mask, or_mask }).await
    }

    /// Writes 1 to 121 holding registers and then reads 1 to 125, in one step (FC 23).
    pub async fn read_write_registers(
        &self,
        read_address: u16,
        read_count: u16,
        write_address: u16,
        values: &[u16],
    ) -> Result<Vec<u16>, Error> {
        let values = values.into();
        let request = Request::ReadWriteMultipleRegisters { read_address, read_count, write_address, values };
        self.ask(request, |response| match response {
            Response::ReadWriteMultipleRegisters(values) => Some(values.iter().collect()),
            _ => None,
        })
        .await
    }

    fn read_bits<'c, T>(
        &'c self,
        area: Area,
        address: u16,
        count: u16,
        mut take: impl FnMut(Bits<'_>) -> T + 'c,
    ) -> impl Future<Output = Result<T, Error>> {
        self.read(area, address, count, move |packed| take(Bits::from_packed(packed, count.into())))
    }

    async fn read_bits_into(&self, area: Area, address: u16, values: &mut [bool]) -> Result<(), Error> {
        let count = count(values.len(), area)?;
        self.read_bits(area, address, count, |bits| bits.copy_to(values)).await.map(drop)
    }

    async fn read_registers_into(&self, area: Area, address: u16, values: &mut [u16]) -> Result<(), Error> {
        let count = count(values.len(), area)?;
        self.read(area, address, count, |wire| Registers::from_wire(wire).copy_to(values)).await.map(drop)
    }

    /// Reads, and takes the values as they lie on the wire: behind the function code and the byte count, which have been
    /// held against the request together with the reply's length.
    fn read<'c, T>(
        &'c self,
        area: Area,
        address: u16,
        count: u16,
        mut take: impl FnMut(&[u8]) -> T + 'c,
    ) -> impl Future<Output = Result<T, Error>> {
        Exchange::new(self, Read { area, address, count }, move |_, response| {
            let values = response.and_then(|pdu| pdu.get(2..));
            values.map(&mut take).ok_or_else(unanswered)
        })
    }

    /// Asks, and takes from the response what the caller wants.
    pub(super) fn ask<'c, T>(
        &'c self,
        request: Request<'c>,
        mut take: impl FnMut(Response<'_>) -> Option<T> + 'c,
    ) -> impl Future<Output = Result<T, Error>> {
        Exchange::new(self, Asked::Request(request), move |asked, response| {
            // The reply was held against the request before, so only a request that nobody answers gives nothing.
            response.and_then(|pdu| asked.response(pdu)).and_then(&mut take).ok_or_else(unanswered)
        })
    }

    /// Asks for something to be done; a broadcast is as good as an answer.
    pub(super) fn tell<'c>(&'c self, request: Request<'c>) -> impl Future<Output = Result<(), Error>> {
        Exchange::new(self, Asked::Request(request), |_, _| Ok(()))
    }
}

/// Registers as they stand in a PDU, high byte first.
fn values(wire: &[u8]) -> Vec<u16> {
    wire.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}

fn unanswered() -> Error {
    EncodeError::Field("nobody answers this request, so it cannot read").into()
}

fn count(length: usize, area: Area) -> Result<u16, Error> {
    u16::try_from(length).map_err(|_| EncodeError::Count { count: length, max: area.max_read().into() }.into())
}
