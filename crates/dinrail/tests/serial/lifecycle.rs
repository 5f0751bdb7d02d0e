//! Ports that are not there, that others have, that go and come back.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dinrail::server::Options;
use dinrail::transport::Serial;
use dinrail::{Client, Error, Server, client};

use crate::bus::{Bus, LONG, rtu};
use crate::server::memory;

fn server(path: &str) -> Server<dinrail::service::Memory, Serial> {
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

#[tokio::test]
async fn s001_30_server_and_client_come_back_with_their_ports() {
    let directory = directory("s001-30");
    let socat = Socat::start(&directory);
    socat.ready().await;
    let server = server(socat.end(0));
    server.start().await.expect("the port opens");
    let backoff = client::Backoff::new(Duration::from_millis(20), Duration::from_millis(100));
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

    // And a server without its port can be stopped.
    drop(socat);
    tokio::time::timeout(LONG, server.stop()).await.expect("it stops");
    let _ = std::fs::remove_dir_all(directory);
}
