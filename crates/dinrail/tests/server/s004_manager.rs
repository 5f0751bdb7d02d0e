//! Document 004: many servers in one process. Those that a file describes are tested where the file is read.

use std::cell::Cell;
use std::error::Error as _;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dinrail::server::{Manager, Options, Report};
use dinrail::service::{Failure, Memory, Read, read_only};
use dinrail::transport::Endpoint;
use dinrail::{Area, Client, Error, ExceptionCode, Server};

use crate::raw::{Raw, frame, read, registers, soon, until, write};

const ANY: &str = "127.0.0.1:0";

/// A store that says who it is.
fn store(mark: u16) -> Memory {
    let memory = Memory::with_sizes(0, 0, 10, 0);
    memory.set(Area::HoldingRegister, 0, &[mark]).unwrap();
    memory
}

fn address(manager: &Manager, name: &str) -> SocketAddr {
    let status = manager.status().into_iter().find(|status| &*status.name == name).expect(name);
    status.address.split_once("://").expect("a URL").1.parse().unwrap()
}

async fn mark(address: SocketAddr) -> Vec<u16> {
    registers(&Raw::connect(address).await.ask(&read(3, 0, 1)).await)
}

fn running(manager: &Manager) -> Vec<bool> {
    manager.status().iter().map(|status| status.running).collect()
}

/// An address that somebody else listens on, for as long as the listener lives.
fn taken() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn s004_1_three_ports_serve_and_are_all_released() {
    let manager = Manager::new();
    for (name, number) in [("a", 1), ("b", 2), ("c", 3)] {
        manager.add(name, Server::tcp(ANY, store(number))).unwrap();
    }
    manager.start_all().await.unwrap();
    let addresses = ["a", "b", "c"].map(|name| address(&manager, name));
    for (address, number) in addresses.into_iter().zip(1..) {
        assert_eq!(mark(address).await, [number]);
    }
    soon(manager.stop_all()).await;
    for address in addresses {
        std::net::TcpListener::bind(address).expect("the port is free");
    }
}

#[tokio::test]
async fn s004_2_a_second_stop_is_harmless_and_a_stopped_server_starts_again() {
    let manager = Manager::new();
    manager.add("a", Server::tcp(ANY, store(1))).unwrap();
    manager.start_all().await.unwrap();
    let mut master = Raw::connect(address(&manager, "a")).await;
    master.ask(&read(3, 0, 1)).await;
    assert_eq!(soon(manager.stop("a")).await.map(|report| report.drained), Some(1));
    assert_eq!(soon(manager.stop("a")).await, Some(Report::default()));
    assert_eq!(soon(manager.stop_all()).await, Report::default());
    assert!(master.is_closed().await);
    manager.start("a").await.unwrap();
    assert_eq!(mark(address(&manager, "a")).await, [1]);
    assert_eq!(manager.stop("nobody").await, None);
    let nobody = manager.start("nobody").await.unwrap_err();
    assert_eq!(nobody.to_string(), "server \"nobody\": there is no server of this name: add one");
}

#[tokio::test]
async fn s004_3_stores_are_isolated_unless_they_are_shared() {
    let manager = Manager::new();
    let shared = store(7);
    manager.add("own", Server::tcp(ANY, store(7))).unwrap();
    manager.add("shared-1", Server::tcp(ANY, shared.clone())).unwrap();
    manager.add("shared-2", Server::tcp(ANY, shared)).unwrap();
    manager.start_all().await.unwrap();
    Raw::connect(address(&manager, "shared-1")).await.ask(&write(0, &[8])).await;
    assert_eq!(mark(address(&manager, "shared-2")).await, [8]);
    assert_eq!(mark(address(&manager, "own")).await, [7]);
}

#[tokio::test]
async fn s004_4_a_port_in_use_is_said_of_that_server_and_all_or_nothing_starts_nothing() {
    let (_listener, busy) = taken();
    let manager = Manager::new();
    manager.add("before", Server::tcp(ANY, store(0))).unwrap();
    manager.add("first", Server::tcp(ANY, store(1))).unwrap();
    manager.add("busy", Server::tcp(busy, store(2))).unwrap();
    manager.add("last", Server::tcp(ANY, store(3))).unwrap();
    manager.start("before").await.unwrap();

    let failed = manager.start_all().await.unwrap_err();
    assert_eq!(&*failed.name, "busy");
    let Error::Bind { source, .. } = &failed.error else { panic!("{failed}") };
    assert_eq!(source.kind(), ErrorKind::AddrInUse);
    assert!(failed.source().is_some());
    let sentence = failed.to_string();
    assert!(sentence.starts_with(&format!("server \"busy\": cannot listen on {busy}: ")), "{sentence}");
    assert_eq!(running(&manager), [true, false, false, false], "what ran before goes on");
    assert_eq!(mark(address(&manager, "before")).await, [0]);
}

#[tokio::test]
async fn s004_4_or_what_can_start_does() {
    let (listener, busy) = taken();
    let manager = Manager::new();
    manager.add("first", Server::tcp(ANY, store(1))).unwrap();
    manager.add("busy", Server::tcp(busy, store(2))).unwrap();
    manager.add("last", Server::tcp(ANY, store(3))).unwrap();
    let failed = manager.start_what_can().await;
    assert_eq!(failed.iter().map(|failed| &*failed.name).collect::<Vec<_>>(), ["busy"]);
    assert_eq!(running(&manager), [true, false, true]);
    assert_eq!(mark(address(&manager, "last")).await, [3]);
    let status = manager.status();
    assert_eq!(status[1].address, format!("tcp://{busy}"));
    let error = status[1].error.as_ref().expect("why it does not run").to_string();
    assert!(error.contains(&busy.to_string()), "{error}");
    assert!(status[0].error.is_none());
    assert_eq!(status.iter().map(|server| server.uptime.is_some()).collect::<Vec<_>>(), [true, false, true]);

    drop(listener);
    assert!(manager.start_what_can().await.is_empty(), "it is tried again");
    assert_eq!(running(&manager), [true; 3]);
    assert!(manager.status()[1].error.is_none());
}

#[tokio::test]
async fn s004_5_all_stop_gracefully_and_at_the_same_time() {
    let manager = Manager::new();
    for number in 0..4 {
        let service = read_only(|read: Read| async move {
            tokio::time::sleep(Duration::from_millis(read.address.into())).await;
            Ok(vec![read.address; read.count.into()])
        });
        let options = Options::default().with_grace(Duration::from_millis(600));
        manager.add(format!("{number}"), Server::tcp(ANY, service).with_options(options)).unwrap();
    }
    manager.start_all().await.unwrap();
    let mut masters = Vec::new();
    for status in manager.status() {
        let mut master = Raw::connect(status.address.strip_prefix("tcp://").unwrap().parse().unwrap()).await;
        // Two in one segment: when the first is answered, the second has been read.
        let late = if &*status.name == "3" { 60_000 } else { 100 };
        master.send(&[frame(1, 1, &read(3, 0, 1)), frame(2, 1, &read(3, late, 1))].concat()).await;
        assert_eq!(master.reply().await.0, 1);
        masters.push(master);
    }
    let draining = address(&manager, "3");
    let began = Instant::now();
    let stop = async { manager.stop_all().await };
    let answered = async {
        for master in &mut masters[..3] {
            assert_eq!(registers(&master.reply().await.2), [100]);
            assert!(master.is_closed().await);
        }
        let late = tokio::net::TcpStream::connect(draining).await;
        assert!(late.is_err(), "who comes while the last request is waited for finds nobody listening");
        assert!(masters[3].is_closed().await);
    };
    let (report, ()) = tokio::join!(stop, answered);
    assert_eq!((report.drained, report.aborted), (3, 1));
    assert!(began.elapsed() >= Duration::from_millis(600), "the last one was given its time");
    assert!(began.elapsed() < Duration::from_millis(1800), "one grace time, not four: {:?}", began.elapsed());
}

#[tokio::test]
async fn s004_6_servers_come_and_go_while_others_run() {
    let manager = Manager::new();
    manager.add("a", Server::tcp(ANY, store(1))).unwrap();
    manager.start_all().await.unwrap();
    let mut stays = Raw::connect(address(&manager, "a")).await;
    stays.ask(&read(3, 0, 1)).await;

    manager.add("b", Server::tcp(ANY, store(2))).unwrap();
    let twice = manager.add("b", Server::tcp(ANY, store(2))).unwrap_err();
    assert!(twice.to_string().starts_with("server \"b\": there is a server of this name"), "{twice}");
    manager.start("b").await.unwrap();
    let b = address(&manager, "b");
    assert_eq!(mark(b).await, [2]);
    assert!(soon(manager.remove("b")).await.is_some());
    assert!(manager.remove("b").await.is_none());
    std::net::TcpListener::bind(b).expect("the port is free");
    assert_eq!(manager.status().len(), 1);
    assert_eq!(registers(&stays.ask(&read(3, 0, 1)).await), [1]);
}

#[tokio::test]
async fn s004_6_one_is_replaced_in_its_place_or_stays() {
    let manager = Manager::new();
    manager.add("a", Server::tcp(ANY, store(1))).unwrap();
    manager.add("b", Server::tcp(ANY, store(2))).unwrap();
    manager.start_all().await.unwrap();
    let at = address(&manager, "a");

    manager.replace("a", Server::tcp(at, store(10))).await.expect("the same address");
    assert_eq!((address(&manager, "a"), mark(at).await), (at, vec![10]));
    let localhost = format!("localhost:{}", at.port());
    manager.replace("a", Server::tcp(&localhost, store(11))).await.expect("the same address in other letters");
    assert_eq!(mark(at).await, [11]);
    let names: Vec<_> = manager.status().iter().map(|status| status.name.clone()).collect();
    assert_eq!(names, ["a".into(), "b".into()]);

    let (_listener, busy) = taken();
    let mut stays = Raw::connect(at).await;
    stays.ask(&read(3, 0, 1)).await;
    let failed = manager.replace("a", Server::tcp(busy, store(12))).await.unwrap_err();
    assert_eq!(&*failed.name, "a");
    assert_eq!(registers(&stays.ask(&read(3, 0, 1)).await), [11], "the old one was not touched");
    let none = Options::default().with_max_connections(0);
    manager.replace("a", Server::tcp(&localhost, store(13)).with_options(none)).await.unwrap_err();
    assert_eq!(mark(at).await, [11], "the old one runs");

    manager.replace("c", Server::tcp(ANY, store(3))).await.expect("nobody to replace");
    assert_eq!(mark(address(&manager, "c")).await, [3]);
}

#[tokio::test]
async fn s004_7_a_manager_serves_in_the_background_until_it_is_told_to_stop() {
    let manager = std::sync::Arc::new(Manager::new());
    manager.add("a", Server::tcp(ANY, store(1))).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = manager.clone();
    let task = tokio::spawn(async move { serving.serve_until(async { stopped.await.unwrap_or_default() }).await });
    until("the server runs", || running(&manager) == [true]).await;
    let at = address(&manager, "a");
    assert_eq!(mark(at).await, [1]);
    stop.send(()).unwrap();
    soon(task).await.unwrap().unwrap();
    std::net::TcpListener::bind(at).expect("the port is free");
}

#[tokio::test]
async fn s004_9_status_tells_what_each_server_does() {
    let manager = Manager::new();
    let udp: Endpoint = format!("udp://{ANY}").parse().unwrap();
    manager.add("tcp", Server::tcp(ANY, store(1))).unwrap();
    manager.add("udp", Server::on(udp, store(2))).unwrap();
    let before = manager.status();
    assert_eq!((before[0].address.as_str(), before[0].running), ("tcp://127.0.0.1:0", false));
    manager.start_all().await.unwrap();

    let mut master = Raw::connect(address(&manager, "tcp")).await;
    master.ask(&read(3, 0, 1)).await;
    master.ask(&read(3, 100, 1)).await;
    let status = manager.status();
    let endpoint: Endpoint = status[1].address.parse().expect("an address is a URL to connect to");
    let client = Client::connect_with(endpoint, dinrail::client::Options::default()).await.unwrap();
    assert_eq!(client.read_holding_registers(0, 1).await.unwrap(), [2]);

    let status = manager.status();
    let told: Vec<_> = status
        .iter()
        .map(|server| (&*server.name, server.running, server.requests, server.exceptions, server.active_connections))
        .collect();
    assert_eq!(told, [("tcp", true, 2, 1, 1), ("udp", true, 1, 0, 0)]);
}

#[tokio::test]
async fn s004_11_options_are_each_servers_own() {
    const LIMIT: Duration = Duration::from_millis(400);
    let manager = Manager::new();
    let never = || read_only(|_: Read| async { std::future::pending::<Result<Vec<u16>, Failure>>().await });
    let deadline = Options::default().with_request_deadline(LIMIT);
    let failure = deadline.clone().with_deadline_exception(ExceptionCode::ServerDeviceFailure);
    let idle = Options::default().with_idle_timeout(Duration::from_millis(50));
    manager.add("deadline", Server::tcp(ANY, never()).with_options(deadline)).unwrap();
    manager.add("failure", Server::tcp(ANY, never()).with_options(failure)).unwrap();
    manager.add("idle", Server::tcp(ANY, store(2)).with_options(idle)).unwrap();
    manager.add("plain", Server::tcp(ANY, store(3))).unwrap();
    manager.start_all().await.unwrap();
    let mut plain = Raw::connect(address(&manager, "plain")).await;
    plain.ask(&read(3, 0, 1)).await;
    let mut idle = Raw::connect(address(&manager, "idle")).await;
    idle.ask(&read(3, 0, 1)).await;
    for (name, code) in [("deadline", 0x0B), ("failure", 0x04)] {
        let mut late = Raw::connect(address(&manager, name)).await;
        let (began, answered) = (Instant::now(), Cell::new(false));
        let asking = async {
            assert_eq!(late.ask(&read(3, 0, 1)).await, [0x83, code], "{name}");
            answered.set(true);
            began.elapsed()
        };
        let others = async {
            let mut meanwhile = 0;
            while !answered.get() {
                assert_eq!(registers(&plain.ask(&read(3, 0, 1)).await), [3], "the others are not touched");
                meanwhile += u32::from(!answered.get());
            }
            meanwhile
        };
        let (took, others) = tokio::join!(asking, others);
        assert!(took >= LIMIT && took < LIMIT + Duration::from_secs(20), "{name}: answered after {took:?}");
        assert!(others > 0, "{name}: the others are answered meanwhile");
    }
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn s004_12_eight_servers_on_threads_of_their_own_answer_and_stop() {
    let manager = Manager::new();
    for number in 0..8 {
        let options = Options::default().with_threads(1);
        manager.add(format!("{number}"), Server::tcp(ANY, store(number)).with_options(options)).unwrap();
    }
    manager.start_all().await.unwrap();
    for number in 0..8 {
        assert_eq!(mark(address(&manager, &number.to_string())).await, [number]);
    }
    soon(manager.stop_all()).await;
    assert_eq!(running(&manager), [false; 8]);
}
