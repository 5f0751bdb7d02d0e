//! A Modbus TCP server that owns no data: a map of the application's is read and written through two closures.
//!
//! Run it, then in another terminal: `mbpoll -m tcp -p 5020 -r 101 -c 2 -1 127.0.0.1`, or
//! `dinrail read tcp://127.0.0.1:5020 hr:100 -n 2`.

#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use dinrail::service::{Failure, Read, Values, Write, callbacks};
use dinrail::{Area, Server};

type Points = Arc<Mutex<HashMap<(Area, u16), u16>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), dinrail::Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5020".to_owned());
    let points = Points::default();
    points.lock().expect("no holder panics").extend([
        ((Area::HoldingRegister, 100), 230),
        ((Area::HoldingRegister, 101), 50),
        ((Area::Coil, 0), 1),
    ]);

    let (reading, writing) = (points.clone(), points);
    let server =
        Server::tcp(address, callbacks(move |read| on_read(&reading, read), move |write| on_write(&writing, write)));
    println!("listening on {}", server.start().await?);
    server.serve_until(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?;
    Ok(())
}

fn on_read(points: &Points, read: Read) -> Result<Values, Failure> {
    let points = points.lock().expect("no holder panics");
    let mut found = Vec::new();
    for address in read.range() {
        // A point that is not there is an error of ours: the master is told 0x04, and the log says why.
        let value = points.get(&(read.area, address as u16));
        found.push(*value.ok_or_else(|| Failure::message(format!("no {} {address}", read.area)))?);
    }
    Ok(if read.area.is_bits() { Values::bits(found.iter().map(|v| *v != 0)) } else { Values::registers(found) })
}

fn on_write(points: &Points, write: Write) -> Result<(), Failure> {
    let mut points = points.lock().expect("no holder panics");
    for (address, value) in write.range().zip(write.values.to_vec()) {
        points.insert((write.area, address as u16), value);
    }
    Ok(())
}
