//! Serves the suite's data set with dinrail, with every function code that it knows.

use std::collections::BTreeMap;
use std::future::{Future, pending, ready};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dinrail::proto::pdu::{Bits, BitsMut, Registers, RegistersMut};
use dinrail::proto::{Area, ExceptionCode, FunctionCode, UnitId};
use dinrail::service::{DataModel, DeviceIdentity, Failure, FileRange, Memory, Service, Target, Units};
use dinrail::{Error, Server};
use dinrail_peer::cells::{self, Cells};

use crate::Medium;

type Done = Result<(), Failure>;

/// One unit: the four areas are dinrail's own store, the rest is here.
struct Unit {
    memory: Memory,
    files: Mutex<BTreeMap<u16, Vec<u16>>>,
}

impl Unit {
    fn new(cells: &Cells) -> Result<Self, ExceptionCode> {
        let memory = Memory::with_sizes(cells::SIZE, cells::SIZE, cells::SIZE, cells::SIZE);
        let bits = |bits: &[bool]| bits.iter().copied().map(u16::from).collect::<Vec<_>>();
        memory.set(Area::Coil, 0, &bits(&cells.coils))?;
        memory.set(Area::DiscreteInput, 0, &bits(&cells.discretes))?;
        memory.set(Area::HoldingRegister, 0, &cells.holdings)?;
        memory.set(Area::InputRegister, 0, &cells.inputs)?;
        Ok(Self { memory, files: Mutex::new(cells::files()) })
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<u16, Vec<u16>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registers of a group, if the file has them.
fn group<'a>(files: &'a mut BTreeMap<u16, Vec<u16>>, range: &FileRange<'_>) -> Result<&'a mut [u16], Failure> {
    let start = usize::from(range.record);
    files
        .get_mut(&range.file)
        .and_then(|file| file.get_mut(start..start + usize::from(range.count)))
        .ok_or(Failure::Exception(ExceptionCode::IllegalDataAddress))
}

impl DataModel for Unit {
    fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> impl Future<Output = Done> + Send {
        self.memory.read_bits(target, out)
    }

    fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> impl Future<Output = Done> + Send {
        self.memory.read_registers(target, out)
    }

    fn write_bits(&self, target: Target<'_>, values: Bits<'_>) -> impl Future<Output = Done> + Send {
        self.memory.write_bits(target, values)
    }

    fn write_registers(&self, target: Target<'_>, values: Registers<'_>) -> impl Future<Output = Done> + Send {
        self.memory.write_registers(target, values)
    }

    fn read_fifo(
        &self,
        target: Target<'_>,
        out: &mut RegistersMut<'_>,
    ) -> impl Future<Output = Result<usize, Failure>> + Send {
        ready(match cells::fifo(target.address) {
            Some(queue) => Ok(out.copy_from(queue)),
            None => Err(ExceptionCode::IllegalDataAddress.into()),
        })
    }

    fn read_file(&self, range: FileRange<'_>, out: &mut RegistersMut<'_>) -> impl Future<Output = Done> + Send {
        ready(group(&mut self.files(), &range).map(|registers| {
            out.copy_from(registers);
        }))
    }

    fn check_file_write(&self, range: FileRange<'_>) -> impl Future<Output = Done> + Send {
        ready(group(&mut self.files(), &range).map(|_| ()))
    }

    fn write_file(&self, range: FileRange<'_>, values: Registers<'_>) -> impl Future<Output = Done> + Send {
        ready(group(&mut self.files(), &range).map(|registers| {
            values.copy_to(registers);
        }))
    }

    fn exception_status(&self, _unit: UnitId) -> impl Future<Output = Result<u8, Failure>> + Send {
        ready(Ok(cells::EXCEPTION_STATUS))
    }

    fn server_id(&self, _unit: UnitId, out: &mut [u8]) -> impl Future<Output = Result<usize, Failure>> + Send {
        let bytes = [&[cells::SERVER_ID, 0xFF], cells::SERVER_ADDITIONAL].concat();
        out[..bytes.len()].copy_from_slice(&bytes);
        ready(Ok(bytes.len()))
    }
}

fn identity() -> DeviceIdentity {
    cells::identity()
        .into_iter()
        .fold(DeviceIdentity::default(), |all, (id, value)| all.with_object(id, value.as_bytes()))
}

async fn reverse(mut data: Vec<u8>) -> Result<Vec<u8>, Failure> {
    data.reverse();
    Ok(data)
}

fn units() -> Result<Units, ExceptionCode> {
    let function = FunctionCode::new(cells::CUSTOM_CODE).ok_or(ExceptionCode::IllegalFunction)?;
    let mut units = Units::new();
    for unit in cells::UNITS {
        let service = Unit::new(&Cells::of_unit(unit))?.with_identity(identity()).with_function(function, reverse);
        units = units.with(unit, service);
    }
    Ok(units)
}

/// Listens on a free port, prints it, and serves until killed.
pub(crate) async fn run(medium: Medium) -> Result<(), Error> {
    let address = "127.0.0.1:0";
    let server = match medium {
        Medium::Tcp => Server::tcp(address, units()?),
        Medium::Udp => Server::udp(address, units()?),
    };
    println!("{}", server.start().await?.port());
    pending().await
}
