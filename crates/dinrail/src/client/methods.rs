//! Reading and writing coils and registers.

use super::Client;
use super::exchange::Asked;
use crate::Error;
use crate::proto::error::EncodeError;
use crate::proto::pdu::{Area, Bits, Registers};
use crate::proto::{Pdu, Request, Response};

/// Reading and writing. Addresses are 0-based, as on the wire.
impl Client {
    /// Reads 1 to 2000 coils (FC 1).
    pub async fn read_coils(&self, address: u16, count: u16) -> Result<Vec<bool>, Error> {
        self.read_bits(Area::Coil, address, count, |bits| bits.iter().collect()).await
    }

    /// Reads as many coils as `values` holds (FC 1), without allocating.
    pub async fn read_coils_into(&self, address: u16, values: &mut [bool]) -> Result<(), Error> {
        self.read_bits_into(Area::Coil, address, values).await
    }

    /// Reads 1 to 2000 discrete inputs (FC 2).
    pub async fn read_discrete_inputs(&self, address: u16, count: u16) -> Result<Vec<bool>, Error> {
        self.read_bits(Area::DiscreteInput, address, count, |bits| bits.iter().collect()).await
    }

    /// Reads as many discrete inputs as `values` holds (FC 2), without allocating.
    pub async fn read_discrete_inputs_into(&self, address: u16, values: &mut [bool]) -> Result<(), Error> {
        self.read_bits_into(Area::DiscreteInput, address, values).await
    }

    /// Reads 1 to 125 holding registers (FC 3).
    pub async fn read_holding_registers(&self, address: u16, count: u16) -> Result<Vec<u16>, Error> {
        self.read_registers(Area::HoldingRegister, address, count, |registers| registers.iter().collect()).await
    }

    /// Reads as many holding registers as `values` holds (FC 3), without allocating.
    pub async fn read_holding_registers_into(&self, address: u16, values: &mut [u16]) -> Result<(), Error> {
        self.read_registers_into(Area::HoldingRegister, address, values).await
    }

    /// Reads 1 to 125 input registers (FC 4).
    pub async fn read_input_registers(&self, address: u16, count: u16) -> Result<Vec<u16>, Error> {
        self.read_registers(Area::InputRegister, address, count, |registers| registers.iter().collect()).await
    }

    /// Reads as many input registers as `values` holds (FC 4), without allocating.
    pub async fn read_input_registers_into(&self, address: u16, values: &mut [u16]) -> Result<(), Error> {
        self.read_registers_into(Area::InputRegister, address, values).await
    }

    /// Switches one coil (FC 5).
    pub async fn write_coil(&self, address: u16, value: bool) -> Result<(), Error> {
        self.tell(&Request::WriteSingleCoil { address, value }).await
    }

    /// Writes one holding register (FC 6).
    pub async fn write_register(&self, address: u16, value: u16) -> Result<(), Error> {
        self.tell(&Request::WriteSingleRegister { address, value }).await
    }

    /// Switches 1 to 1968 coils (FC 15).
    pub async fn write_coils(&self, address: u16, values: &[bool]) -> Result<(), Error> {
        self.tell(&Request::WriteMultipleCoils { address, values: values.into() }).await
    }

    /// Writes 1 to 123 holding registers (FC 16).
    pub async fn write_registers(&self, address: u16, values: &[u16]) -> Result<(), Error> {
        self.tell(&Request::WriteMultipleRegisters { address, values: values.into() }).await
    }

    /// Makes a holding register `(value & and_mask) | (or_mask & !and_mask)` in one step (FC 22).
    pub async fn mask_write_register(&self, address: u16, and_mask: u16, or_mask: u16) -> Result<(), Error> {
        self.tell(&Request::MaskWriteRegister { address, and_mask, or_mask }).await
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
        self.ask(&request, |response| match response {
            Response::ReadWriteMultipleRegisters(values) => Some(values.iter().collect()),
            _ => None,
        })
        .await
    }

    async fn read_bits<T>(
        &self,
        area: Area,
        address: u16,
        count: u16,
        mut take: impl FnMut(Bits<'_>) -> T,
    ) -> Result<T, Error> {
        self.ask(&Request::Read { area, address, count }, |response| match response {
            Response::ReadBits { values, .. } => Some(take(values)),
            _ => None,
        })
        .await
    }

    async fn read_bits_into(&self, area: Area, address: u16, values: &mut [bool]) -> Result<(), Error> {
        let count = count(values.len(), area)?;
        self.read_bits(area, address, count, |bits| bits.copy_to(values)).await.map(drop)
    }

    async fn read_registers<T>(
        &self,
        area: Area,
        address: u16,
        count: u16,
        mut take: impl FnMut(Registers<'_>) -> T,
    ) -> Result<T, Error> {
        self.ask(&Request::Read { area, address, count }, |response| match response {
            Response::ReadRegisters { values, .. } => Some(take(values)),
            _ => None,
        })
        .await
    }

    async fn read_registers_into(&self, area: Area, address: u16, values: &mut [u16]) -> Result<(), Error> {
        let count = count(values.len(), area)?;
        self.read_registers(area, address, count, |registers| registers.copy_to(values)).await.map(drop)
    }

    /// Asks, and takes from the response what the caller wants.
    pub(super) async fn ask<T>(
        &self,
        request: &Request<'_>,
        mut take: impl FnMut(Response<'_>) -> Option<T>,
    ) -> Result<T, Error> {
        // The reply was held against the request before, so only a request that nobody answers gives nothing.
        let taken = |pdu: &Pdu| Response::decode(request, pdu.as_bytes()).ok().and_then(&mut take);
        let reply = self.exchange(self.unit, Asked::Request(request), self.retry, taken).await?;
        reply.flatten().ok_or(Error::Invalid(EncodeError::Field("nobody answers this request, so it cannot read")))
    }

    /// Asks for something to be done; a broadcast is as good as an answer.
    pub(super) async fn tell(&self, request: &Request<'_>) -> Result<(), Error> {
        self.exchange(self.unit, Asked::Request(request), self.retry, |_| ()).await.map(drop)
    }
}

fn count(length: usize, area: Area) -> Result<u16, Error> {
    u16::try_from(length).map_err(|_| EncodeError::Count { count: length, max: area.max_read().into() }.into())
}
