//! Serves the suite's data set with dinrail, with every function code that it knows.

use std::error::Error;
use std::future::pending;

use dinrail::Server;
use dinrail::proto::{Area, ExceptionCode, FunctionCode};
use dinrail::server::{DiagnosticsMode, Options};
use dinrail::service::{DeviceIdentity, ExceptionStatus, Failure, Fifos, Files, Memory, ServerId, Service, Units};
use dinrail::transport::Endpoint;
use dinrail_peer::cells::{self, Cells};

use crate::{LENGTHS, security};

/// The four areas of a unit.
fn memory(cells: &Cells) -> Result<Memory, ExceptionCode> {
    let memory = Memory::with_sizes(cells::SIZE, cells::SIZE, cells::SIZE, cells::SIZE);
    let bits = |bits: &[bool]| bits.iter().copied().map(u16::from).collect::<Vec<_>>();
    memory.set(Area::Coil, 0, &bits(&cells.coils))?;
    memory.set(Area::DiscreteInput, 0, &bits(&cells.discretes))?;
    memory.set(Area::HoldingRegister, 0, &cells.holdings)?;
    memory.set(Area::InputRegister, 0, &cells.inputs)?;
    Ok(memory)
}

fn files() -> Files {
    cells::files().into_iter().fold(Files::new(), |all, (number, records)| all.with_file(number, records))
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
        let queues = cells::FIFOS
            .into_iter()
            .fold(Fifos::new().apart(), |all, (pointer, queue)| all.with_queue(pointer, queue.iter().copied()));
        let service = memory(&Cells::of_unit(unit))?
            .with_part(files())
            .with_part(queues)
            .with_part(ExceptionStatus::new(cells::EXCEPTION_STATUS))
            .with_part(ServerId::new([cells::SERVER_ID]).with_additional(cells::SERVER_ADDITIONAL))
            .with_identity(identity())
            .with_function(function, reverse);
        units = units.with(unit, service);
    }
    Ok(units)
}

/// Prints the port that it listens on, or that it is ready where there are no ports, and serves until killed.
pub(crate) async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let end = security::server(url.parse()?)?;
    let options = Options::default().with_diagnostics(DiagnosticsMode::Live).with_custom_lengths(LENGTHS);
    let server = Server::on(end, units()?.with_rules(security::rules())).with_options(options);
    match server.start().await? {
        Endpoint::Serial(_) => println!("ready"),
        network => println!("{}", network.to_string().rsplit(':').next().unwrap_or_default()),
    }
    pending().await
}
