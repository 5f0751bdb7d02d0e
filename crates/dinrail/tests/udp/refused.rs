//! Ports that nobody listens on: the system is told by ICMP, and so is the client.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dinrail::client::{Backoff, Options, Retry};
use dinrail::transport::Udp;
use dinrail::{Client, Error};
use tokio::net::UdpSocket;

use crate::device::{Device, connect, socket, soon};

/// A port that nobody listens on.
async fn dead_end() -> SocketAddr {
    socket().await.local_addr().unwrap()
}

/// Far longer than it takes the loopback interface to say that nobody listens.
fn patient() -> Options {
    Options::default().with_timeout(Duration::from_secs(30))
}

#[tokio::test]
async fn s001_30_a_port_that_nobody_listens_on_ends_the_call_at_once() {
    let address = dead_end().await;
    let client = connect(address, patient()).await;
    let error = soon(client.read_holding_registers(0, 1)).await.unwrap_err();
    assert!(matches!(&error, Error::Lost { source: Some(_), .. }) && !error.outcome_unknown(), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.to_string().contains("nobody listens"), "{error}");
    // Which datagram was refused is not said, so nobody knows whether this one was.
    let error = soon(client.write_register(0, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }) && error.outcome_unknown(), "{error:?}");
}

#[tokio::test]
async fn s001_30_refusals_are_no_storm() {
    let exactly = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
    let client = connect(dead_end().await, patient().with_reconnect(exactly)).await;
    let since = Instant::now();
    for _ in 0..6 {
        soon(client.read_holding_registers(0, 1)).await.expect_err("nobody listens");
    }
    let took = since.elapsed();
    // A tenth of a second between two tries, and no longer: the waits do not grow.
    assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(3), "{took:?}");
}

/// Those that wait for their turn were not sent, and need not wait each for its own refusal.
#[tokio::test]
async fn s001_30_calls_that_wait_behind_a_refused_one_end_with_it() {
    let client = connect(dead_end().await, patient()).await;
    let calls: Vec<_> = (0..40)
        .map(|address| {
            let client = client.clone();
            tokio::spawn(async move { client.write_register(address, 1).await })
        })
        .collect();
    let since = Instant::now();
    let mut lost = 0;
    for call in calls {
        match soon(call).await.unwrap() {
            Err(Error::Connect { .. }) => {}
            Err(Error::Lost { .. }) => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(lost <= 3 && since.elapsed() < Duration::from_secs(2), "{lost} sent, {:?}", since.elapsed());
}

#[tokio::test]
async fn s001_30_a_server_that_comes_back_is_found_by_the_next_call() {
    let device = Device::new().await;
    let address = device.address();
    let client = connect(address, patient()).await;
    let serving = tokio::spawn(device.serve());
    assert_eq!(soon(client.read_holding_registers(1, 1)).await.unwrap(), [1]);
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled(), "its socket is closed");
    for _ in 0..3 {
        soon(client.read_holding_registers(2, 1)).await.expect_err("nobody listens");
    }
    let device = Device(UdpSocket::bind(address).await.unwrap());
    tokio::spawn(device.serve());
    let since = Instant::now();
    assert_eq!(soon(client.read_holding_registers(3, 1)).await.unwrap(), [3]);
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    assert!(client.stats().reconnects >= 1);
}

/// `localhost` is ::1 or 127.0.0.1, in either order, and this device is only one of them.
#[tokio::test]
async fn of_a_hosts_addresses_the_one_that_is_served_is_found() {
    let device = Device::new().await;
    let udp = Udp::new(("localhost", device.address().port()));
    tokio::spawn(device.serve());
    let client = Client::lazy(udp, patient().with_retry(Retry::attempts(4)));
    assert_eq!(soon(client.read_holding_registers(4, 1)).await.unwrap(), [4]);
}
