//! Data models of the application's own.

use dinrail::proto::pdu::{Bits, BitsMut, Registers, RegistersMut};
use dinrail::service::{DataModel, Failure, FileRange, Memory, Target};
use dinrail::{Area, ExceptionCode, Server, UnitId};

use crate::raw::{Raw, read, registers, write};

/// A model of the application's own that keeps some of its data in a store, and waits for the rest.
struct Mixed(Memory);

impl DataModel for Mixed {
    async fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        DataModel::read_bits(&self.0, target, out).await
    }

    async fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        DataModel::read_registers(&self.0, target, out).await
    }

    async fn write_bits(&self, target: Target<'_>, values: Bits<'_>) -> Result<(), Failure> {
        DataModel::write_bits(&self.0, target, values).await
    }

    async fn write_registers(&self, target: Target<'_>, values: Registers<'_>) -> Result<(), Failure> {
        DataModel::write_registers(&self.0, target, values).await
    }

    async fn read_fifo(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> Result<usize, Failure> {
        out.copy_from(&[1, 2, 3]);
        Ok(if target.address == 1 { 3 } else { 32 })
    }

    async fn read_file(&self, range: FileRange<'_>, out: &mut RegistersMut<'_>) -> Result<(), Failure> {
        out.fill_with(|index| range.file * 100 + range.record + index as u16);
        Ok(())
    }

    async fn check_file_write(&self, range: FileRange<'_>) -> Result<(), Failure> {
        if range.file == 9 { Err(ExceptionCode::IllegalDataAddress.into()) } else { Ok(()) }
    }

    async fn write_file(&self, range: FileRange<'_>, values: Registers<'_>) -> Result<(), Failure> {
        self.0.set(Area::InputRegister, range.record, &values.iter().collect::<Vec<_>>())?;
        Ok(())
    }

    async fn exception_status(&self, _: UnitId) -> Result<u8, Failure> {
        Ok(0x6D)
    }

    async fn server_id(&self, unit: UnitId, out: &mut [u8]) -> Result<usize, Failure> {
        out[..2].copy_from_slice(&[unit.0, 0xFF]);
        Ok(2)
    }
}

#[tokio::test]
async fn a_model_that_waits_answers_every_function() {
    let memory = Memory::with_sizes(100, 100, 100, 100);
    let server = Server::tcp("127.0.0.1:0", Mixed(memory.clone()));
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    assert_eq!(master.ask(&write(5, &[7, 8])).await, [16, 0, 5, 0, 2]);
    assert_eq!(registers(&master.ask(&read(3, 4, 3)).await), [0, 7, 8]);
    assert_eq!(master.ask(&[5, 0, 2, 0xFF, 0]).await, [5, 0, 2, 0xFF, 0]);
    assert_eq!(master.ask(&read(1, 0, 3)).await, [1, 1, 0b100]);
    assert_eq!(master.ask(&[22, 0, 5, 0, 0xF0, 0, 0x05]).await, [22, 0, 5, 0, 0xF0, 0, 0x05]);
    assert_eq!(memory.value(Area::HoldingRegister, 5), Some(0x05));
    assert_eq!(master.ask(&[23, 0, 5, 0, 2, 0, 6, 0, 1, 2, 0, 9]).await, [23, 4, 0, 5, 0, 9]);
    assert_eq!(master.ask(&[23, 0, 99, 0, 2, 0, 6, 0, 1, 2, 0, 1]).await, [0x97, 2]);
    assert_eq!(memory.value(Area::HoldingRegister, 6), Some(9), "a range that cannot be read leaves nothing written");
    assert_eq!(master.ask(&[24, 0, 1]).await, [24, 0, 8, 0, 3, 0, 1, 0, 2, 0, 3]);
    assert_eq!(master.ask(&[24, 0, 2]).await, [0x98, 3], "more than 31 values");
    let files = [20, 14, 6, 0, 4, 0, 1, 0, 2, 6, 0, 3, 0, 9, 0, 1];
    assert_eq!(master.ask(&files).await, [20, 10, 5, 6, 1, 0x91, 1, 0x92, 3, 6, 1, 0x35]);
    let files = [21, 9, 6, 0, 4, 0, 7, 0, 1, 0x12, 0x34];
    assert_eq!(master.ask(&files).await, files);
    assert_eq!(memory.value(Area::InputRegister, 7), Some(0x1234));
    // The second group is refused: the first must not be written either.
    let files = [21, 18, 6, 0, 4, 0, 7, 0, 1, 0, 1, 6, 0, 9, 0, 7, 0, 1, 0, 2];
    assert_eq!(master.ask(&files).await, [0x95, 2]);
    assert_eq!(memory.value(Area::InputRegister, 7), Some(0x1234));
    assert_eq!(master.ask(&[7]).await, [7, 0x6D]);
    assert_eq!(master.ask_unit(3, &[17]).await, [17, 2, 3, 0xFF]);
    assert_eq!(master.ask(&[8, 0, 0, 1, 2]).await, [0x88, 1], "not on TCP unless the application wants it");
}
