//! Reads ten holding registers: `cargo run --example read -- 192.168.0.10:502`
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use dinrail::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:502".into());
    for (address, value) in read(&server).await?.into_iter().enumerate() {
        println!("{address}: {value}");
    }
    Ok(())
}

/// The connection is closed when the client goes out of scope.
pub async fn read(server: &str) -> Result<Vec<u16>, Error> {
    let client = Client::connect(server).await?;
    client.read_holding_registers(0, 10).await
}
