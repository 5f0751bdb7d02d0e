//! Reads from a device that is busy or loses requests: `cargo run --example retry -- 192.168.0.10:502`
//!
//! A read is asked again; a write whose outcome is unknown is not, unless that is asked for.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::time::Duration;

use dinrail::client::{Backoff, Options, Retry};
use dinrail::transport::Tcp;
use dinrail::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:502".into());
    match read(&server, Duration::from_secs(1)).await {
        Ok(values) => println!("{values:?}"),
        Err(error) if error.is_timeout() => println!("gave up: {error}"),
        Err(error) => println!("{error}"),
    }
}

/// Up to four tries, each of which waits for `timeout`, with 50, 100 and 200 ms between them; after ten seconds it is
/// given up in any case. A lost reply, a lost connection and a busy device (exception 06) are worth another try, other
/// exceptions are not.
pub async fn read(server: &str, timeout: Duration) -> Result<Vec<u16>, Error> {
    let waits = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    let retry = Retry::attempts(4).with_backoff(waits).with_deadline(Duration::from_secs(10));
    let options = Options::default().with_timeout(timeout).with_retry(retry);
    let client = Client::connect_with(Tcp::new(server), options).await?;
    client.read_holding_registers(0, 2).await
}
