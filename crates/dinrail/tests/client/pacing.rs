//! Requests at no more than a rate.

use std::time::Duration;

use dinrail::client::{Backoff, Options, RateLimit, Retry};
use dinrail::service::{Failure, Read, Write, callbacks};
use dinrail::{Client, ExceptionCode, Server, Service};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fake::{Peer, pipe};

/// When each request came, since the first.
async fn stamps(mut peer: Peer<tokio::io::DuplexStream>) -> Vec<Duration> {
    let mut stamps: Vec<Instant> = Vec::new();
    while let Some(asked) = peer.try_asked().await {
        stamps.push(Instant::now());
        peer.send(&asked.registers(0)).await;
    }
    stamps.iter().map(|stamp| *stamp - stamps[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn s003_6_twenty_requests_at_twenty_a_second_are_even_and_take_19_intervals() {
    for at_once in [true, false] {
        let (fast, peer) = pipe(Options::default());
        let server = tokio::spawn(stamps(peer));
        let client = fast.with_rate_limit(RateLimit::per_second(20));
        let mut calls = JoinSet::new();
        for address in 0..20 {
            let client = client.clone();
            calls.spawn(async move { client.read_holding_registers(address, 1).await.expect("an answer") });
            if !at_once {
                calls.join_next().await.expect("one").expect("no panic");
            }
        }
        while let Some(read) = calls.join_next().await {
            read.expect("no panic");
        }
        drop((fast, client, calls));
        let stamps = server.await.expect("no panic");
        assert!(stamps[19] >= Duration::from_millis(950), "{stamps:?}");
        for (index, stamp) in (0..20u32).zip(&stamps) {
            let due = Duration::from_millis(50) * index;
            // A timer is up to a millisecond late, and that does not add up.
            assert!(*stamp >= due && *stamp <= due + Duration::from_millis(2), "{stamps:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_is_not_saved_up() {
    let limit = RateLimit::every(Duration::from_secs(1));
    limit.turn().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let started = Instant::now();
    for _ in 0..3 {
        limit.turn().await;
    }
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(!limit.try_turn());
    tokio::time::sleep(Duration::from_millis(1001)).await;
    assert!(limit.try_turn() && !limit.try_turn());
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_costs_the_others_nothing() {
    let limit = RateLimit::every(Duration::from_secs(1));
    limit.turn().await;
    let started = Instant::now();
    let mut impatient = JoinSet::new();
    for _ in 0..100 {
        let limit = limit.clone();
        impatient.spawn(async move { tokio::time::timeout(Duration::from_millis(10), limit.turn()).await });
    }
    tokio::task::yield_now().await;
    limit.turn().await;
    assert!(started.elapsed() < Duration::from_millis(1100), "{:?}", started.elapsed());
    assert!(impatient.join_all().await.iter().all(Result::is_err));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_takes_a_turn_as_well() {
    let short = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
    let (client, mut peer) = pipe(Options::default().with_retry(Retry::attempts(3).with_backoff(short)));
    let server = tokio::spawn(async move {
        let mut stamps = Vec::new();
        while let Some(asked) = peer.try_asked().await {
            stamps.push(Instant::now());
            peer.send(&asked.frame(&[asked.pdu[0] | 0x80, 6])).await;
        }
        stamps
    });
    let paced = client.with_rate_limit(RateLimit::every(Duration::from_secs(1)));
    let error = paced.read_holding_registers(0, 1).await.expect_err("busy");
    assert_eq!(error.exception(), Some(ExceptionCode::ServerDeviceBusy));
    // Handles without the limit are as fast as ever.
    client.with_retry(Retry::none()).read_holding_registers(0, 1).await.expect_err("busy");
    drop((client, paced));
    let stamps = server.await.expect("no panic");
    assert_eq!(stamps.len(), 4);
    assert!(stamps[2] - stamps[0] >= Duration::from_secs(2) && stamps[3] - stamps[2] < Duration::from_millis(100));
}

#[tokio::test]
async fn s003_6_a_service_is_asked_no_faster_either() {
    let service = callbacks(
        |read: Read| Ok(vec![read.address; read.count.into()]),
        |_: Write| Err(Failure::from(ExceptionCode::IllegalFunction)),
    );
    let server = Server::tcp("127.0.0.1:0", service.paced(RateLimit::every(Duration::from_millis(20))));
    let address = server.start().await.expect("a port");
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let client = Client::connect(address).await.expect("a connection");
        calls.spawn(async move {
            for _ in 0..5 {
                assert_eq!(client.read_holding_registers(7, 1).await.expect("an answer"), [7]);
            }
        });
    }
    while let Some(read) = calls.join_next().await {
        read.expect("no panic");
    }
    assert!(started.elapsed() >= Duration::from_millis(180), "ten requests: {:?}", started.elapsed());
    server.stop().await;
}

/// Calls that follow one another quickly go by the ticks of a clock; one with a short timeout among them must not.
#[tokio::test(start_paused = true)]
async fn a_short_timeout_behind_quick_calls_with_a_long_one_is_kept() {
    let (client, mut peer) = pipe(Options::default().with_timeout(Duration::from_secs(2)));
    for address in 0..5 {
        let (read, ()) = tokio::join!(client.read_holding_registers(address, 1), async {
            let asked = peer.asked().await;
            peer.send(&asked.registers(0)).await;
        });
        read.expect("an answer");
    }
    let started = Instant::now();
    let short = client.with_timeout(Duration::from_millis(20));
    assert!(short.read_holding_registers(5, 1).await.expect_err("a silent peer").is_timeout());
    assert!(started.elapsed() <= Duration::from_millis(25), "{:?}", started.elapsed());
}
