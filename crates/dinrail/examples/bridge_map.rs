//! A building controller behind a Modbus server, point by point: `cargo run --example bridge_map`
//!
//! The controller is simulated: objects with a name and a value, asked and commanded over something slow, as BACnet or OPC
//! UA would be. It refuses what is out of range, and one of its devices does not answer. What a Modbus master sees of all
//! that is printed.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::bridge::{PointMap, Upstream};
use dinrail::point::Point;
use dinrail::proto::value::{DataType, Value};
use dinrail::service::Failure;
use dinrail::{Area, Client, Error, Server};

/// The controller's objects, by name.
struct Controller(Mutex<HashMap<&'static str, f64>>);

impl Controller {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(HashMap::from([
            ("room temperature", 21.4),
            ("room setpoint", 21.0),
            ("fan speed", 35.0),
            ("fan enabled", 1.0),
        ]))))
    }

    fn object(&self, name: &str) -> Option<f64> {
        self.0.lock().expect("no holder panics").get(name).copied()
    }
}

/// Between Modbus and the controller: this is all that there is to write.
impl Upstream for Controller {
    async fn read(&self, point: &Point) -> Result<Value, Failure> {
        tokio::time::sleep(Duration::from_millis(5)).await; // the controller's own bus
        // It has never heard from the damper: the master is told 0x0B.
        let value = self.object(&point.name).ok_or(io::Error::from(io::ErrorKind::TimedOut))?;
        Ok(if point.area == Area::Coil { Value::Bit(value != 0.0) } else { Value::F64(value) })
    }

    async fn write(&self, point: &Point, value: Value) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let value = match value {
            Value::Bit(on) => f64::from(u8::from(on)),
            Value::F64(number) => number,
            other => return Err(Failure::message(format!("{other} is neither a number nor a bit"))),
        };
        let mut objects = self.0.lock().expect("no holder panics");
        let object = objects.get_mut(point.name.as_str()).ok_or(io::Error::from(io::ErrorKind::TimedOut))?;
        if point.name == "room setpoint" && !(16.0..=26.0).contains(&value) {
            return Err(Failure::message(format!("{value} is out of the controller's range"))); // 0x04, and a log record
        }
        *object = value;
        Ok(())
    }
}

/// What a master sees, address by address.
fn points() -> [Point; 5] {
    let holding = |name, address| Point::new(name, Area::HoldingRegister, address);
    let tenths = |name, address| holding(name, address).with_type(DataType::I16).with_scale(0.1);
    [
        tenths("room temperature", 0).with_unit("°C"),
        tenths("room setpoint", 1).with_unit("°C"),
        holding("fan speed", 10).with_type(DataType::F64).with_unit("%"),
        Point::new("fan enabled", Area::Coil, 0),
        tenths("damper position", 20).with_unit("%"),
    ]
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let controller = Controller::new();
    let map = PointMap::builder().attach(points(), controller.clone()).build()?;
    let server = Server::tcp("127.0.0.1:0", map);
    let master = Client::connect(server.start().await?).await?;

    println!("read hr:0 and hr:1: {:?}", master.read_holding_registers(0, 2).await?);
    println!("read co:0: {:?}", master.read_coils(0, 1).await?);

    master.write_register(1, 225).await?;
    println!("wrote 22.5 to hr:1; the controller has {:?}", controller.object("room setpoint"));
    say("wrote 40.0 to hr:1", master.write_register(1, 400).await);
    println!("the controller still has {:?}", controller.object("room setpoint"));
    say("wrote half of hr:10", master.write_register(10, 0x4000).await);
    say("wrote hr:20", master.write_register(20, 500).await);
    say("read hr:20", master.read_holding_registers(20, 1).await);
    say("read hr:2, which is not bound", master.read_holding_registers(2, 1).await);
    server.stop().await;
    Ok(())
}

fn say<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(Error::Exception(code)) => println!("{what}: exception {code}"),
        Err(error) => println!("{what}: {error}"),
    }
}
