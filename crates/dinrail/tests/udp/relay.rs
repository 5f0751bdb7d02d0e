//! A relay that loses, doubles and delays datagrams stands between client and server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dinrail::Server;
use dinrail::client::Options;
use tokio::net::UdpSocket;

use crate::device::{Numbers, connect, socket, soon};
use crate::server::addresses;

/// Waits for a datagram's turn to be delivered; the client's timeout is less than the longest of them.
const DELAYS: [u64; 12] = [0, 0, 0, 0, 0, 0, 0, 1, 5, 10, 20, 100];
const TIMEOUT: Duration = Duration::from_millis(60);

/// What the relay did.
#[derive(Default)]
struct Done {
    lost: AtomicU64,
    doubled: AtomicU64,
    late: AtomicU64,
}

/// Sends datagrams on, or not, or twice, now or later.
async fn pass(from: Arc<UdpSocket>, to: Arc<UdpSocket>, mut numbers: Numbers, done: Arc<Done>) {
    let mut bytes = [0; 2048];
    loop {
        let Ok(length) = from.recv(&mut bytes).await else { continue };
        let copies = match numbers.below(10) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        match copies {
            0 => done.lost.fetch_add(1, Ordering::Relaxed),
            2 => done.doubled.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        for _ in 0..copies {
            let delay = Duration::from_millis(DELAYS[numbers.below(12) as usize]);
            done.late.fetch_add(u64::from(delay > TIMEOUT), Ordering::Relaxed);
            let (to, datagram) = (to.clone(), bytes[..length].to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = to.send(&datagram).await;
            });
        }
    }
}

/// A relay to `server`; returns the socket that clients of one address use.
async fn relay(server: std::net::SocketAddr, done: Arc<Done>) -> std::net::SocketAddr {
    let (front, back) = (Arc::new(socket().await), Arc::new(socket().await));
    back.connect(server).await.unwrap();
    let address = front.local_addr().unwrap();
    tokio::spawn(async move {
        // The first datagram says who the client is.
        let mut first = [0; 1];
        let (_, client) = front.peek_from(&mut first).await.unwrap();
        front.connect(client).await.unwrap();
        tokio::join!(
            pass(front.clone(), back.clone(), Numbers(1), done.clone()),
            pass(back.clone(), front.clone(), Numbers(2), done.clone()),
        );
    });
    address
}

/// Many calls over a bad line: each brings its own answer, or none.
async fn over_a_bad_line(depth: usize) {
    let server = Server::udp("127.0.0.1:0", addresses());
    let done = Arc::new(Done::default());
    let address = relay(server.start().await.unwrap(), done.clone()).await;
    let client = connect(address, Options::default().with_depth(depth).with_timeout(TIMEOUT)).await;
    let callers: Vec<_> = (0..depth as u16)
        .map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                let (mut answered, mut unanswered) = (0, 0);
                for call in 0..60 {
                    let register = caller * 1000 + call;
                    match client.read_holding_registers(register, 1).await {
                        Ok(values) => {
                            assert_eq!(values, [register], "another call's answer");
                            answered += 1;
                        }
                        Err(error) => {
                            assert!(error.is_timeout(), "{error}");
                            unanswered += 1;
                        }
                    }
                }
                (answered, unanswered)
            })
        })
        .collect();
    let (mut answered, mut unanswered) = (0, 0);
    for caller in callers {
        let (some, others) = tokio::time::timeout(Duration::from_secs(60), caller).await.expect("in time").unwrap();
        answered += some;
        unanswered += others;
    }
    let [lost, doubled, late] = [&done.lost, &done.doubled, &done.late].map(|count| count.load(Ordering::Relaxed));
    assert!(lost > 0 && doubled > 0 && late > 0, "the line was too good: {lost} {doubled} {late}");
    // How many are answered in time is a matter of the machine's load.
    assert!(unanswered > 0, "{answered} answered, {unanswered} not");
    let stats = client.stats();
    assert!(stats.late > 0 && stats.orphans > 0 && stats.mismatches == 0, "{stats:?}");
    // And the line is as good as new.
    let patient = client.with_timeout(Duration::from_secs(20)).with_retry(dinrail::client::Retry::attempts(5));
    assert_eq!(soon(patient.read_holding_registers(9, 1)).await.unwrap(), [9]);
}

#[tokio::test]
async fn s001_7c_over_a_bad_line_no_call_gets_anothers_answer() {
    over_a_bad_line(1).await;
}

#[tokio::test]
async fn s001_7c_over_a_bad_line_with_requests_in_flight() {
    over_a_bad_line(8).await;
}
