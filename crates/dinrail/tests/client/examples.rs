//! The examples do what they say.

use std::sync::Arc;
use std::time::Duration;

use dinrail::Error;
use tokio::sync::Barrier;
use tokio::time::Instant;

use crate::fake::{self, Peer};

#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/concurrent.rs"]
mod concurrent;
#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/pool.rs"]
mod pool;
#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/queue_worker.rs"]
mod queue_worker;
#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/rate_limit.rs"]
mod rate_limit;
#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/read.rs"]
mod read;
#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/retry.rs"]
mod retry;

#[tokio::test]
async fn s003_1_read() {
    let server = fake::registers().await.to_string();
    assert_eq!(read::read(&server).await.expect("an answer"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn s003_2_concurrent() {
    let mut servers = Vec::new();
    // None answers before all are asked: one after the other would never end.
    let all_asked = Arc::new(Barrier::new(3));
    for _ in 0..3 {
        let (listener, address) = fake::listen().await;
        servers.push(address.to_string());
        let all_asked = all_asked.clone();
        tokio::spawn(async move {
            let mut peer = Peer::accept(&listener).await;
            let asked = peer.asked().await;
            all_asked.wait().await;
            peer.send(&asked.registers(0)).await;
            peer.try_asked().await
        });
    }
    servers.push(fake::listen().await.1.to_string()); // nobody listens any more
    let results = concurrent::read_all(servers.clone()).await;
    for ((server, result), expected) in results.iter().zip(&servers) {
        assert_eq!(server, expected);
        match result {
            Ok(values) => assert_eq!(values, &[10, 11, 12]),
            Err(error) => assert!(matches!(error, Error::Connect { .. }) && server == &servers[3], "{error}"),
        }
    }
}

#[tokio::test]
async fn s003_5_queue_worker() {
    let (listener, address) = fake::listen().await;
    let server = tokio::spawn(async move {
        Peer::accept(&listener).await.serve().await;
        drop(listener); // one connection is all that there is
    });
    let addresses: Vec<u16> = (0..50).rev().collect();
    let results = queue_worker::work(&address.to_string(), &addresses).await.expect("a connection");
    let results: Vec<u16> = results.into_iter().map(|result| result.expect("an answer")).collect();
    assert_eq!(results, addresses);
    server.await.expect("it ends, and the connection with it");
}

#[tokio::test]
async fn s003_6_rate_limit() {
    let (listener, address) = fake::listen().await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&listener).await;
        let mut stamps = Vec::new();
        while let Some(asked) = peer.try_asked().await {
            stamps.push(Instant::now());
            peer.send(&asked.registers(0)).await;
        }
        stamps
    });
    let values = rate_limit::read_all(&address.to_string(), 20).await.expect("answers");
    assert_eq!(values, (0..20).collect::<Vec<u16>>());
    let stamps = server.await.expect("no panic");
    // The first may be seen late, if the machine is busy, by less than the others' wait.
    let took = stamps[19] - stamps[0];
    assert!(stamps.len() == 20 && took >= Duration::from_millis(900), "{took:?}");
}

#[tokio::test]
async fn s003_7_retry() {
    let (listener, address) = fake::listen().await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&listener).await;
        peer.asked().await; // lost
        for _ in 0..2 {
            let asked = peer.asked().await;
            peer.send(&asked.frame(&[0x83, 6])).await;
        }
        let asked = peer.asked().await;
        peer.send(&asked.registers(40)).await;
        peer.try_asked().await
    });
    let values = retry::read(&address.to_string(), Duration::from_millis(100)).await.expect("an answer at last");
    assert_eq!(values, [40, 41]);
    assert_eq!(server.await.expect("no panic"), None, "no connection is left behind");
    let dead = fake::listen().await.1.to_string();
    retry::read(&dead, Duration::from_millis(100)).await.expect_err("nobody listens");
}

#[tokio::test]
async fn s003_21_pool() {
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(fake::registers().await.to_string());
    }
    let pool = dinrail::client::Pool::new(2);
    assert_eq!(pool::read_all(&pool, &servers, 60).await.expect("answers"), 60);
    assert_eq!(pool.connections(), 6);
}
