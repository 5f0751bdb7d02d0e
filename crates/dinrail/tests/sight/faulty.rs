//! Clients and servers on bad lines.

use std::time::Duration;

use dinrail::client::{self, Client, Retry};
use dinrail::proto::Area;
use dinrail::service::Memory;
use dinrail::transport::{Faults, Faulty, Tcp};

use crate::harness::{Serving, listener};

fn memory() -> Memory {
    let memory = Memory::new();
    let values: Vec<u16> = (0..1000).collect();
    memory.set(Area::HoldingRegister, 0, &values).expect("in range");
    memory
}

fn options() -> client::Options {
    client::Options::default().with_timeout(Duration::from_millis(100)).with_retry(Retry::attempts(20))
}

/// Pieces, doubles and losses of whole frames: what a client returns is right, and it gets there. (A piece of a frame
/// that is lost makes another frame of what follows: TCP framing has no checksum, since TCP loses nothing.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_right_over_lines_that_split_merge_repeat_and_lose() {
    let faults: Faults = "drop=5%,split=30%,merge=10%,duplicate=5%,seed=11".parse().expect("right");
    let (listener, address) = listener().await;
    let server = Serving::start(Faulty::new(listener, faults), memory());
    let client = Client::connect_with(Tcp::from(address), options()).await.expect("it listens");
    for start in 0..60u16 {
        let read = client.read_holding_registers(start, 7).await.expect("within 20 tries");
        assert_eq!(read, (start..start + 7).collect::<Vec<_>>());
    }
    assert!(client.stats().timeouts > 0, "the line is bad: {:?}", client.stats());
    client.close();
    server.stop().await;
}

/// What is flipped may break the framing of TCP; then the connection is made anew, as a bad line like the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_connects_again_when_the_line_breaks_its_framing() {
    let faults = Faults::default().with_lose(0.01).with_seed(5);
    let (listener, address) = listener().await;
    let server = Serving::start(listener, memory());
    let client = Client::connect_with(Faulty::new(Tcp::from(address), faults), options()).await.expect("it listens");
    let mut answered = 0;
    for start in 0..60u16 {
        answered += usize::from(client.read_holding_registers(start, 7).await.is_ok());
    }
    assert!(answered > 30, "{answered} of 60 answered");
    assert!(client.stats().reconnects > 0, "{:?}", client.stats());
    client.close();
    server.stop().await;
}
