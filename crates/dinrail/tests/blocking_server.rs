//! The blocking server: the asynchronous one's methods, no more and no less, for programs without a runtime.

#![allow(clippy::unwrap_used)] // in a test, an unwrap is an assertion

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dinrail::blocking::{Client, Server};
use dinrail::server::Options;
use dinrail::service::{Memory, Read, read_only};
use dinrail::{Area, Error, ExceptionCode};

#[test]
fn s001_3_serving_blocks_until_it_is_stopped_from_another_thread() {
    let server = Arc::new(Server::tcp("127.0.0.1:0", Memory::new()));
    let serving = server.clone();
    let thread = thread::spawn(move || serving.serve());
    let began = Instant::now();
    while !server.is_running() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not start");
        thread::yield_now();
    }
    let address = server.local_addr().expect("it runs");
    let client = Client::connect(address).expect("it listens");
    client.write_registers(10, &[1, 2, 3]).expect("a write");
    assert_eq!(client.read_holding_registers(9, 5).expect("a read"), [0, 1, 2, 3, 0]);
    assert_eq!(server.service().values(Area::HoldingRegister, 10, 3), Ok(vec![1, 2, 3]));
    assert!(!thread.is_finished(), "serving has not returned");

    let began = Instant::now();
    let report = server.stop().expect("a thread");
    thread.join().expect("no panic").expect("served");
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_eq!((report.drained, report.aborted), (1, 0));
    std::net::TcpListener::bind(address).expect("the port is free");
}

#[test]
fn s000_11_callbacks_run_on_one_thread_which_is_not_the_hosts() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let threads = seen.clone();
    let server = Server::tcp(
        "127.0.0.1:0",
        read_only(move |read: Read| {
            assert!(tokio::runtime::Handle::try_current().is_ok(), "a running loop is visible inside callbacks");
            threads.lock().unwrap().push(thread::current().id());
            Ok(vec![read.address; read.count.into()])
        }),
    );
    let address = server.start().expect("port 0 is free");
    for _ in 0..3 {
        assert_eq!(Client::connect(address).unwrap().read_input_registers(7, 2).unwrap(), [7, 7]);
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|thread| *thread == seen[0]) && seen[0] != thread::current().id());
}

#[test]
fn a_callback_may_ask_another_device_with_a_blocking_client() {
    let behind = Server::tcp("127.0.0.1:0", Memory::with_sizes(0, 0, 10, 0));
    behind.service().set(Area::HoldingRegister, 3, &[33]).unwrap();
    let client = Client::connect(behind.start().unwrap()).unwrap();
    let front = Server::tcp(
        "127.0.0.1:0",
        read_only(move |read: Read| Ok(client.read_holding_registers(read.address, read.count)?)),
    );
    let master = Client::connect(front.start().unwrap()).unwrap();
    assert_eq!(master.read_holding_registers(3, 1).unwrap(), [33]);
    let error = master.read_holding_registers(9, 2).expect_err("the device has no register 10");
    assert_eq!(error.exception(), Some(ExceptionCode::IllegalDataAddress), "as the device said it");
    behind.stop().unwrap();
    let error = master.read_holding_registers(3, 1).expect_err("the device is gone");
    let gateway = [ExceptionCode::GatewayPathUnavailable, ExceptionCode::GatewayTargetFailedToRespond];
    assert!(error.exception().is_some_and(|code| gateway.contains(&code)), "{error}");
}

#[test]
fn s000_10_a_port_in_use_and_an_option_that_cannot_be() {
    let first = Server::tcp("127.0.0.1:0", Memory::new());
    let address = first.start().unwrap();
    assert_eq!(first.start().unwrap(), address, "starting twice changes nothing");
    assert!(matches!(Server::tcp(address, Memory::new()).start(), Err(Error::Bind { .. })));
    let none = Server::tcp("127.0.0.1:0", Memory::new()).with_options(Options::default().with_threads(Some(0)));
    assert!(matches!(none.start(), Err(Error::Option(_))));
    assert_eq!(first.active_connections(), 0);
    first.stop_within(Duration::ZERO).unwrap();
    assert!(!first.is_running());
}

/// The names of the public methods that take `&self` or make a server.
fn methods(source: &str) -> Vec<String> {
    let blocks = source.split("\nimpl<S: Service").skip(1).filter_map(|block| block.split("\n}").next());
    let mut names: Vec<String> = blocks
        .flat_map(|block| block.split("    pub ").skip(1))
        .map(|method| method.trim_start_matches("async ").trim_start_matches("fn "))
        .filter_map(|method| method.split('(').next())
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

#[test]
fn both_servers_have_the_same_methods() {
    let mut expected = methods(include_str!("../src/server/mod.rs"));
    // It takes a future, which a synchronous program does not have.
    expected.retain(|name| name != "serve_until");
    assert!(expected.len() > 8, "{expected:?}");
    assert_eq!(methods(include_str!("../src/blocking/server.rs")), expected);
}
