//! Who is measured: the names, what each is in the tables, and the program that is it.
//!
//! Every one of them is started as `dinrail-benches server NAME` or `dinrail-benches client NAME`; for those that are
//! not Rust, that command becomes the foreign program (`foreign`).

mod foreign;

use std::process::Command;

use serde::{Deserialize, Serialize};

pub use self::foreign::{Missing, work_folder};

/// The servers, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ServerName {
    /// A bare epoll loop: the unit of every ratio.
    Floor,
    /// The same on tokio: what a server on that runtime can't go below.
    BareTokio,
    /// Ours, on its own loop, as the binary serves.
    Dinrail,
    /// Ours, in the runtime of the program that starts it.
    DinrailRuntime,
    /// Ours, on its own loop, while it counts for Prometheus. Its instructions are counted; it takes part in no round.
    DinrailMetrics,
    /// tokio-modbus with TCP_NODELAY.
    TokioModbus,
    /// tokio-modbus as it comes.
    TokioModbusNagle,
    /// libmodbus in a select() loop.
    Libmodbus,
    /// pymodbus's asyncio server.
    Pymodbus,
    /// modbus-serial on Node.
    ModbusSerial,
}

/// The clients, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ClientName {
    /// The load itself: the unit of every ratio.
    Raw,
    /// The same on tokio, one call at a time: what a client on that runtime can't go below.
    BareTokio,
    /// Ours.
    Dinrail,
    /// tokio-modbus.
    TokioModbus,
    /// libmodbus, a thread for each connection.
    Libmodbus,
    /// pymodbus, blocking, a thread for each connection.
    PymodbusSync,
    /// pymodbus on asyncio.
    PymodbusAsync,
    /// modbus-serial on Node.
    ModbusSerial,
}

/// How a client is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Connections.
    pub connections: usize,
    /// Calls open at once on each.
    pub calls: usize,
}

impl ServerName {
    /// As the tables call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Floor => "floor (bare epoll)",
            Self::BareTokio => "bare tokio",
            Self::Dinrail => "**dinrail**",
            Self::DinrailRuntime => "dinrail, caller's runtime",
            Self::DinrailMetrics => "dinrail, with metrics",
            Self::TokioModbus => "tokio-modbus, TCP_NODELAY",
            Self::TokioModbusNagle => "tokio-modbus, as it comes",
            Self::Libmodbus => "libmodbus",
            Self::Pymodbus => "pymodbus",
            Self::ModbusSerial => "modbus-serial",
        }
    }

    /// The foreign program, or `None` for those in this binary.
    pub fn program(self) -> Option<Result<Command, Missing>> {
        let program = match self {
            Self::Libmodbus => foreign::libmodbus(),
            Self::Pymodbus => foreign::pymodbus(),
            Self::ModbusSerial => foreign::modbus_serial(),
            _ => return None,
        };
        Some(program.map(|mut command| {
            command.arg("server");
            command
        }))
    }
}

impl ClientName {
    /// As the tables call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Raw => "bare client",
            Self::BareTokio => "bare tokio",
            Self::Dinrail => "**dinrail**",
            Self::TokioModbus => "tokio-modbus",
            Self::Libmodbus => "libmodbus",
            Self::PymodbusSync => "pymodbus, sync",
            Self::PymodbusAsync => "pymodbus, async",
            Self::ModbusSerial => "modbus-serial",
        }
    }

    /// Why a shape is not measured for it.
    pub fn not_offered(self, shape: Shape) -> Option<&'static str> {
        match self {
            Self::BareTokio | Self::Libmodbus | Self::PymodbusSync if shape.calls > 1 => Some("not offered"),
            _ => None,
        }
    }

    /// What the table has to say beside a figure.
    pub fn remark(self, shape: Shape) -> &'static str {
        match self {
            Self::TokioModbus | Self::PymodbusAsync if shape.calls > 1 => "one at a time, the others queue",
            Self::Libmodbus | Self::PymodbusSync if shape.connections > 1 => "a thread for each connection",
            _ => "",
        }
    }

    /// The foreign program, or `None` for those in this binary.
    pub fn program(self, port: u16, shape: Shape, milliseconds: u64) -> Option<Result<Command, Missing>> {
        let (program, way) = match self {
            Self::Libmodbus => (foreign::libmodbus(), None),
            Self::PymodbusSync => (foreign::pymodbus(), Some("sync")),
            Self::PymodbusAsync => (foreign::pymodbus(), Some("async")),
            Self::ModbusSerial => (foreign::modbus_serial(), None),
            _ => return None,
        };
        Some(program.map(|mut command| {
            command.arg("client").args(way).arg(port.to_string()).arg(shape.connections.to_string());
            if self != Self::Libmodbus {
                command.arg(shape.calls.to_string());
            }
            command.arg(milliseconds.to_string());
            command
        }))
    }
}

/// Name and version of everything that is measured and installed.
pub fn versions() -> Vec<(String, String)> {
    let lock = include_str!("../../Cargo.lock");
    let locked = ["tokio-modbus", "tokio", "mio"].into_iter().filter_map(|name| {
        let entry = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
        Some((name.to_owned(), entry.split('"').next()?.to_owned()))
    });
    let programs = [
        ("libmodbus", foreign::libmodbus()),
        ("pymodbus", foreign::pymodbus()),
        ("modbus-serial", foreign::modbus_serial()),
    ];
    let installed = programs.into_iter().filter_map(|(name, program)| {
        let output = program.ok()?.arg("version").output().ok()?;
        Some((name.to_owned(), String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    });
    locked.chain(installed).collect()
}
