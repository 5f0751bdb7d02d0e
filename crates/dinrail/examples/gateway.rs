//! A gateway from Modbus TCP to serial lines, with units on each: `cargo run --example gateway`
//!
//! Two lines are simulated, with RTU frames over TCP as device servers carry them: units 1 and 2 are on the first, unit 3 is
//! on the second, where unit 4 is switched off. The third line's device server is not there at all. What a master sees
//! is printed. For real lines take `dinrail::transport::Serial` in place of `Tcp`.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::net::SocketAddr;
use std::time::Duration;

use dinrail::proto::Framing;
use dinrail::server::MissingUnit;
use dinrail::service::{Memory, Units};
use dinrail::transport::Tcp;
use dinrail::{Area, Client, Error, ExceptionCode, Server, client, server};
use tokio::net::TcpSocket;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (first, second) = (devices(&[1, 2]), devices(&[3]));
    let (one, two) = (line(first.start().await?), line(second.start().await?));
    let (_reserved, address) = unused()?;
    let gone = line(address);

    // A client is a service: this is the gateway.
    let units = Units::new()
        .with(1, one.clone())
        .with(2, one)
        .with(3, two.clone())
        .with(4, two)
        .with(5, gone)
        .with_missing(ExceptionCode::GatewayPathUnavailable); // no way leads to other units
    let gateway = Server::tcp("127.0.0.1:0", units);

    let master = Client::connect(gateway.start().await?).await?;
    for unit in [1, 2, 3, 4, 5, 9] {
        say(unit, "read", master.unit(unit).read_holding_registers(0, 2).await);
    }
    say(2, "written", master.unit(2).write_register(0, 7).await);
    say(2, "read", master.unit(2).read_holding_registers(0, 2).await);
    say(3, "read beyond its end", master.unit(3).read_holding_registers(2, 1).await);
    say(4, "written", master.unit(4).write_register(0, 7).await);
    gateway.stop().await;
    Ok(())
}

fn say<T: std::fmt::Debug>(unit: u8, what: &str, result: Result<T, Error>) {
    match result {
        Ok(value) => println!("unit {unit} {what}: {value:?}"),
        Err(Error::Exception(code)) => println!("unit {unit} {what}: exception {code}"),
        Err(error) => println!("unit {unit} {what}: {error}"),
    }
}

/// A line of the gateway's. It is connected to when it is first needed, and again when it was lost.
fn line(device_server: SocketAddr) -> Client {
    let options = client::Options::default().with_timeout(Duration::from_millis(250));
    Client::lazy(Tcp::new(device_server).with_framing(Framing::Rtu), options)
}

/// The devices of a line, each with two registers; nobody answers for units that are not there.
fn devices(units: &[u8]) -> Server<Units> {
    let mut all = Units::new().ignore_missing();
    for unit in units {
        let memory = Memory::with_sizes(0, 0, 2, 0);
        let values = [u16::from(*unit) * 10 + 1, u16::from(*unit) * 10 + 2];
        memory.set(Area::HoldingRegister, 0, &values).expect("there is room for two");
        all = all.with(*unit, memory);
    }
    let options = server::Options::default().with_framing(Framing::Rtu).with_missing_units(MissingUnit::Ignore);
    Server::tcp("127.0.0.1:0", all).with_options(options)
}

/// An address where nobody listens, as long as the socket lives.
fn unused() -> std::io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}
