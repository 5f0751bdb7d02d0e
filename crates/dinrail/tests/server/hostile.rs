//! Malformed frames: correct exceptions or documented closes, and a server that lives. A million of them are next door.

use std::time::Duration;

use dinrail::Server;
use dinrail::service::Memory;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::raw::{Raw, frame, read, registers, until};

#[tokio::test]
async fn an_unframeable_length_closes_after_what_came_before_is_answered() {
    let server = Server::tcp("127.0.0.1:0", Memory::new());
    let address = server.start().await.unwrap();
    for length in [0u16, 1, 255, 0x1000, 0xFFFF] {
        let mut master = Raw::connect(address).await;
        let mut bytes = frame(1, 1, &read(3, 0, 1));
        bytes.extend([0, 2, 0, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend([1, 3, 0, 0, 0, 1]);
        master.send(&bytes).await;
        assert_eq!(master.reply().await, (1, 1, vec![3, 2, 0, 0]));
        assert!(master.is_closed().await, "length {length}");
    }
    assert_eq!(registers(&Raw::connect(address).await.ask(&read(3, 0, 1)).await), [0]);
}

#[tokio::test]
async fn another_protocol_is_skipped_by_its_length_without_an_answer() {
    let server = Server::tcp("127.0.0.1:0", Memory::new());
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    let mut other = frame(1, 1, &read(3, 0, 1));
    other[2..4].copy_from_slice(&[0, 1]);
    master.send(&[other, frame(2, 1, &read(3, 0, 1))].concat()).await;
    assert_eq!(master.reply().await.0, 2);
}

#[tokio::test]
async fn units_0_and_255_are_the_server_itself() {
    let server = Server::tcp("127.0.0.1:0", Memory::new());
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    for unit in [0, 255] {
        assert_eq!(registers(&master.ask_unit(unit, &read(3, 0, 1)).await), [0]);
        assert_eq!(master.ask_unit(unit, &[6, 0, 1, 0, 2]).await, [6, 0, 1, 0, 2], "0 is no broadcast on TCP");
    }
}

#[tokio::test]
async fn half_closed_masters_are_answered_and_then_closed() {
    let server = Server::tcp("127.0.0.1:0", Memory::new());
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    master.send(&frame(1, 1, &read(3, 0, 1))).await;
    master.stream.shutdown().await.unwrap();
    assert_eq!(master.reply().await.0, 1);
    assert!(master.is_closed().await);
    until("it is released", || server.active_connections() == 0).await;
}

/// A small generator: the test must throw the same bytes every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[tokio::test]
async fn raw_noise_ends_in_closes_and_never_in_a_panic() {
    let server = Server::tcp("127.0.0.1:0", Memory::new());
    let address = server.start().await.unwrap();
    let mut random = Random(7);
    for _ in 0..200 {
        let mut master = Raw::connect(address).await;
        let noise: Vec<u8> = (0..random.next() % 600 + 20).map(|_| random.next() as u8).collect();
        let _ = master.stream.write_all(&noise).await;
        let _ = master.stream.shutdown().await;
        let mut rest = Vec::new();
        let _ =
            tokio::time::timeout(Duration::from_secs(60), master.stream.read_to_end(&mut rest)).await.expect("closed");
    }
    until("all are released", || server.active_connections() == 0).await;
    assert_eq!(registers(&Raw::connect(address).await.ask(&read(3, 0, 1)).await), [0]);
}
