//! What a server does when there is too much of something.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dinrail::server::{Options, WhenFull};
use dinrail::service::{Memory, Read, Write, callbacks, read_only};
use dinrail::{ExceptionCode, Server};
use tokio::io::AsyncWriteExt;

use crate::raw::{Raw, frame, read, registers, soon, until, write};

async fn with(options: Options) -> (Server<Memory>, SocketAddr) {
    let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options);
    let address = server.start().await.unwrap();
    (server, address)
}

#[tokio::test]
async fn s000_13_the_surplus_connection_is_refused_when_told_so() {
    let options = Options::default().with_max_connections(2usize).with_when_full(WhenFull::Refuse);
    let (server, address) = with(options).await;
    let (mut a, mut b) = (Raw::connect(address).await, Raw::connect(address).await);
    a.ask(&read(3, 0, 1)).await;
    b.ask(&read(3, 0, 1)).await;
    assert!(Raw::connect(address).await.is_closed().await);
    assert_eq!(server.statistics().refused, 1);
    drop(a);
    until("its place is free", || server.active_connections() == 1).await;
    Raw::connect(address).await.ask(&read(3, 0, 1)).await;
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let (server, address) = with(Options::default().with_max_connections(2usize)).await;
    let (mut a, mut b) = (Raw::connect(address).await, Raw::connect(address).await);
    // Longer than a tick of the clock that idleness is measured by.
    let tick = || tokio::time::sleep(Duration::from_millis(600));
    b.ask(&read(3, 0, 1)).await;
    tick().await;
    a.ask(&read(3, 0, 1)).await;
    let mut c = Raw::connect(address).await;
    c.ask(&read(3, 0, 1)).await;
    assert!(b.is_closed().await, "the one that has been idle for longest");
    tick().await;
    a.ask(&read(3, 0, 1)).await;
    let mut d = Raw::connect(address).await;
    d.ask(&read(3, 0, 1)).await;
    assert!(c.is_closed().await, "the newer one, but the one that has been idle for longest");
    a.ask(&read(3, 0, 1)).await;
    assert_eq!(server.statistics().evicted, 2);
    assert_eq!(server.active_connections(), 2);
}

#[tokio::test]
async fn a_connection_with_a_request_in_flight_is_never_evicted() {
    let service = read_only(|read: Read| async move {
        tokio::time::sleep(Duration::from_millis(read.address.into())).await;
        Ok(vec![0u16; read.count.into()])
    });
    let options = Options::default().with_max_connections(1usize);
    let server = Server::tcp("127.0.0.1:0", service).with_options(options);
    let address = server.start().await.unwrap();
    let mut busy = Raw::connect(address).await;
    busy.send(&frame(1, 1, &read(3, 300, 1))).await;
    until("it is being worked on", || server.active_connections() == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(Raw::connect(address).await.is_closed().await, "no idle connection: the new one is refused");
    assert_eq!(busy.reply().await.0, 1);
}

#[tokio::test]
async fn s004_11_idle_connections_are_dropped_and_busy_ones_are_not() {
    let service = read_only(|read: Read| async move {
        tokio::time::sleep(Duration::from_millis(read.address.into())).await;
        Ok(vec![0u16; read.count.into()])
    });
    let options = Options::default().with_idle_timeout(Some(Duration::from_millis(150)));
    let server = Server::tcp("127.0.0.1:0", service).with_options(options);
    let address = server.start().await.unwrap();
    let (mut idle, mut busy) = (Raw::connect(address).await, Raw::connect(address).await);
    let began = Instant::now();
    busy.send(&frame(1, 1, &read(3, 500, 1))).await;
    assert!(idle.is_closed().await);
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert_eq!(busy.reply().await.0, 1, "a slow service does not make its connection idle");
}

#[tokio::test]
async fn s004_11_a_request_that_takes_too_long_is_answered_at_the_deadline() {
    let writes = Arc::new(AtomicUsize::new(0));
    let counted = writes.clone();
    let service = callbacks(
        |read: Read| async move {
            tokio::time::sleep(Duration::from_millis(read.address.into())).await;
            Ok(vec![0u16; read.count.into()])
        },
        move |_: Write| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        },
    );
    let options = Options::default().with_request_deadline(Some(Duration::from_millis(150)));
    let server = Server::tcp("127.0.0.1:0", service).with_options(options.clone());
    let address = server.start().await.unwrap();
    let (mut slow, mut other) = (Raw::connect(address).await, Raw::connect(address).await);
    let began = Instant::now();
    // The write waits behind a read that uses up the time: it is refused, and not done.
    slow.send(&[frame(1, 1, &read(3, 5000, 1)), frame(2, 1, &write(0, &[1]))].concat()).await;
    assert_eq!(slow.reply().await, (1, 1, vec![0x83, 0x0B]), "begun: nobody knows");
    let took = began.elapsed();
    assert!((150..2000).contains(&took.as_millis()), "answered after {took:?}");
    assert_eq!(slow.reply().await, (2, 1, vec![0x90, 6]), "not begun: busy");
    assert_eq!(writes.load(Ordering::SeqCst), 0);
    assert_eq!(slow.ask(&write(0, &[1])).await[0], 16, "the connection stays usable");
    assert_eq!(registers(&other.ask(&read(3, 0, 1)).await), [0]);

    let options = options.with_deadline_exception(ExceptionCode::ServerDeviceFailure).with_concurrency(4usize);
    let server = Server::tcp("127.0.0.1:0", read_only(|_: Read| std::future::pending::<Result<Vec<u16>, _>>()));
    let server = server.with_options(options);
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    assert_eq!(master.ask(&read(3, 0, 1)).await, [0x83, 4]);
}

#[tokio::test]
async fn only_allowed_addresses_may_connect() {
    let (server, address) = with(Options::default().with_allow(vec!["10.0.0.0/8".parse().unwrap()])).await;
    assert!(Raw::connect(address).await.is_closed().await);
    assert_eq!(server.statistics().refused, 1);
    let allow = vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()];
    let (_server, address) = with(Options::default().with_allow(allow)).await;
    Raw::connect(address).await.ask(&read(3, 0, 1)).await;
}

#[tokio::test]
async fn a_peer_that_asks_too_often_is_slowed_down() {
    let (_server, address) = with(Options::default().with_rate(Some(20))).await;
    let mut master = Raw::connect(address).await;
    let began = Instant::now();
    for _ in 0..30 {
        master.ask(&read(3, 0, 1)).await;
    }
    // A second's worth passes at once, the other ten at 20 a second; the wait after the last one is not seen.
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_master_that_does_not_read_is_not_read_from_and_disturbs_nobody() {
    let (server, address) = with(Options::default()).await;
    let mut deaf = Raw::connect(address).await;
    let burst: Vec<u8> = (0..1000).flat_map(|number| frame(number, 1, &read(3, 0, 125))).collect();
    let mut taken = 0;
    // The server takes what the sockets' buffers hold of 12-byte requests and 259-byte replies, and then no more.
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), deaf.stream.write(&burst)).await {
        taken += written.unwrap();
        assert!(taken < 64 << 20, "requests are taken without end");
    }
    let mut other = Raw::connect(address).await;
    assert_eq!(registers(&other.ask(&read(3, 0, 1)).await), [0]);
    // It owes replies that nobody reads: the stop waits for its grace, and then cuts it off.
    let report = soon(server.stop_within(Duration::from_millis(100))).await;
    assert_eq!((report.drained, report.aborted), (1, 1));
}

#[tokio::test]
async fn a_stalled_reader_counts_as_idle() {
    let (server, address) = with(Options::default().with_idle_timeout(Some(Duration::from_millis(200)))).await;
    let mut deaf = Raw::connect(address).await;
    deaf.ask(&read(3, 0, 1)).await;
    let burst: Vec<u8> = (0..60_000u16).flat_map(|number| frame(number, 1, &read(3, 0, 125))).collect();
    let _ = tokio::time::timeout(Duration::from_secs(2), deaf.stream.write_all(&burst)).await;
    until("it is dropped", || server.active_connections() == 0).await;
    assert_eq!(server.statistics().evicted, 1);
}
