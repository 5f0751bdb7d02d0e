//! Reads and writes the heating of `first_server`.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use dinrail::point::Point;
use dinrail::proto::value::DataType;
use dinrail::{Area, Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5020".to_owned());
    let client = Client::connect(address).await?;

    // Registers as they are: 16 bits each, and what they mean is for you to know.
    println!("input register 0 holds {}", client.read_input_registers(0, 1).await?[0]);

    // Values as they are meant.
    let temperature = Point::new("temperature", Area::InputRegister, 0).with_type(DataType::I16).with_scale(0.1);
    let setpoint = Point::new("setpoint", Area::HoldingRegister, 0).with_type(DataType::F32);
    println!("it is {} °C", client.read_point(&temperature).await?);

    // This returns when the heating has taken it, and not before.
    client.write_point(&setpoint, 22.5).await?;
    println!("it is to be {} °C", client.read_point(&setpoint).await?);

    // A device may refuse; nothing was done then.
    match client.write_point(&setpoint, 99.0).await {
        Err(Error::Exception(code)) => println!("99 °C: refused with exception {code}"),
        other => other?,
    }
    println!("it is still to be {} °C", client.read_point(&setpoint).await?);
    Ok(())
}
