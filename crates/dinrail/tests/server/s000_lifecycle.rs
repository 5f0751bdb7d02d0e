//! Document 000: starting, stopping, and never dying.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dinrail::server::{Options, serve_listener};
use dinrail::service::{Memory, Peer, Read, Write, callbacks, read_only};
use dinrail::transport::Listener;
use dinrail::{Area, Error, Server};

use crate::raw::{Raw, read, registers, soon, until};

#[tokio::test]
async fn s000_9_start_stop_restart_and_what_is_told_meanwhile() {
    let server = Server::tcp("127.0.0.1:0", Memory::new());
    assert!(!server.is_running());
    assert_eq!((server.local_addr(), server.active_connections()), (None, 0));

    let address = server.start().await.unwrap();
    assert_ne!(address.port(), 0);
    assert!(server.is_running());
    assert_eq!(server.start().await.unwrap(), address, "starting twice changes nothing");
    let mut masters = [Raw::connect(address).await, Raw::connect(address).await];
    for master in &mut masters {
        master.ask(&read(3, 0, 1)).await;
    }
    assert_eq!(server.active_connections(), 2);
    assert_eq!(server.statistics().requests, 2);

    let report = soon(server.stop()).await;
    assert_eq!((report.drained, report.aborted), (2, 0));
    assert!(!server.is_running());
    assert_eq!(server.active_connections(), 0);
    for master in &mut masters {
        master.sees_end().await;
    }
    assert_eq!(soon(server.stop()).await, dinrail::server::Report::default(), "stopping twice changes nothing");

    let address = server.start().await.expect("a stopped server starts again");
    assert_eq!(registers(&Raw::connect(address).await.ask(&read(3, 0, 1)).await), [0]);
}

#[tokio::test]
async fn s000_9_a_graceful_stop_answers_what_is_in_flight_and_cuts_off_what_takes_too_long() {
    let service = read_only(|read: Read| async move {
        tokio::time::sleep(Duration::from_millis(read.address.into())).await;
        Ok(vec![read.address; read.count.into()])
    });
    let server = Server::tcp("127.0.0.1:0", service);
    let address = server.start().await.unwrap();
    let (mut quick, mut slow, mut idle) =
        (Raw::connect(address).await, Raw::connect(address).await, Raw::connect(address).await);
    idle.ask(&read(3, 0, 1)).await;
    quick.send(&crate::raw::frame(1, 1, &read(3, 150, 1))).await;
    slow.send(&crate::raw::frame(2, 1, &read(3, 60_000, 1))).await;
    // Both have been read when a third, later one is answered.
    idle.ask(&read(3, 0, 1)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;

    let began = Instant::now();
    let stop = server.stop_within(Duration::from_millis(500));
    let answered = async {
        let reply = quick.reply().await;
        idle.sees_end().await;
        quick.sees_end().await;
        reply
    };
    let (report, (transaction, _, reply)) = tokio::join!(stop, answered);
    assert_eq!((transaction, registers(&reply)), (1, vec![150]), "in flight, so answered");
    assert_eq!((report.drained, report.aborted), (2, 1));
    slow.sees_end().await;
    assert!(began.elapsed() < Duration::from_secs(3));
    tokio::net::TcpListener::bind(address).await.expect("the port is free when stop returns");
}

#[tokio::test]
async fn s000_9_a_stop_answers_a_request_that_came_behind_another_and_is_being_worked_on() {
    for threads in [None, Some(1)] {
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = begun.clone();
        let service = read_only(move |read: Read| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_millis(read.address.into())).await;
                Ok(vec![read.address; read.count.into()])
            }
        });
        let server = Server::tcp("127.0.0.1:0", service).with_options(Options::default().with_threads(threads));
        let mut master = Raw::connect(server.start().await.unwrap()).await;
        let burst = [crate::raw::frame(1, 1, &read(3, 50, 1)), crate::raw::frame(2, 1, &read(3, 300, 1))];
        master.send(&burst.concat()).await;
        assert_eq!(master.reply().await.0, 1);
        until("the second is being worked on", || begun.load(Ordering::SeqCst) == 2).await;
        let (report, (transaction, _, reply)) = tokio::join!(server.stop(), master.reply());
        assert_eq!((transaction, registers(&reply)), (2, vec![300]), "in flight, so answered");
        assert_eq!((report.drained, report.aborted), (1, 0));
    }
}

#[tokio::test]
async fn s000_10_a_port_in_use_is_a_typed_error_that_names_the_address() {
    let taken = Server::tcp("127.0.0.1:0", Memory::new());
    let address = taken.start().await.unwrap();
    let server = Server::tcp(address, Memory::new());
    let error = server.start().await.expect_err("the port is taken");
    let Error::Bind { address: named, source } = &error else { panic!("{error:?}") };
    assert_eq!((&**named, source.kind()), (&*address.to_string(), std::io::ErrorKind::AddrInUse));
    assert!(error.to_string().contains("another program listens there"), "{error}");
    assert!(!server.is_running());
    assert!(taken.is_running(), "the other server is not harmed");
}

#[test]
fn s000_11_a_server_for_a_synchronous_host_calls_back_on_threads_of_its_own() {
    let threads = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let seen = threads.clone();
    let service = read_only(move |read: Read| {
        assert!(tokio::runtime::Handle::try_current().is_ok(), "a running loop is visible inside callbacks");
        seen.lock().unwrap().insert(std::thread::current().id());
        Ok(vec![1u16; read.count.into()])
    });
    // One thread of the server's own: the caller's runtime only starts and stops it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::tcp("127.0.0.1:0", service).with_options(Options::default().with_threads(Some(1)));
    let address = runtime.block_on(server.start()).unwrap();
    runtime.block_on(async {
        for _ in 0..3 {
            Raw::connect(address).await.ask(&read(3, 0, 1)).await;
        }
    });
    runtime.block_on(server.stop());
    let threads = threads.lock().unwrap();
    assert_eq!(threads.len(), 1);
    assert!(!threads.contains(&std::thread::current().id()));
}

#[tokio::test]
async fn s000_12_masters_by_the_dozen_get_their_own_answers_and_leave_nothing_behind() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let service = callbacks(
        move |read: Read| {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                match number % 7 {
                    0 => tokio::task::yield_now().await,
                    1 => panic!("a buggy callback"),
                    2 => return Err(dinrail::ExceptionCode::ServerDeviceBusy.into()),
                    _ => {}
                }
                Ok(vec![read.address; read.count.into()])
            }
        },
        |_: Write| Ok(()),
    );
    // Panics of the callback are meant here: no need to print a thousand of them.
    std::panic::set_hook(Box::new(|_| ()));
    let server = Server::tcp("127.0.0.1:0", service);
    let address = server.start().await.unwrap();
    let mut masters = tokio::task::JoinSet::new();
    for number in 0..32u16 {
        masters.spawn(async move {
            let mut master = Raw::connect(address).await;
            let mut answered = 0;
            for request in 0..200 {
                let at = number * 200 + request;
                match &*master.ask(&read(3, at, 2)).await {
                    [0x83, 4 | 6] => {}
                    reply => {
                        assert_eq!(registers(reply), [at, at], "another master's answer");
                        answered += 1;
                    }
                }
            }
            answered
        });
    }
    let answered: usize = masters.join_all().await.into_iter().sum();
    let _ = std::panic::take_hook();
    assert_eq!(calls.load(Ordering::Relaxed), 32 * 200);
    let due = (0..32 * 200).filter(|number| !matches!(number % 7, 1 | 2)).count();
    assert_eq!((answered, due), (4571, 4571), "each call that does not fail is answered with what was asked");
    until("all connections are released", || server.active_connections() == 0).await;
    assert!(server.is_running());
}

#[tokio::test]
async fn s000_9_a_server_on_its_own_threads_shares_its_port_and_its_store() {
    let memory = Memory::new();
    let server = Server::tcp("127.0.0.1:0", memory.clone()).with_options(Options::default().with_threads(Some(3)));
    let address = server.start().await.unwrap();
    let mut masters = Vec::new();
    for number in 0..20 {
        let mut master = Raw::connect(address).await;
        assert_eq!(master.ask(&crate::raw::write(number, &[number + 1])).await[0], 16);
        masters.push(master);
    }
    assert_eq!(server.active_connections(), 20);
    assert_eq!(memory.values(Area::HoldingRegister, 0, 20).unwrap(), (1..=20).collect::<Vec<u16>>());
    let report = soon(server.stop()).await;
    assert_eq!(report.drained, 20);
    for master in &mut masters {
        master.sees_end().await;
    }
    let again = Server::tcp(address, memory);
    again.start().await.expect("every thread has let go of the port");
}

#[tokio::test]
async fn who_starts_it_at_the_same_time_starts_it_once() {
    let server = Server::tcp("localhost:0", Memory::new());
    let (one, other) = tokio::join!(server.start(), server.start());
    assert_eq!(one.unwrap(), other.unwrap());
    soon(server.stop()).await;
}

#[tokio::test]
async fn the_grace_time_holds_when_nobody_waits_for_the_stop_any_more() {
    for threads in [None, Some(1)] {
        let asked = Arc::new(AtomicBool::new(false));
        let told = asked.clone();
        let service = read_only(move |_: Read| {
            told.store(true, Ordering::Relaxed);
            std::future::pending::<Result<Vec<u16>, dinrail::service::Failure>>()
        });
        let options = Options::default().with_request_deadline(None).with_threads(threads);
        let server = Server::tcp("127.0.0.1:0", service).with_options(options);
        let address = server.start().await.unwrap();
        let mut master = Raw::connect(address).await;
        master.send(&crate::raw::frame(1, 1, &read(3, 0, 1))).await;
        until("it is asked", || asked.load(Ordering::Relaxed)).await;
        // Long enough for the stop to begin, and much shorter than the grace time.
        let stop = server.stop_within(Duration::from_millis(100));
        assert!(tokio::time::timeout(Duration::from_millis(5), stop).await.is_err(), "a request is being worked on");
        assert!(!server.is_running());
        assert!(soon(master.is_closed()).await);
        until("the connection is released", || server.active_connections() == 0).await;
        server.start().await.expect("it starts again");
        soon(server.stop()).await;
    }
}

/// A listener to which nobody comes.
struct Lonely(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Listener for Lonely {
    type Stream = tokio::io::DuplexStream;

    async fn accept(&mut self) -> std::io::Result<(Self::Stream, Peer)> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn dropping_the_call_that_serves_a_listener_ends_the_listener() {
    let listeners = Arc::new(());
    let serving = serve_listener(Lonely(listeners.clone()), Memory::new(), Options::default(), std::future::pending());
    assert!(tokio::time::timeout(Duration::from_millis(20), serving).await.is_err());
    until("the listener is gone", || Arc::strong_count(&listeners) == 1).await;
}
