//! A gateway from Modbus TCP to lines with RTU frames: who is asked, and what the master is told about those who are not
//! there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::proto::Framing;
use dinrail::server::MissingUnit;
use dinrail::service::{Read, Units, Write, callbacks};
use dinrail::transport::Tcp;
use dinrail::{Client, ExceptionCode, Server, Service, client, server};
use tokio::net::TcpSocket;

use crate::raw::{Raw, read, registers};

/// What the devices of a line were asked, as they see it.
type Seen = Arc<Mutex<Vec<String>>>;

/// A line with these units; a device's registers hold 100 times its unit and their address.
async fn line(units: &[u8], seen: &Seen) -> (Server<Units>, Client) {
    let mut all = Units::new().ignore_missing();
    for unit in units {
        let (reads, writes) = (seen.clone(), seen.clone());
        all = all.with(
            *unit,
            callbacks(
                move |read: Read| {
                    reads.lock().unwrap().push(format!("{} reads {}", read.unit, read.address));
                    let last = read.address.checked_add(read.count).filter(|end| *end <= 10);
                    last.ok_or(ExceptionCode::IllegalDataAddress)?;
                    Ok((0..read.count).map(|n| 100 * u16::from(read.unit.0) + read.address + n).collect::<Vec<u16>>())
                },
                move |write: Write| {
                    writes.lock().unwrap().push(format!("{} writes {:?}", write.unit, write.values.to_vec()));
                    Ok(())
                },
            ),
        );
    }
    let options = server::Options::default().with_framing(Framing::Rtu).with_missing_units(MissingUnit::Ignore);
    let server = Server::tcp("127.0.0.1:0", all).with_options(options);
    let address = server.start().await.unwrap();
    (server, lazy(Tcp::new(address)))
}

fn lazy(line: Tcp) -> Client {
    let options = client::Options::default().with_timeout(Duration::from_millis(150));
    Client::lazy(line.with_framing(Framing::Rtu), options)
}

#[tokio::test]
async fn s004_14_units_are_routed_to_their_lines_and_who_is_not_there_is_told_by_0x0a_or_0x0b() {
    let (first, second) = (Seen::default(), Seen::default());
    let (_one, to_one) = line(&[1, 2], &first).await;
    let (two, to_two) = line(&[3], &second).await;
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let units = Units::new()
        .with(1, to_one.clone())
        .with(2, to_one)
        .with(3, to_two.clone())
        .with(4, to_two)
        .with(5, lazy(Tcp::new(nobody.local_addr().unwrap())))
        .with_missing(ExceptionCode::GatewayPathUnavailable);
    let gateway = Server::tcp("127.0.0.1:0", units.boxed());
    let mut master = Raw::connect(gateway.start().await.unwrap()).await;

    assert_eq!(registers(&master.ask_unit(1, &read(3, 4, 2)).await), [104, 105]);
    assert_eq!(registers(&master.ask_unit(2, &read(3, 0, 1)).await), [200]);
    assert_eq!(registers(&master.ask_unit(3, &read(4, 9, 1)).await), [309]);
    assert_eq!(master.ask_unit(2, &[6, 0, 7, 0, 8]).await, [6, 0, 7, 0, 8]);
    assert_eq!(*first.lock().unwrap(), ["1 reads 4", "2 reads 0", "2 writes [8]"]);
    assert_eq!(*second.lock().unwrap(), ["3 reads 9"]);

    assert_eq!(master.ask_unit(3, &read(3, 9, 2)).await, [0x83, 2], "the device's own word");
    assert_eq!(master.ask_unit(4, &read(3, 0, 1)).await, [0x83, 0x0B], "silent on a line that is there");
    assert_eq!(master.ask_unit(4, &[6, 0, 0, 0, 1]).await, [0x86, 0x0B]);
    assert_eq!(master.ask_unit(5, &read(3, 0, 1)).await, [0x83, 0x0A], "a line that is not there");
    assert_eq!(master.ask_unit(9, &read(3, 0, 1)).await, [0x83, 0x0A], "a unit that no line has");
    assert_eq!(registers(&master.ask_unit(3, &read(3, 0, 1)).await), [300], "its neighbour is none the worse");

    two.stop().await;
    let reply = master.ask_unit(3, &read(3, 0, 1)).await;
    assert!(reply == [0x83, 0x0A] || reply == [0x83, 0x0B], "{reply:02x?}");
    assert_eq!(registers(&master.ask_unit(1, &read(3, 0, 1)).await), [100], "the other line is none the worse");
}
