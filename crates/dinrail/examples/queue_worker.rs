//! Orders for a device, done one by one over one connection: `cargo run --example queue_worker -- 192.168.0.10:502`
//!
//! Results come in the order of the orders. The queue holds eight; whoever has more waits. It ends when it is told to.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use dinrail::client::Queue;
use dinrail::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:502".into());
    for result in work(&server, &[0, 1, 2, 10, 11, 12]).await? {
        println!("{}", result?);
    }
    Ok(())
}

/// The registers at these addresses, in their order.
pub async fn work(server: &str, addresses: &[u16]) -> Result<Vec<Result<u16, Error>>, Error> {
    let queue = Queue::new(Client::connect(server).await?, 8);
    let mut orders = Vec::new();
    for &address in addresses {
        let order = queue.submit(move |plc| async move { Ok(plc.read_holding_registers(address, 1).await?[0]) });
        orders.push(order.await?);
    }
    let mut results = Vec::new();
    for order in orders {
        results.push(order.await);
    }
    queue.close().await; // what was submitted is done; the connection is closed
    Ok(results)
}
