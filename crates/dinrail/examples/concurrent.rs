//! Reads several devices at the same time: `cargo run --example concurrent -- 10.0.0.1 10.0.0.2 10.0.0.3:1502`
//!
//! It takes as long as the slowest of them. One that does not answer costs the others nothing.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use dinrail::{Client, Error};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for (server, result) in read_all(std::env::args().skip(1).collect()).await {
        match result {
            Ok(values) => println!("{server}: {values:?}"),
            Err(error) => println!("{server}: {error}"),
        }
    }
}

/// Three registers from address 10 of unit 1 of each device, in the order of the devices.
pub async fn read_all(servers: Vec<String>) -> Vec<(String, Result<Vec<u16>, Error>)> {
    let mut calls = JoinSet::new();
    for (index, server) in servers.into_iter().enumerate() {
        calls.spawn(async move {
            let result = read(&server).await;
            (index, server, result)
        });
    }
    let mut results = calls.join_all().await;
    results.sort_by_key(|(index, ..)| *index);
    results.into_iter().map(|(_, server, result)| (server, result)).collect()
}

async fn read(server: &str) -> Result<Vec<u16>, Error> {
    let client = Client::connect(server).await?.unit(1);
    client.read_holding_registers(10, 3).await
}
