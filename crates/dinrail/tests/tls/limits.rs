//! Clients that are slow, silent or many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dinrail::client::Options as ClientOptions;
use dinrail::server::Options;
use dinrail::service::Memory;
use dinrail::{Client, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::pki::{Pki, SOON, ask, remembering};

/// Until the server has closed the connection.
async fn cut(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("it is cut off");
}

#[tokio::test]
async fn a_silent_clients_handshake_is_cut_off_in_time() {
    const LIMIT: Duration = Duration::from_millis(300);
    let pki = Pki::new();
    let options = Options::default().with_handshake_timeout(LIMIT);
    let server = Server::tls("127.0.0.1:0", pki.tls(), Memory::new()).with_options(options);
    let address = server.start().await.unwrap();
    let began = Instant::now();
    let silent = TcpStream::connect(address).await.unwrap();
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    // One byte after another does not win time.
    let mut trickling = TcpStream::connect(address).await.unwrap();
    let trickle = tokio::spawn(async move {
        trickling.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        while trickling.write_all(&[1]).await.is_ok() {
            tokio::time::sleep(LIMIT / 20).await;
        }
    });
    tokio::join!(cut(silent), cut(stuck), async { timeout(SOON, trickle).await.expect("it is cut off").unwrap() });
    assert!((LIMIT..SOON).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(server.statistics().handshakes_failed, 3);
    // One that has done its handshake may be silent for as long as it likes.
    let client = Client::connect_with(pki.as_client("operator", address), ClientOptions::default()).await.unwrap();
    assert_eq!(client.read_holding_registers(0, 1).await.unwrap(), [0]);
    tokio::time::sleep(2 * LIMIT).await;
    assert_eq!((server.active_connections(), server.statistics().accepted), (1, 4));
    server.stop().await;
}

#[tokio::test]
async fn a_slow_client_disturbs_no_other() {
    let pki = Pki::new();
    let options = Options::default().with_handshake_timeout(3 * SOON);
    let server = Server::tls("127.0.0.1:0", pki.tls(), Memory::new()).with_options(options);
    let address = server.start().await.unwrap();
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        slow.push(stream);
    }
    // Had each to wait for those in front of it, it would take twenty minutes.
    timeout(SOON, async {
        let client = Client::connect_with(pki.as_client("operator", address), ClientOptions::default()).await.unwrap();
        for value in 0..50 {
            client.write_register(0, value).await.unwrap();
        }
        assert_eq!(client.read_holding_registers(0, 1).await.unwrap(), [49]);
    })
    .await
    .expect("nobody waits for the slow ones");
    assert_eq!(server.active_connections(), 21);
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < SOON, "a stop does not wait for handshakes");
    for stream in slow {
        cut(stream).await;
    }
}

#[tokio::test]
async fn the_limit_on_connections_bounds_handshakes_too() {
    let pki = Pki::new();
    let options = Options::default().with_max_connections(2).with_handshake_timeout(3 * SOON);
    let server = Server::tls("127.0.0.1:0", pki.tls(), Memory::new()).with_options(options);
    let address = server.start().await.unwrap();
    let first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(pki.as_client("operator", address)).await.unwrap(), [0]);
    cut(first).await;
    assert_eq!(server.statistics().evicted, 1, "the first silent one made room");
    server.stop().await;
}

#[test]
fn no_time_for_handshakes_is_no_option() {
    let server = dinrail::blocking::Server::tls("127.0.0.1:0", Pki::new().tls(), Memory::new())
        .with_options(Options::default().with_handshake_timeout(Duration::ZERO));
    assert_eq!(server.start().expect_err("refused").to_string(), "handshake_timeout is 0: take a longer time");
}

#[tokio::test]
async fn threads_of_the_servers_own_do_handshakes_as_well() {
    let pki = Pki::new();
    let (asked, service) = remembering();
    let server = Server::tls("127.0.0.1:0", pki.tls(), service).with_options(Options::default().with_threads(2));
    let address = server.start().await.unwrap();
    for _ in 0..8 {
        assert_eq!(ask(pki.as_client("operator", address)).await.unwrap(), [7]);
    }
    assert!(asked.lock().unwrap().iter().all(|role| role.as_deref() == Some("operator")));
    let silent = TcpStream::connect(address).await.unwrap();
    server.stop().await;
    cut(silent).await;
    server.start().await.expect("its port is free");
}

/// Two descriptors each, since both ends are in this process.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_held_at_once_and_each_answers() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    const COUNT: usize = 1000;
    const FILES: u64 = 2 * COUNT as u64 + 100;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|files| files < FILES) {
        // Where even the hard limit is lower, this says so.
        setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum: limit.maximum })
            .expect("the test needs 2100 descriptors: raise the hard limit (ulimit -Hn)");
    }
    let pki = Pki::new();
    // A whole handshake takes milliseconds of this machine, and a thousand wait for one another.
    let options = Options::default().with_handshake_timeout(Duration::from_secs(60));
    let server = Server::tls("127.0.0.1:0", pki.tls(), Memory::new()).with_options(options);
    let address = server.start().await.unwrap();
    let tls = pki.as_client("operator", address);
    let options = ClientOptions::default()
        .with_connect_timeout(Duration::from_secs(60))
        .with_timeout(Duration::from_secs(60))
        .with_reconnect(None);
    let mut connecting = JoinSet::new();
    let room = Arc::new(tokio::sync::Semaphore::new(32));
    for _ in 0..COUNT {
        let (tls, options, room) = (tls.clone(), options.clone(), room.clone());
        connecting.spawn(async move {
            let _permit = room.acquire().await.unwrap();
            Client::connect_with(tls, options).await.unwrap()
        });
    }
    let clients = connecting.join_all().await;
    // The last handshakes end on the client's side first.
    clients[COUNT - 1].read_holding_registers(0, 1).await.unwrap();
    for round in 0..2 {
        let mut asking = JoinSet::new();
        for (client, address) in clients.iter().cloned().zip(0..) {
            asking.spawn(async move {
                if round == 0 {
                    client.write_register(address, address + 1).await.unwrap();
                }
                assert_eq!(client.read_holding_registers(address, 1).await.unwrap(), [address + 1]);
            });
        }
        asking.join_all().await;
        assert_eq!(server.active_connections(), COUNT);
    }
    let statistics = server.statistics();
    assert_eq!((statistics.accepted, statistics.evicted, statistics.handshakes_failed), (COUNT as u64, 0, 0));
    server.stop().await;
}
