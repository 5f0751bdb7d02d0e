//! Row S001-31: hooks that see, alter and drop what passes: packets with `Rewrite`, PDUs with a service of one's own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::client::{self, Client};
use dinrail::proto::{Area, Response};
use dinrail::service::{Call, Memory, Reply, Service};
use dinrail::transport::{Direction, Rewrite, Tcp};
use dinrail::{Error, ExceptionCode};

use crate::harness::{Serving, listener};

fn memory() -> Memory {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0, &[1, 2, 3]).expect("in range");
    memory
}

#[tokio::test]
async fn s001_31_trace_packet_sees_alters_and_drops() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let packets = seen.clone();
    let (listener, address) = listener().await;
    let listener = Rewrite::new(listener, move |direction, bytes| {
        packets.lock().expect("no panic").push((direction, bytes.clone()));
        match (direction, bytes[7]) {
            (Direction::Sent, 3) => bytes[10] ^= 0x80, // the high bit of the first register's low byte
            (Direction::Received, 4) => bytes.clear(),
            _ => {}
        }
    });
    let server = Serving::start(listener, memory());
    let options = client::Options::default().with_timeout(Duration::from_millis(200));
    let client = Client::connect_with(Tcp::from(address), options).await.expect("it listens");
    assert_eq!(client.read_holding_registers(0, 2).await.expect("answered"), [0x81, 2], "altered");
    assert!(client.read_input_registers(0, 1).await.expect_err("dropped").is_timeout());
    client.close();
    server.stop().await;
    let seen = seen.lock().expect("no panic");
    let kinds: Vec<_> = seen.iter().map(|(direction, bytes)| (*direction, bytes[7])).collect();
    assert_eq!(kinds, [(Direction::Received, 3), (Direction::Sent, 3), (Direction::Received, 4)]);
}

/// What a service that stands before another can do with the PDUs of requests and replies.
struct Traced {
    inner: Memory,
    requests: Arc<AtomicUsize>,
}

impl Service for Traced {
    async fn call(&self, mut call: Call<'_>) -> Reply {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match call.pdu() {
            [3, ..] => match self.inner.call(call.reborrow()).await {
                Reply::Response(_) => {
                    let altered = [7, 8];
                    let values = altered.as_slice().into();
                    call.respond(&Response::ReadRegisters { area: Area::HoldingRegister, values }).expect("short")
                }
                refused => refused,
            },
            [6, ..] => Reply::Silent,
            _ => ExceptionCode::IllegalFunction.into(),
        }
    }
}

#[tokio::test]
async fn s001_31_trace_pdu_sees_alters_and_drops() {
    let requests = Arc::new(AtomicUsize::new(0));
    let (listener, address) = listener().await;
    let server = Serving::start(listener, Traced { inner: memory(), requests: requests.clone() });
    let options = client::Options::default().with_timeout(Duration::from_millis(200));
    let client = Client::connect_with(Tcp::from(address), options).await.expect("it listens");
    assert_eq!(client.read_holding_registers(0, 2).await.expect("answered"), [7, 8], "altered");
    assert!(client.write_register(0, 9).await.expect_err("dropped").is_timeout());
    let refused = client.read_coils(0, 1).await.expect_err("refused");
    assert!(matches!(refused, Error::Exception(ExceptionCode::IllegalFunction)));
    assert_eq!(requests.load(Ordering::Relaxed), 3);
    client.close();
    server.stop().await;
}
