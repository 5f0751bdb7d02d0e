//! Connecting, losing the connection, closing it.

use std::fmt;
use std::io;
use std::time::Duration;

use dinrail::client::{Backoff, Options};
use dinrail::transport::{Connect, Tcp};
use dinrail::{Client, Error};
use tokio::io::DuplexStream;
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::fake::{self, Peer, pipe};

/// Waits for something that another task does, for a few seconds at most.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("waited too long for: {what}"));
}

/// A port that nobody listens on.
async fn dead_end() -> std::net::SocketAddr {
    fake::listen().await.1
}

#[tokio::test]
async fn s003_17_nobody_listens() {
    let address = dead_end().await;
    let error = Client::connect(address).await.expect_err("nobody listens");
    assert!(matches!(error, Error::Connect { .. }) && !error.outcome_unknown());
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    let client = Client::lazy(Tcp::new(address), Options::default());
    assert!(!client.is_connected());
    let started = Instant::now();
    let error = client.write_register(0, 1).await.expect_err("nobody listens");
    assert!(matches!(error, Error::Connect { .. }) && !error.outcome_unknown(), "{error}");
    assert!(started.elapsed() < Duration::from_millis(900), "it ends with the try to connect");
}

#[tokio::test]
async fn a_lazy_client_connects_when_it_is_used() {
    let (listener, address) = fake::listen().await;
    let client = Client::lazy(Tcp::new(address), Options::default());
    timeout(Duration::from_millis(50), listener.accept()).await.expect_err("not before it is used");
    tokio::spawn(async move { Peer::accept(&listener).await.serve().await });
    assert_eq!(client.read_holding_registers(3, 1).await.expect("an answer"), [3]);
    assert!(client.is_connected());
    assert_eq!(client.stats().reconnects, 0);
}

#[tokio::test]
async fn s003_20_it_connects_again_by_itself() {
    let (listener, address) = fake::listen().await;
    let client = Client::connect(address).await.expect("a connection");
    let first = Peer::accept(&listener).await;
    let lost = Instant::now();
    drop(first);
    // Without any call.
    let second = Peer::accept(&listener).await;
    until("the client to know", || client.is_connected() && client.stats().reconnects == 1).await;
    assert!(lost.elapsed() < Duration::from_secs(5), "it took {:?}", lost.elapsed());
    tokio::spawn(second.serve());
    assert_eq!(client.read_holding_registers(3, 1).await.expect("an answer"), [3]);
}

#[tokio::test]
async fn s003_20_after_an_outage_of_a_second_it_is_back_within_five() {
    // The port is kept meanwhile: whoever else takes any free one is not given it.
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let port = |address| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("not bound yet");
        socket.bind(address).map(|()| socket).expect("a port")
    };
    let kept = port(any);
    let address = kept.local_addr().expect("bound");
    let listener = port(address).listen(8).expect("a listener");
    let client = Client::connect(address).await.expect("a connection");
    let first = Peer::accept(&listener).await;
    drop(listener);
    drop(first);
    until("the client to know", || !client.is_connected()).await;
    sleep(Duration::from_secs(1)).await; // the outage
    assert!(!client.is_connected());
    let listener = port(address).listen(8).expect("a listener");
    let back = Instant::now();
    let second = Peer::accept(&listener).await;
    until("the client to be back", || client.is_connected()).await;
    assert!(back.elapsed() < Duration::from_secs(5), "it took {:?}", back.elapsed());
    tokio::spawn(second.serve());
    assert_eq!(client.read_holding_registers(3, 1).await.expect("an answer"), [3]);
    assert_eq!(client.stats().reconnects, 1);
}

#[tokio::test]
async fn s003_20_it_connects_again_after_a_call_that_pumped_for_itself() {
    let (listener, address) = fake::listen().await;
    let options = Options::default().with_timeout(Duration::from_millis(200));
    let client = Client::connect_with(Tcp::new(address), options).await.expect("a connection");
    let mut first = Peer::accept(&listener).await;
    for address in 0..3 {
        let (read, ()) = tokio::join!(client.read_holding_registers(address, 1), async {
            let asked = first.asked().await;
            first.send(&asked.registers(0)).await;
        });
        assert_eq!(read.expect("an answer"), [address]);
    }
    drop(first);
    let _second = Peer::accept(&listener).await;
}

#[tokio::test]
async fn s003_20_a_server_that_comes_back_late_is_found() {
    let (listener, address) = fake::listen().await;
    let options = Options::default().with_reconnect(Backoff::new(Duration::from_millis(10), Duration::from_millis(40)));
    let client = Client::connect_with(Tcp::new(address), options).await.expect("a connection");
    drop(Peer::accept(&listener).await);
    drop(listener);
    until("the client to know", || !client.is_connected()).await;
    let error = client.read_holding_registers(0, 1).await.expect_err("nobody listens");
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    let listener = tokio::net::TcpListener::bind(address).await.expect("the same port");
    tokio::spawn(async move { Peer::accept(&listener).await.serve().await });
    until("the client to be back", || client.is_connected()).await;
    assert_eq!(client.read_holding_registers(9, 1).await.expect("an answer"), [9]);
}

#[tokio::test]
async fn a_call_while_disconnected_waits_for_the_next_try() {
    let (listener, address) = fake::listen().await;
    let client = Client::connect(address).await.expect("a connection");
    drop(Peer::accept(&listener).await);
    until("the client to know", || !client.is_connected()).await;
    tokio::spawn(async move { Peer::accept(&listener).await.serve().await });
    // A write: it was not sent before, so it may be sent now.
    client
        .call(&dinrail::proto::Request::Read { area: dinrail::Area::HoldingRegister, address: 0, count: 1 })
        .await
        .expect("an answer over the new connection");
}

#[tokio::test]
async fn a_call_while_disconnected_waits_no_longer_than_its_timeout() {
    let (listener, address) = fake::listen().await;
    let options = Options::default()
        .with_timeout(Duration::from_millis(50))
        .with_reconnect(Backoff::new(Duration::from_secs(60), Duration::from_secs(60)));
    let client = Client::connect_with(Tcp::new(address), options).await.expect("a connection");
    drop(Peer::accept(&listener).await);
    until("the client to know", || !client.is_connected()).await;
    let started = Instant::now();
    let calls = (0..400).map(|address| {
        let client = client.clone();
        tokio::spawn(async move { client.write_register(address, 1).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let error = call.await.expect("no panic").expect_err("no connection");
        assert!(matches!(error, Error::Connect { .. }) && !error.outcome_unknown(), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(1), "those in the queue too: {:?}", started.elapsed());
}

#[tokio::test]
async fn without_reconnecting_a_lost_connection_stays_lost() {
    let (listener, address) = fake::listen().await;
    let options = Options::default().with_reconnect(None);
    let client = Client::connect_with(Tcp::new(address), options).await.expect("a connection");
    drop(Peer::accept(&listener).await);
    until("the client to know", || !client.is_connected()).await;
    for _ in 0..2 {
        let error = client.write_register(0, 1).await.expect_err("no connection");
        assert!(matches!(error, Error::Connect { .. }) && !error.outcome_unknown(), "{error}");
    }
    timeout(Duration::from_millis(300), listener.accept()).await.expect_err("nobody connects");
}

#[tokio::test]
async fn s003_11_close_is_for_good() {
    let (listener, address) = fake::listen().await;
    let client = Client::connect(address).await.expect("a connection");
    let mut peer = Peer::accept(&listener).await;
    let pending = tokio::spawn({
        let client = client.clone();
        async move { client.write_register(0, 1).await }
    });
    peer.asked().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.write_register(1, 1).await }
    });
    tokio::task::yield_now().await;
    client.close();
    assert!(!client.is_connected());
    assert_eq!(peer.try_asked().await, None, "the socket is closed");
    let error = pending.await.expect("no panic").expect_err("closed");
    assert!(matches!(error, Error::Closed { sent: true }) && error.outcome_unknown(), "{error}");
    let error = waiting.await.expect("no panic").expect_err("closed");
    assert!(matches!(error, Error::Closed { sent: false }) && !error.outcome_unknown(), "{error}");
    client.close();
    let error = client.read_coils(0, 1).await.expect_err("closed");
    assert!(matches!(error, Error::Closed { sent: false }), "{error}");
    timeout(Duration::from_millis(300), listener.accept()).await.expect_err("it does not connect again");
}

#[tokio::test]
async fn the_connection_outlives_all_handles_but_the_last() {
    let (listener, address) = fake::listen().await;
    let client = Client::connect(address).await.expect("a connection");
    let mut peer = Peer::accept(&listener).await;
    let unit = client.unit(9);
    drop(client);
    let (read, ()) = tokio::join!(unit.read_holding_registers(1, 1), async {
        let asked = peer.asked().await;
        peer.send(&asked.registers(0)).await;
    });
    assert_eq!(read.expect("an answer"), [1]);
    drop(unit);
    assert_eq!(peer.try_asked().await, None);
}

#[tokio::test]
async fn the_end_of_the_runtime_ends_calls() {
    let (listener, address) = fake::listen().await;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let client = runtime.spawn(Client::connect(address)).await.expect("no panic").expect("a connection");
    let _peer = Peer::accept(&listener).await;
    runtime.shutdown_background();
    let error = timeout(Duration::from_secs(60), client.read_coils(0, 1)).await.expect("it ends").expect_err("closed");
    assert!(matches!(error, Error::Closed { .. } | Error::Lost { .. } | Error::Connect { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_ends_no_call_before_its_time_and_blocks_no_thread() {
    let (ours, _theirs) = tokio::io::duplex(16);
    let client = Client::over(ours, dinrail::proto::Framing::Tcp, Options::default().with_depth(16usize));
    let started = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for address in 0..10 {
        let client = client.clone();
        calls.spawn(async move { client.read_holding_registers(address, 1).await });
    }
    while let Some(result) = calls.join_next().await {
        assert!(result.expect("no panic").expect_err("no answer").is_timeout());
    }
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_half_written_is_finished_when_its_call_is_dropped() {
    let (ours, theirs) = tokio::io::duplex(8);
    let client = Client::over(ours, dinrail::proto::Framing::Tcp, Options::default());
    let mut peer = Peer(theirs);
    timeout(Duration::from_millis(1), client.read_holding_registers(3, 1)).await.expect_err("nobody reads");
    let asked = timeout(Duration::from_millis(10), peer.asked()).await.expect("the rest follows at once");
    assert_eq!(asked.pdu, [3, 0, 3, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_allowed_is_not_sent() {
    let (client, mut peer) = pipe(Options::default());
    for error in [
        client.read_holding_registers(0, 126).await.expect_err("too many"),
        client.read_coils(0, 0).await.expect_err("none"),
        client.read_input_registers(65535, 2).await.expect_err("behind the end"),
        client.write_registers(0, &[0; 124]).await.expect_err("too many"),
        client.read_holding_registers_into(0, &mut [0; 126]).await.expect_err("too many"),
        client.read_coils_into(0, &mut vec![false; 70_000]).await.expect_err("too many"),
    ] {
        assert!(matches!(error, Error::Invalid(_)) && error.to_string().starts_with("not sent"), "{error}");
    }
    drop(client);
    assert_eq!(peer.try_asked().await, None);
}

#[tokio::test]
async fn s003_20_a_call_after_the_peer_has_closed_is_sent_over_a_new_connection() {
    let (listener, address) = fake::listen().await;
    let client = Client::connect(address).await.expect("a connection");
    let mut first = Peer::accept(&listener).await;
    let (read, ()) = tokio::join!(client.read_holding_registers(1, 1), async {
        let asked = first.asked().await;
        first.send(&asked.registers(0)).await;
    });
    assert_eq!(read.expect("an answer"), [1]);
    drop(first);
    sleep(Duration::from_millis(20)).await;
    // The close has come before the write was asked for: it was certainly not done.
    tokio::spawn(async move {
        let mut second = Peer::accept(&listener).await;
        let asked = second.asked().await;
        second.send(&asked.frame(&asked.pdu.clone())).await;
        second.try_asked().await
    });
    client.write_register(1, 2).await.expect("done over a new connection");
}

#[tokio::test]
async fn a_server_that_accepts_and_closes_is_not_stormed() {
    let (listener, address) = fake::listen().await;
    let options = Options::default().with_reconnect(Backoff::new(Duration::from_millis(10), Duration::from_secs(10)));
    let client = Client::connect_with(Tcp::new(address), options).await.expect("a connection");
    let mut accepted = 0;
    let _ = timeout(Duration::from_millis(800), async {
        loop {
            drop(Peer::accept(&listener).await);
            accepted += 1;
        }
    })
    .await;
    // After 10, 20, 40, 80, 160 and 320 ms.
    assert!((4..=8).contains(&accepted), "{accepted} connections in 0.8 s");
    drop(client);
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_found_again_at_once() {
    let (listener, address) = fake::listen().await;
    // Taken for useless, thirteen connections would be waited for for 80 seconds.
    let backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(60));
    let options = Options::default().with_reconnect(backoff).with_timeout(Duration::from_secs(60));
    let client = Client::connect_with(Tcp::new(address), options).await.expect("a connection");
    tokio::spawn(async move {
        loop {
            let mut peer = Peer::accept(&listener).await;
            let asked = peer.asked().await;
            peer.send(&asked.registers(0)).await;
        }
    });
    let started = Instant::now();
    for address in 0..14 {
        assert_eq!(client.read_holding_registers(address, 1).await.expect("an answer"), [address]);
        sleep(Duration::from_millis(5)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test]
async fn calls_in_the_queue_wait_for_the_next_connection_too() {
    let (listener, address) = fake::listen().await;
    let options = Options::default().with_timeout(Duration::from_secs(1));
    let client = Client::connect_with(Tcp::new(address), options).await.expect("a connection");
    tokio::spawn(async move {
        let mut peer = Peer::accept(&listener).await;
        for _ in 0..20 {
            let asked = peer.asked().await;
            sleep(Duration::from_millis(60)).await;
            peer.send(&asked.registers(0)).await;
        }
        drop(peer);
        Peer::accept(&listener).await.serve().await;
    });
    let mut calls = tokio::task::JoinSet::new();
    for address in 0..60 {
        let client = client.clone();
        calls.spawn(async move { client.read_holding_registers(address, 1).await });
    }
    let results = calls.join_all().await;
    let errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(errors.iter().all(|error| matches!(error, Error::Lost { .. })) && errors.len() <= 1, "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_begin_with_no_function_code_are_not_sent() {
    let (client, mut peer) = pipe(Options::default());
    for byte in [0, 0x80, 0x83, 0xFF] {
        let pdu = dinrail::proto::Pdu::new(&[byte, 1]).expect("a PDU");
        let error = client.call_pdu(&pdu).await.expect_err("no request");
        assert!(matches!(error, Error::Invalid(_)) && error.to_string().starts_with("not sent"), "{error}");
    }
    drop(client);
    assert_eq!(peer.try_asked().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_busy_client_gives_up_no_sooner_than_after_the_timeout_and_hardly_later() {
    for (timeout, pause) in [(800, 0), (800, 3), (800, 99), (800, 150), (40, 1), (10_000, 20)] {
        let timeout = Duration::from_millis(timeout);
        let (client, mut peer) = pipe(Options::default().with_timeout(timeout));
        for calls in [1, 2, 3, 40] {
            let answers = async {
                for _ in 0..calls {
                    let asked = peer.asked().await;
                    peer.send(&asked.registers(0)).await;
                }
                peer.asked().await
            };
            let asks = async {
                for _ in 0..calls {
                    client.read_holding_registers(7, 1).await.expect("an answer");
                    sleep(Duration::from_millis(pause)).await;
                }
                let since = tokio::time::Instant::now();
                (client.read_holding_registers(7, 1).await, since.elapsed())
            };
            let ((result, waited), _) = tokio::join!(asks, answers);
            assert!(result.is_err_and(|error| error.is_timeout()), "nobody answered the last");
            // The runtime's timers are up to a millisecond late.
            let latest = timeout + (timeout / 8).min(Duration::from_millis(250)) + Duration::from_millis(2);
            assert!(waited >= timeout && waited <= latest, "{waited:?} with {timeout:?} after {calls} calls");
        }
    }
}

/// Servers in memory that answer, and close a connection after ten seconds.
struct ClosesAfterTenSeconds;

impl fmt::Display for ClosesAfterTenSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server that closes after ten seconds")
    }
}

impl Connect for ClosesAfterTenSeconds {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(timeout(Duration::from_secs(10), Peer(theirs).serve()));
        Ok(ours)
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_idle_connections_is_found_again_at_once() {
    let client = Client::connect_with(ClosesAfterTenSeconds, Options::default()).await.expect("a connection");
    // Idle for ten minutes, over which connections come and go unused.
    for _ in 0..60 {
        sleep(Duration::from_millis(9_950)).await;
        let connected = client.is_connected();
        sleep(Duration::from_millis(150)).await;
        assert!(connected || client.is_connected(), "it does not wait for longer than the least wait");
    }
    assert_eq!(client.read_holding_registers(3, 1).await.expect("an answer"), [3]);
}
