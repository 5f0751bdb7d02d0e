//! Gateways between a serial bus and TCP, each way: a client on the one side is the service on the other.

use std::time::Duration;

use dinrail::client::Options;
use dinrail::service::{Memory, Units};
use dinrail::transport::{Serial, Tcp};
use dinrail::{Area, Client, Error, ExceptionCode, Server};
use tokio::net::TcpSocket;

use crate::bus::{Bus, rtu};

fn device(first: u16) -> Memory {
    let memory = Memory::with_sizes(0, 0, 10, 0);
    memory.set(Area::HoldingRegister, 0, &[first, first + 1]).expect("they fit");
    memory
}

#[tokio::test]
async fn s004_14_from_tcp_to_devices_on_a_serial_bus() {
    let bus = Bus::new(2);
    let devices = [device(20), device(30)];
    let units = Units::new().with(2, devices[0].clone()).with(3, devices[1].clone());
    let line = Server::serial(Serial::rtu(bus.port(1)), units);
    line.start().await.expect("the port opens");

    let patience = Options::default().with_timeout(Duration::from_millis(500));
    let to_line = Client::lazy(Serial::rtu(bus.port(0)), patience);
    let units = [2, 3, 4].into_iter().fold(Units::new(), |units, unit| units.with(unit, to_line.clone()));
    let gateway = Server::tcp("127.0.0.1:0", units.with_missing(ExceptionCode::GatewayPathUnavailable));
    let master = Client::connect(gateway.start().await.expect("a port")).await.expect("a connection");

    assert_eq!(master.unit(2).read_holding_registers(0, 2).await.expect("an answer"), [20, 21]);
    // From several masters at once; the line takes turns.
    let (two, three) = (master.unit(2), master.unit(3));
    let (read, written) = tokio::join!(two.read_holding_registers(1, 1), three.write_registers(4, &[7, 8]));
    assert_eq!(read.expect("an answer"), [21]);
    written.expect("it was done");
    assert_eq!(devices[1].value(Area::HoldingRegister, 5), Some(8), "the device itself has it");

    let refused = |result: Result<Vec<u16>, Error>| match result {
        Err(Error::Exception(code)) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused(three.read_holding_registers(9, 2).await),
        ExceptionCode::IllegalDataAddress,
        "the device's word"
    );
    let silent = master.unit(4).read_holding_registers(0, 1).await;
    assert_eq!(refused(silent), ExceptionCode::GatewayTargetFailedToRespond, "nobody on the line says anything");
    let nowhere = master.unit(5).read_holding_registers(0, 1).await;
    assert_eq!(refused(nowhere), ExceptionCode::GatewayPathUnavailable);
    assert_eq!(three.read_holding_registers(0, 1).await.expect("its neighbour is none the worse"), [30]);
}

#[tokio::test]
async fn s004_14_from_a_serial_bus_to_devices_on_tcp() {
    let memory = device(20);
    let far = Server::tcp("127.0.0.1:0", memory.clone());
    let address = far.start().await.expect("a port");
    let nobody = TcpSocket::new_v4().expect("a socket");
    nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");

    let lazy = |address| Client::lazy(Tcp::new(address), Options::default().with_timeout(Duration::from_millis(500)));
    let units = Units::new().with(2, lazy(address)).with(3, lazy(nobody.local_addr().expect("an address")));
    let mut bus = Bus::new(1);
    let gateway = Server::serial(Serial::rtu(bus.port(0)), units);
    gateway.start().await.expect("the port opens");

    assert_eq!(bus.ask(&rtu(2, &[3, 0, 0, 0, 2]), 9).await, rtu(2, &[3, 4, 0, 20, 0, 21]));
    assert_eq!(bus.ask(&rtu(2, &[6, 0, 4, 0, 9]), 8).await, rtu(2, &[6, 0, 4, 0, 9]));
    assert_eq!(memory.value(Area::HoldingRegister, 4), Some(9), "the device itself has it");
    assert_eq!(bus.ask(&rtu(2, &[3, 0, 9, 0, 2]), 5).await, rtu(2, &[0x83, 2]));
    assert_eq!(bus.ask(&rtu(3, &[3, 0, 0, 0, 1]), 5).await, rtu(3, &[0x83, 0x0A]), "a device that cannot be reached");
    assert_eq!(bus.tell(&rtu(4, &[3, 0, 0, 0, 1])).await, [], "another device of the bus");
    far.stop().await;
    assert_eq!(bus.ask(&rtu(2, &[3, 0, 0, 0, 1]), 5).await, rtu(2, &[0x83, 0x0A]), "it has gone");
}
