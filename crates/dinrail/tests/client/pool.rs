//! Many devices, few connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dinrail::Error;
use dinrail::client::{Options, Pool};
use dinrail::transport::Endpoint;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::fake::{self, Peer};

/// A device that counts its connections.
struct Counted {
    address: SocketAddr,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    total: Arc<AtomicUsize>,
    /// Says when a connection has ended.
    ended: mpsc::UnboundedReceiver<()>,
}

async fn counted() -> Counted {
    let (listener, address) = fake::listen().await;
    let (now, most, total) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (end, ended) = mpsc::unbounded_channel();
    tokio::spawn(count(listener, now.clone(), most.clone(), total.clone(), end));
    Counted { address, now, most, total, ended }
}

async fn count(
    listener: TcpListener,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    total: Arc<AtomicUsize>,
    end: mpsc::UnboundedSender<()>,
) {
    loop {
        let peer = Peer::accept(&listener).await;
        total.fetch_add(1, Ordering::SeqCst);
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let (now, end) = (now.clone(), end.clone());
        tokio::spawn(async move {
            peer.serve().await;
            now.fetch_sub(1, Ordering::SeqCst);
            let _ = end.send(());
        });
    }
}

#[tokio::test]
async fn s003_21_sixty_reads_of_three_devices_use_two_connections_each() {
    let devices = [counted().await, counted().await, counted().await];
    let pool = Pool::new(2);
    let mut reads = JoinSet::new();
    for address in 0..60u16 {
        let (pool, device) = (pool.clone(), devices[usize::from(address) % 3].address);
        reads.spawn(async move {
            let client = pool.client(device).await.expect("a connection");
            assert_eq!(client.read_holding_registers(address, 1).await.expect("an answer"), [address]);
        });
    }
    while let Some(read) = reads.join_next().await {
        read.expect("no panic");
    }
    for device in &devices {
        assert_eq!(device.most.load(Ordering::SeqCst), 2);
        assert_eq!(device.total.load(Ordering::SeqCst), 2, "connections are used again");
    }
    assert_eq!(pool.connections(), 6);
    drop(pool);
    for mut device in devices {
        for _ in 0..2 {
            device.ended.recv().await.expect("what is idle is closed with the pool");
        }
        assert_eq!(device.now.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn the_first_to_come_is_the_first_to_be_served_and_who_leaves_is_passed_over() {
    let device = counted().await;
    let pool = Pool::new(1);
    let lent = pool.client(device.address).await.expect("a connection");
    let (told, mut tell) = mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    for number in 0..5 {
        let (pool, told) = (pool.clone(), told.clone());
        waiting.push(tokio::spawn(async move {
            let _client = pool.client(device.address).await.expect("a connection");
            told.send(number).expect("somebody listens");
        }));
        tokio::task::yield_now().await;
    }
    waiting[2].abort();
    drop(lent);
    for number in [0, 1, 3, 4] {
        assert_eq!(tell.recv().await, Some(number));
    }
    assert_eq!(device.total.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_dead_connection_is_replaced_before_it_is_lent() {
    let (listener, address) = fake::listen().await;
    let pool = Pool::new(1).with_options(Options::default().with_reconnect(None));
    let client = pool.client(address).await.expect("a connection");
    drop(Peer::accept(&listener).await);
    let error = client.read_holding_registers(1, 1).await.expect_err("it has been closed");
    assert!(matches!(error, Error::Connect { .. } | Error::Lost { .. }), "{error}");
    drop(client);
    assert_eq!(pool.connections(), 0);

    let client = pool.client(address).await.expect("another one");
    let peer = Peer::accept(&listener).await;
    drop(client);
    assert_eq!(pool.connections(), 1);
    // It dies while nobody has it: that is seen when somebody wants it, at the latest once the system knows.
    drop(peer);
    tokio::spawn(async move { Peer::accept(&listener).await.serve().await });
    loop {
        let client = pool.client(address).await.expect("a connection");
        if client.read_holding_registers(1, 1).await.is_ok() {
            break;
        }
    }
    assert_eq!(pool.connections(), 1);
}

#[tokio::test]
async fn one_that_nobody_answers_on_any_more_is_found_out_by_a_check() {
    let (listener, address) = fake::listen().await;
    let options = Options::default().with_timeout(Duration::from_millis(50));
    let pool = Pool::new(1).with_options(options).with_check(Duration::ZERO);
    drop(pool.client(address).await.expect("a connection"));
    let silent = Peer::accept(&listener).await;
    let server = tokio::spawn(async move { Peer::accept(&listener).await.serve().await });
    let client = pool.client(address).await.expect("a connection that is answered");
    assert_eq!(client.read_holding_registers(3, 1).await.expect("an answer"), [3]);
    drop((client, pool, silent));
    server.await.expect("no panic");
}

#[tokio::test]
async fn what_is_idle_is_closed_after_a_while_and_what_is_in_use_is_not() {
    let mut device = counted().await;
    let pool = Pool::new(2).with_idle(Duration::from_millis(50));
    let kept = pool.client(device.address).await.expect("a connection");
    drop(pool.client(device.address).await.expect("another"));
    device.ended.recv().await.expect("the idle one is closed");
    assert_eq!(device.now.load(Ordering::SeqCst), 1);
    assert_eq!(kept.read_holding_registers(1, 1).await.expect("an answer"), [1]);
    // A handle that is made of it and kept has it stay.
    let unit = kept.unit(7);
    drop(kept);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(unit.read_holding_registers(1, 1).await.expect("an answer"), [1]);
    drop(unit);
    device.ended.recv().await.expect("and now that one");
    assert_eq!(pool.connections(), 0);
    let client = pool.client(device.address).await.expect("a new one");
    assert_eq!(client.read_holding_registers(2, 1).await.expect("an answer"), [2]);
}

#[tokio::test]
async fn nobody_there_costs_no_turn() {
    let (_, address) = fake::listen().await; // nobody listens any more
    let endpoint: Endpoint = address.to_string().parse().expect("an address");
    let pool = Pool::new(1);
    for _ in 0..3 {
        let error = pool.client_with(endpoint.clone()).await.expect_err("nobody there");
        assert!(matches!(error, Error::Connect { .. }), "{error}");
    }
    assert_eq!(pool.connections(), 0);
}
