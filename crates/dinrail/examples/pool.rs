//! Sixty reads of several devices over few connections: `cargo run --example pool -- 10.0.0.1 10.0.0.2 10.0.0.3:1502`
//!
//! Devices take few connections, often no more than two. The pool opens no more than that, and whoever finds all of them
//! in use waits in line.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use dinrail::Error;
use dinrail::client::Pool;
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let servers: Vec<String> = std::env::args().skip(1).collect();
    let pool = Pool::new(2);
    let read = read_all(&pool, &servers, 60).await?;
    println!("{read} registers read, {} connections to {} devices", pool.connections(), servers.len());
    Ok(())
}

/// Reads `count` registers, each by a task of its own, from one device after the other.
pub async fn read_all(pool: &Pool, servers: &[String], count: u16) -> Result<usize, Error> {
    let mut reads = JoinSet::new();
    for (address, server) in (0..count).zip(servers.iter().cycle()) {
        let (pool, server) = (pool.clone(), server.clone());
        reads.spawn(async move { pool.client(server).await?.read_holding_registers(address, 1).await });
    }
    reads.join_all().await.into_iter().try_fold(0, |read, registers| Ok(read + registers?.len()))
}
