//! Shows what changes in a device, until Ctrl-C or for so many changes: `cargo run --example monitor -- 192.168.0.10:502 3`
//!
//! It goes on when the device is away, says so, and finds it again. When it stops, the connection is closed.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::time::Duration;

use dinrail::client::{Backoff, Options};
use dinrail::point::Point;
use dinrail::transport::Tcp;
use dinrail::watch::Watch;
use dinrail::{Area, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:502".into());
    let count = std::env::args().nth(2).and_then(|count| count.parse().ok()).unwrap_or(usize::MAX);
    let mut watch = start(&server, Duration::from_secs(1));
    let show = async {
        for _ in 0..count {
            match watch.next().await {
                Some(change) => println!("{change}"),
                None => break,
            }
        }
    };
    tokio::select! {
        () = show => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    watch.stop().await;
}

/// Three registers each `period`, and two that change seldom ten times less often.
pub fn start(server: &str, period: Duration) -> Watch {
    let register = |address: u16| Point::new(format!("register {address}"), Area::HoldingRegister, address);
    // Soon after the device is back, so are we.
    let options = Options::default().with_reconnect(Backoff::new(Duration::from_millis(50), Duration::from_secs(2)));
    Watch::new(Client::lazy(Tcp::new(server), options))
        .every(period, [0, 1, 2].map(register))
        .every(10 * period, [10, 11].map(register))
}
