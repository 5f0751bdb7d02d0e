//! Who may listen on a port that is taken: nobody, unless both servers say so. The threads of one server share theirs.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use dinrail::server::Options;
use dinrail::service::{Memory, Read, read_only};
use dinrail::{Error, Server, Service};

use crate::raw::{Raw, read, soon};

fn on_threads(count: usize) -> Options {
    Options::default().with_threads(Some(count))
}

fn server(address: impl std::fmt::Display, options: Options) -> Server<impl Service> {
    Server::tcp(address, Memory::new()).with_options(options)
}

async fn is_refused(address: impl std::fmt::Display, options: Options) {
    let second = server(&address, options);
    let error = soon(second.start()).await.expect_err("the port is taken");
    let Error::Bind { address: named, source } = &error else { panic!("{error:?}") };
    assert_eq!((&**named, source.kind()), (&*address.to_string(), std::io::ErrorKind::AddrInUse));
    assert!(error.to_string().contains("another program listens there"), "{error}");
    assert!(!second.is_running());
}

#[tokio::test]
async fn s000_10_s001_21_a_port_that_threads_share_is_taken_for_another_server() {
    let first = server("127.0.0.1:0", on_threads(2));
    let address = first.start().await.unwrap();
    for threads in 1..=3 {
        is_refused(address, on_threads(threads)).await;
        // Every address of the machine, this one among them.
        is_refused(SocketAddr::from(([0, 0, 0, 0], address.port())), on_threads(threads)).await;
    }
    is_refused(address, Options::default()).await;
    is_refused(address, on_threads(2).with_reuse_address(false)).await;
    let alone = server("127.0.0.1:0", Options::default());
    is_refused(alone.start().await.unwrap(), on_threads(2)).await;
    Raw::connect(address).await.ask(&read(3, 0, 1)).await;
}

/// Whichever is first, none gets a share of the other's port. The system may refuse both when they meet.
#[tokio::test]
async fn s001_21_of_two_that_start_at_the_same_time_at_most_one_has_the_port() {
    let mut had = 0;
    for _ in 0..50 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let starting = [(); 2].map(|()| {
            thread::spawn(move || {
                let server = dinrail::blocking::Server::tcp(free, Memory::new()).with_options(on_threads(2));
                server.start().map(|_| server)
            })
        });
        let started = starting.map(|thread| thread.join().unwrap());
        let count = started.iter().filter(|server| server.is_ok()).count();
        assert!(count <= 1, "{started:?}");
        had += count;
    }
    assert!(had > 0, "none could start, ever");
}

#[tokio::test]
async fn s001_20_a_server_on_threads_restarts_at_once() {
    let first = server("127.0.0.1:0", on_threads(2));
    let address = first.start().await.unwrap();
    soon(first.stop()).await;
    for _ in 0..3 {
        let again = server(address, on_threads(2));
        again.start().await.unwrap();
        Raw::connect(address).await.ask(&read(3, 0, 1)).await;
        // Stopped with an open connection: its port would linger without reuse_address.
        soon(again.stop()).await;
    }
}

/// A server that notes which threads ask its service.
fn noted(address: impl std::fmt::Display, options: Options) -> (Server<impl Service>, Arc<Mutex<HashSet<ThreadId>>>) {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let threads = seen.clone();
    let service = read_only(move |read: Read| {
        threads.lock().unwrap().insert(thread::current().id());
        Ok(vec![0u16; read.count.into()])
    });
    (Server::tcp(address, service).with_options(options), seen)
}

/// The system takes a socket for a connection by its port, which differs each time.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn s001_21_connections_are_spread_over_the_threads_of_a_server() {
    let (server, seen) = noted("127.0.0.1:0", on_threads(2));
    let address = server.start().await.unwrap();
    for _ in 0..500 {
        Raw::connect(address).await.ask(&read(3, 0, 1)).await;
        if seen.lock().unwrap().len() == 2 {
            return;
        }
    }
    panic!("one thread had all connections");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn s001_21_two_servers_on_threads_share_a_port_when_both_say_so() {
    let options = on_threads(2).with_reuse_port(true);
    let (first, by_first) = noted("127.0.0.1:0", options.clone());
    let address = first.start().await.unwrap();
    let (second, by_second) = noted(address, options);
    second.start().await.expect("both said so");
    is_refused(address, on_threads(2)).await;
    for _ in 0..500 {
        Raw::connect(address).await.ask(&read(3, 0, 1)).await;
        if [&by_first, &by_second].iter().all(|seen| seen.lock().unwrap().len() == 2) {
            return;
        }
    }
    panic!("one thread had no connection");
}
