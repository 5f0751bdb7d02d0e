//! Asks a device no more than 20 times a second: `cargo run --example rate_limit -- 192.168.0.10:502`
//!
//! Requests are spaced evenly, 50 ms apart, whoever makes them and however many wait.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::time::{Duration, Instant};

use dinrail::client::RateLimit;
use dinrail::{Client, Error};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:502".into());
    let started = Instant::now();
    let values = read_all(&server, 20).await?;
    let slow = started.elapsed() >= Duration::from_millis(950);
    println!("{} requests in 0.95 s or more: {slow}", values.len());
    Ok(())
}

/// The first register, the second and so on, each by a request of its own, all at the same time.
pub async fn read_all(server: &str, count: u16) -> Result<Vec<u16>, Error> {
    let client = Client::connect(server).await?.with_rate_limit(RateLimit::per_second(20));
    let mut calls = JoinSet::new();
    for address in 0..count {
        let client = client.clone();
        calls.spawn(async move { client.read_holding_registers(address, 1).await });
    }
    let mut values = Vec::new();
    for registers in calls.join_all().await {
        values.extend(registers?);
    }
    values.sort_unstable();
    Ok(values)
}
