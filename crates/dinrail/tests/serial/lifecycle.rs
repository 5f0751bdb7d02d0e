//! Ports that are not there, that others have, that go and come back.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dinrail::client::Backoff;
use dinrail::server::{Hooks, Manager, Options};
use dinrail::service::{Memory, Peer};
use dinrail::transport::Serial;
use dinrail::{Client, Error, Server, client};

use crate::bus::{Bus, LONG, rtu};
use crate::server::memory;

fn server(path: &str) -> Server<Memory, Serial> {
    Server::serial(Serial::rtu(path), memory()).with_options(Options::default().with_units([2]))
}

fn refused(result: Result<impl std::fmt::Debug, Error>) -> String {
    let error = result.expect_err("the port cannot be had");
    assert!(matches!(error, Error::Bind { .. } | Error::Connect { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_port_that_does_not_exist_is_named() {
    let text = refused(server("/dev/ttyNONE").start().await);
    let why =
        "there is no /dev/ttyNONE; is the adapter plugged in, and is that its name? `ls /dev/tty[AUS]*` lists ports";
    assert_eq!(text, format!("cannot listen on rtu:///dev/ttyNONE: {why}"));
    let options = client::Options::default();
    let text = refused(Client::connect_with(Serial::rtu("/dev/ttyNONE"), options).await);
    assert!(text.starts_with("cannot connect to rtu:///dev/ttyNONE: there is no /dev/ttyNONE;"), "{text}");
    assert!(!text.contains("host"), "no word of hosts: {text}");
    let text = refused(server("/etc/hostname").start().await);
    assert!(text.contains("/etc/hostname is no serial port. `ls"), "{text}");
    let on_threads = server("/dev/ttyNONE").with_options(Options::default().with_threads(1));
    assert!(refused(on_threads.start().await).contains("there is no /dev/ttyNONE"));
}

#[tokio::test]
async fn a_port_that_another_has_is_named() {
    let bus = Bus::new(1);
    let first = server(bus.port(0));
    first.start().await.expect("the port opens");
    let text = refused(server(bus.port(0)).start().await);
    assert!(text.contains(&format!("{} is in use; stop the program", bus.port(0))), "{text}");
    let text = refused(Client::connect_with(Serial::rtu(bus.port(0)), client::Options::default()).await);
    assert!(text.contains("is in use"), "{text}");
}

#[tokio::test]
async fn a_stop_frees_the_port_and_a_start_takes_it_again() {
    let mut bus = Bus::new(1);
    let first = server(bus.port(0));
    for _ in 0..3 {
        first.start().await.expect("the port opens");
        assert!(first.is_running());
        assert_eq!(bus.ask(&rtu(2, &[3, 0, 0, 0, 1]), 7).await, rtu(2, &[3, 2, 1, 2]));
        first.stop().await;
        assert!(!first.is_running());
        let second = server(bus.port(0));
        second.start().await.expect("the port is free");
        second.stop().await;
    }
    // A server that is dropped stops as well, a moment later.
    first.start().await.expect("the port opens");
    drop(first);
    let free = async {
        while server(bus.port(0)).start().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, free).await.expect("the port is free");
}

/// Two ports joined by a process, as adapters come and go.
struct Socat {
    process: Child,
    ends: [PathBuf; 2],
}

impl Socat {
    fn start(directory: &Path) -> Self {
        let ends = [directory.join("a"), directory.join("b")];
        let end = |path: &Path| format!("pty,raw,echo=0,link={}", path.display());
        let process = Command::new("socat")
            .args([end(&ends[0]), end(&ends[1])])
            .stdin(Stdio::null())
            .spawn()
            .expect("socat is needed for this test: apt install socat");
        Self { process, ends }
    }

    /// Waits until both ends are there.
    async fn ready(&self) {
        let there = async {
            while !self.ends.iter().all(|end| end.exists()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, there).await.expect("socat makes the ports");
    }

    fn end(&self, number: usize) -> &str {
        self.ends[number].to_str().expect("a path of ours")
    }
}

impl Drop for Socat {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Killed, it leaves its links behind, which then point nowhere.
        self.ends.iter().for_each(|end| drop(std::fs::remove_file(end)));
    }
}

fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("dinrail-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

/// What a server's hooks are told of its line.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

/// What, of which peer, and when.
type Event = (&'static str, String, Instant);

impl Told {
    fn tell(&self, what: &'static str, peer: &Peer) {
        self.0.lock().expect("no panic").push((what, peer.to_string(), Instant::now()));
    }

    fn what(&self) -> Vec<&'static str> {
        self.0.lock().expect("no panic").iter().map(|told| told.0).collect()
    }
}

impl Hooks for Told {
    fn connected(&self, peer: &Peer) {
        self.tell("connected", peer);
    }

    fn disconnected(&self, peer: &Peer) {
        self.tell("disconnected", peer);
    }
}

#[tokio::test]
async fn s001_30_server_and_client_come_back_with_their_ports() {
    let directory = directory("s001-30");
    let socat = Socat::start(&directory);
    socat.ready().await;
    let told = Told::default();
    let server = server(socat.end(0)).with_hooks(told.clone());
    server.start().await.expect("the port opens");
    let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(100));
    let options =
        client::Options::default().with_unit(2).with_timeout(Duration::from_millis(300)).with_reconnect(backoff);
    let client = Client::connect_with(Serial::rtu(socat.end(1)), options).await.expect("the port opens");
    let patient = client.with_timeout(LONG);
    assert_eq!(patient.read_holding_registers(0, 2).await.expect("values"), [0x0102, 0x0304]);

    drop(socat);
    let error = patient.read_holding_registers(0, 2).await.expect_err("there is no line");
    assert!(matches!(error, Error::Connect { .. } | Error::Lost { .. }), "{error}");
    assert!(server.is_running(), "it waits for its port");

    let socat = Socat::start(&directory);
    socat.ready().await;
    let answered = async {
        // What is said before the server is back is lost; and a loaded machine takes longer than others.
        let mut client = client.clone();
        loop {
            client = client.with_timeout(client.timeout() * 3 / 2);
            match client.read_holding_registers(0, 2).await {
                Ok(values) => return values,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let values = tokio::time::timeout(LONG, answered).await.expect("both are back");
    assert_eq!(values, [0x0102, 0x0304]);
    assert!(client.stats().reconnects >= 1);
    assert_eq!(told.what(), ["connected", "disconnected", "connected"]);
    let url = format!("rtu://{}", socat.end(0));
    assert!(told.0.lock().expect("no panic").iter().all(|(_, peer, _)| *peer == url), "the line is the peer");

    // And a server without its port can be stopped.
    drop(socat);
    tokio::time::timeout(LONG, server.stop()).await.expect("it stops");
    assert_eq!(told.what(), ["connected", "disconnected", "connected", "disconnected"]);
    let _ = std::fs::remove_dir_all(directory);
}

#[tokio::test]
async fn s001_30_a_server_waits_as_long_as_it_is_told_to() {
    const WAIT: Duration = Duration::from_millis(1500);
    let directory = directory("s001-30-waits");
    let socat = Socat::start(&directory);
    socat.ready().await;
    let told = Told::default();
    let options = Options::default().with_units([2]).with_reconnect(Backoff::new(WAIT, WAIT));
    let server = server(socat.end(0)).with_options(options).with_hooks(told.clone());
    server.start().await.expect("the port opens");
    drop(socat);
    let socat = Socat::start(&directory);
    socat.ready().await;
    let back = async {
        while told.what().len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, back).await.expect("the port is there again");
    let told = told.0.lock().expect("no panic");
    let apart = told[2].2 - told[1].2;
    assert!(apart >= WAIT, "the port was there all the while, and is opened after {apart:?}");
    let _ = std::fs::remove_dir_all(directory);
}

#[tokio::test]
async fn s001_30_a_server_that_is_not_to_wait_ends_with_its_port_and_says_so() {
    let directory = directory("s001-30-ends");
    for threads in [None, Some(1)] {
        let socat = Socat::start(&directory);
        socat.ready().await;
        let options = Options::default().with_units([2]).with_reconnect(None).with_threads(threads);
        let server = server(socat.end(0)).with_options(options);
        let url = format!("rtu://{}", socat.end(0));
        let gone = |error: Error| {
            let Error::Gone { port } = &error else { panic!("{error:?}") };
            assert_eq!(**port, *url);
            assert!(error.to_string().starts_with(&format!("{url} is gone, and the server has ended;")), "{error}");
        };
        server.start().await.expect("the port opens");
        // It is served first, and only then the port goes.
        let (served, ()) = tokio::join!(tokio::time::timeout(LONG, server.serve()), async { drop(socat) });
        let served = served.expect("it ends");
        gone(served.expect_err("its port is gone"));
        assert!(!server.is_running());
        assert_eq!((server.local_addr().map(|port| port.to_string()), server.active_connections()), (None, 0));
        assert!(refused(server.start().await).contains("there is no"));

        // It can be started again, by itself or by a manager, which knows what became of it.
        let socat = Socat::start(&directory);
        socat.ready().await;
        server.start().await.expect("the port is back");
        assert!(server.is_running());
        let for_ever = server.serve_until(std::future::pending());
        let (served, ()) = tokio::join!(tokio::time::timeout(LONG, for_ever), async { drop(socat) });
        let served = served.expect("it ends");
        gone(served.expect_err("its port is gone"));
        let socat = Socat::start(&directory);
        socat.ready().await;
        let manager = Manager::new();
        manager.add("line", server).expect("the first of its name");
        manager.start_all().await.expect("the port is back");
        assert!(manager.status()[0].error.is_none());
        drop(socat);
        let ended = async {
            while manager.status()[0].running {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, ended).await.expect("it ends");
        gone(manager.status()[0].error.clone().expect("why it ended"));
    }
    let _ = std::fs::remove_dir_all(directory);
}

#[tokio::test]
async fn waits_that_cannot_be_are_refused_by_name() {
    let (none, short, long) = (Duration::ZERO, Duration::from_millis(1), Duration::from_secs(1));
    for (waits, why) in [(Backoff::new(none, long), "waits for 0"), (Backoff::new(long, short), "below min")] {
        let server = server("/dev/ttyNONE").with_options(Options::default().with_reconnect(waits));
        let error = server.start().await.expect_err("an option that cannot be");
        assert!(matches!(error, Error::Option(_)), "{error:?}");
        assert!(error.to_string().starts_with("reconnect") && error.to_string().contains(why), "{error}");
    }
}
