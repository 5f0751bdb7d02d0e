//! A heating with a temperature to read and a setpoint to write.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::sync::Mutex;

use dinrail::bridge::PointMap;
use dinrail::point::Point;
use dinrail::proto::value::DataType;
use dinrail::service::Failure;
use dinrail::{Area, Error, Server};

// The data is yours: a variable here, a device or a database elsewhere.
static SETPOINT: Mutex<f64> = Mutex::new(21.0);

fn setpoint() -> Result<f64, Failure> {
    Ok(*SETPOINT.lock().expect("no holder panics"))
}

fn change_setpoint(degrees: f64) -> Result<(), Failure> {
    if !(5.0..=30.0).contains(&degrees) {
        return Err(Failure::message(format!("{degrees} °C is more or less than the heating can do")));
    }
    *SETPOINT.lock().expect("no holder panics") = degrees;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5020".to_owned());

    // A register that counts tenths of a degree, and a float in two registers.
    let temperature = Point::new("temperature", Area::InputRegister, 0).with_type(DataType::I16).with_scale(0.1);
    let target = Point::new("setpoint", Area::HoldingRegister, 0).with_type(DataType::F32);
    let heating = PointMap::builder()
        .bind_read_only(temperature, || Ok(19.5)) // where you would ask a sensor
        .bind(target, setpoint, change_setpoint)
        .build()?;

    let server = Server::tcp(address, heating);
    println!("listening on {}", server.start().await?);
    server.serve_until(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?;
    Ok(())
}
