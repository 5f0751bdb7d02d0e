//! Accepting connections: in the caller's runtime, and by the server's own loops. What holds for one holds for the other.

use std::time::{Duration, Instant};

use dinrail::Server;
use dinrail::server::{Options, WhenFull};
use dinrail::service::Memory;

use crate::raw::{Raw, read, registers, soon, until};

/// Both ways to accept.
const WAYS: [Option<usize>; 3] = [None, Some(1), Some(2)];

fn memory(options: Options) -> Server<Memory> {
    Server::tcp("127.0.0.1:0", Memory::new()).with_options(options)
}

/// As many connections at once as each of several tests may have descriptors for: each needs two, one for each end.
const MANY: usize = 150;

#[tokio::test]
async fn those_who_connect_at_once_again_and_again_are_all_answered() {
    for threads in WAYS {
        let server = memory(Options::default().with_threads(threads));
        let address = server.start().await.unwrap();
        // Somebody who asks all the while is not forgotten for those who come.
        let asking = tokio::spawn(async move {
            let mut master = Raw::connect(address).await;
            for _ in 0..2_000 {
                assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [0]);
            }
        });
        for round in 1..=5 {
            let mut masters = Vec::new();
            for _ in 0..MANY {
                masters.push(tokio::spawn(async move {
                    let mut master = Raw::connect(address).await;
                    assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [0]);
                    master
                }));
            }
            let mut open = Vec::new();
            for master in masters {
                open.push(master.await.unwrap());
            }
            assert!(server.active_connections() >= MANY);
            drop(open);
            until("all have gone", || server.active_connections() <= 1).await;
            assert_eq!(server.statistics().accepted, 1 + (round * MANY) as u64);
        }
        asking.await.unwrap();
        assert_eq!(server.statistics().refused, 0);
    }
}

#[tokio::test]
async fn connections_that_came_before_the_server_looked_are_served() {
    for threads in WAYS {
        let server = memory(Options::default().with_threads(threads));
        let address = server.start().await.unwrap();
        // Blocking: with `None` the server's task does not run before all are connected.
        let connect = |_| std::net::TcpStream::connect(address).unwrap();
        let masters: Vec<_> = (0..MANY).map(connect).collect();
        until("all are there", || server.active_connections() == MANY).await;
        drop(masters);
        until("all have gone", || server.active_connections() == 0).await;
    }
}

#[tokio::test]
async fn loops_refuse_and_allow_as_the_runtime_does() {
    for threads in WAYS {
        let options = Options::default().with_threads(threads);
        let full = options.clone().with_max_connections(2usize).with_when_full(WhenFull::Refuse);
        let server = memory(full);
        let address = server.start().await.unwrap();
        let (mut a, mut b) = (Raw::connect(address).await, Raw::connect(address).await);
        a.ask(&read(3, 0, 1)).await;
        b.ask(&read(3, 0, 1)).await;
        for _ in 0..10 {
            assert!(Raw::connect(address).await.is_closed().await);
        }
        drop(a);
        until("its place is free", || server.active_connections() == 1).await;
        Raw::connect(address).await.ask(&read(3, 0, 1)).await;
        assert_eq!(server.statistics().refused, 10);

        let server = memory(options.clone().with_allow(vec!["10.0.0.0/8".parse().unwrap()]));
        assert!(Raw::connect(server.start().await.unwrap()).await.is_closed().await);
        assert_eq!(server.statistics().refused, 1);

        // In a runtime, whatever is asked for: only that can wait.
        let server = memory(options.with_rate(Some(20)));
        let mut master = Raw::connect(server.start().await.unwrap()).await;
        let began = Instant::now();
        for _ in 0..30 {
            master.ask(&read(3, 0, 1)).await;
        }
        assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_stop_frees_the_port_while_others_still_connect() {
    for threads in WAYS {
        let server = memory(Options::default().with_threads(threads));
        let address = server.start().await.unwrap();
        // They connect until nobody is there any more; who came in time is closed and not forgotten.
        let knocking: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || {
                    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
                        drop(stream);
                    }
                })
            })
            .collect();
        until("they come", || server.statistics().accepted > 200).await;
        let began = Instant::now();
        assert_eq!(soon(server.stop()).await.aborted, 0);
        assert!(began.elapsed() < Duration::from_secs(2), "nobody is waited for: {:?}", began.elapsed());
        assert_eq!(server.active_connections(), 0);
        let refused = std::net::TcpStream::connect(address).map(drop);
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused, "nobody listens");
        for thread in knocking {
            thread.join().unwrap();
        }
        std::net::TcpListener::bind(address).expect("the port is free");
    }
}

#[tokio::test]
async fn a_server_takes_its_port_again_and_again() {
    for threads in WAYS {
        let server = memory(Options::default().with_threads(threads));
        let address = server.start().await.unwrap();
        soon(server.stop()).await;
        let server = Server::tcp(address, Memory::new()).with_options(Options::default().with_threads(threads));
        for _ in 0..20 {
            assert_eq!(server.start().await.unwrap(), address);
            assert_eq!(registers(&Raw::connect(address).await.ask(&read(3, 0, 1)).await), [0]);
            soon(server.stop()).await;
        }
    }
}

/// Says to a test that it was started for it, and with how many threads.
#[cfg(unix)]
const THREADS: &str = "DINRAIL_TEST_THREADS";

/// Runs a test of this program in a process of its own, after `limit` has said how many descriptors it may have: others
/// need theirs.
#[cfg(unix)]
fn with_descriptors(limit: &str, test: &str) {
    for threads in ["0", "1", "2"] {
        let told = std::process::Command::new("sh")
            .args(["-c", &format!(r#"{limit}; exec "$0" --exact accepting::{test} --ignored --nocapture"#)])
            .arg(std::env::current_exe().unwrap())
            .env(THREADS, threads)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success() && text.contains("1 passed"), "{threads} threads: {text}");
    }
}

/// The options that [`with_descriptors`] asks for; `None` when somebody else asks.
#[cfg(unix)]
fn told() -> Option<Options> {
    let threads = std::env::var(THREADS).ok()?.parse().unwrap();
    Some(Options::default().with_threads(Some(threads).filter(|threads| *threads > 0)))
}

#[cfg(unix)]
#[test]
fn thousands_that_connect_at_once_are_all_answered() {
    with_descriptors(r#"ulimit -n 6200 || ulimit -n "$(ulimit -H -n)""#, "with_many_descriptors");
}

#[cfg(unix)]
#[tokio::test]
#[ignore = "started by another test, in a process with many descriptors"]
async fn with_many_descriptors() {
    let Some(options) = told() else { return };
    let server = memory(options.with_max_connections(10_000usize));
    let address = server.start().await.unwrap();
    // As many as there are descriptors for, up to 3000: a thread that does nothing else.
    let connecting = std::thread::spawn(move || {
        let mut streams = Vec::new();
        while streams.len() < 3_000 && std::fs::File::open("/dev/null").is_ok() {
            let Ok(stream) = std::net::TcpStream::connect(address) else { break };
            stream.set_nonblocking(true).unwrap();
            streams.push(stream);
        }
        streams
    });
    until("they are connected", || connecting.is_finished()).await;
    let mut streams = connecting.join().unwrap();
    assert!(streams.len() > 100, "only {}", streams.len());
    // The server's ends may be out of descriptors where the limit is low: some of ours go.
    if streams.len() < 3_000 {
        streams.truncate(streams.len() / 2);
    }
    for stream in streams {
        let mut master = Raw::over(tokio::net::TcpStream::from_std(stream).unwrap());
        assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [0]);
    }
}

#[cfg(unix)]
#[test]
fn a_server_without_descriptors_waits_for_some_and_goes_on() {
    with_descriptors("ulimit -n 64", "with_few_descriptors");
}

#[cfg(unix)]
#[tokio::test]
#[ignore = "started by another test, in a process with few descriptors"]
async fn with_few_descriptors() {
    let Some(options) = told() else { return };
    let server = memory(options);
    let address = server.start().await.unwrap();
    let mut before = Raw::connect(address).await;
    before.ask(&read(3, 0, 1)).await;

    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    assert!(taken.len() > 10, "descriptors are few, but were enough so far");
    // One for the master's end, none for the server's.
    drop(taken.pop());
    let mut during = Raw::connect(address).await;
    assert!(during.is_silent().await, "it has not been accepted");
    assert_eq!(server.active_connections(), 1);
    for _ in 0..50 {
        assert_eq!(registers(&before.ask(&read(3, 0, 1)).await), [0], "who is there is served");
    }
    assert!(server.is_running());

    // The pause has grown by now, and ends within a second all the same.
    tokio::time::sleep(Duration::from_millis(700)).await;
    taken.truncate(10);
    assert_eq!(registers(&during.ask(&read(3, 0, 1)).await), [0], "it was only waiting");
    assert_eq!(server.active_connections(), 2);

    // A stop does not wait for the end of a pause.
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    drop(taken.pop());
    let mut late = Raw::connect(address).await;
    tokio::time::sleep(Duration::from_millis(1300)).await;
    let began = Instant::now();
    soon(server.stop()).await;
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    assert!(late.is_closed().await);
}
