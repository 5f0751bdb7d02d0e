//! Who serves, and what becomes of the server when they stop, are stopped or are cut off; on the caller's runtime and on
//! threads.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use dinrail::server::{MissingUnit, Options, Report};
use dinrail::service::{Call, Memory, Reply};
use dinrail::{Error, Server, Service, UnitId, blocking};
use tokio::task::JoinHandle;

use crate::raw::{Raw, SOON, read, soon, until};

const WHERE: [Option<usize>; 3] = [None, Some(1), Some(2)];

fn server(threads: Option<usize>) -> Arc<Server<Memory>> {
    let options = Options::default().with_threads(threads);
    Arc::new(Server::tcp("localhost:0", Memory::new()).with_options(options))
}

fn is_free(address: SocketAddr) -> bool {
    std::net::TcpListener::bind(address).is_ok()
}

/// Serves in a task; gives the task and where it listens.
async fn served(server: &Arc<Server<Memory>>) -> (JoinHandle<Result<(), Error>>, SocketAddr) {
    let serving = server.clone();
    let task = tokio::spawn(async move { serving.serve().await });
    until("it runs", || server.is_running()).await;
    (task, server.local_addr().unwrap())
}

#[tokio::test]
async fn s001_3_a_stop_that_meets_a_start_waits_for_it_and_stops_it() {
    for threads in WHERE {
        let server = server(threads);
        // The name is looked up elsewhere, so the start is under way when the stop comes.
        let (served, _) = soon(async { tokio::join!(server.serve(), server.stop()) }).await;
        served.expect("it was started, and stopped");
        assert!(!server.is_running());

        let (started, _) = soon(async { tokio::join!(server.start(), server.stop()) }).await;
        assert!(is_free(started.unwrap()));
        assert!(!server.is_running());

        let (report, started) = soon(async { tokio::join!(server.stop(), server.start()) }).await;
        assert_eq!(report, Report::default(), "it came first, and there was nothing to stop");
        Raw::connect(started.unwrap()).await.ask(&read(3, 0, 1)).await;
        soon(server.stop()).await;
    }
}

/// A service that is asked for its units while its server starts, and holds up the start until it is told.
struct Held {
    asked: mpsc::Sender<()>,
    go_on: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl Service for Held {
    async fn call(&self, _: Call<'_>) -> Reply {
        Reply::Silent
    }

    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.asked.send(()).unwrap();
        self.go_on.lock().unwrap().recv_timeout(SOON).unwrap();
        None
    }
}

#[test]
fn s001_3_a_stop_from_another_thread_waits_for_the_start() {
    let (asked, is_asked) = mpsc::channel();
    let (tell, go_on) = mpsc::channel();
    let service = Held { asked, go_on: go_on.into() };
    let options = Options::default().with_missing_units(MissingUnit::Ignore);
    let server = Arc::new(blocking::Server::tcp("127.0.0.1:0", service).with_options(options));
    let serving = server.clone();
    let serving = thread::spawn(move || serving.serve());
    is_asked.recv_timeout(SOON).expect("the start is under way");
    let stopping = server.clone();
    let stopping = thread::spawn(move || stopping.stop());
    // Time to go wrong in.
    thread::sleep(Duration::from_millis(50));
    assert!(!stopping.is_finished(), "there is nothing to stop yet, but there will be");
    tell.send(()).unwrap();
    stopping.join().unwrap().unwrap();
    let began = Instant::now();
    while !serving.is_finished() {
        assert!(began.elapsed() < SOON, "it serves on");
        thread::yield_now();
    }
    serving.join().unwrap().unwrap();
    assert!(!server.is_running());

    // The other order: a stop that came before the start has nothing to do with it.
    assert_eq!(server.stop().unwrap(), Report::default());
    tell.send(()).unwrap();
    server.start().unwrap();
    assert!(server.is_running());
    server.stop().unwrap();
}

#[tokio::test]
async fn s000_1_cancelling_the_task_that_serves_frees_the_port() {
    for threads in WHERE {
        let server = server(threads);
        let (task, address) = served(&server).await;
        let mut master = Raw::connect(address).await;
        master.ask(&read(3, 0, 1)).await;
        task.abort();
        assert!(soon(task).await.unwrap_err().is_cancelled());
        assert!(!server.is_running());
        until("the port is free", || is_free(address)).await;
        assert!(master.is_closed().await);
        until("the connection is released", || server.active_connections() == 0).await;

        let (task, _) = served(&server).await;
        soon(server.stop()).await;
        soon(task).await.unwrap().expect("it can be served again");

        let serving = server.serve_until(std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(50), serving).await.is_err());
        assert!(!server.is_running(), "cut off, whether it had been started or not");
    }
}

#[tokio::test]
async fn s000_1_a_server_that_was_cut_off_starts_again_at_once_on_the_same_port() {
    for threads in WHERE {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = Options::default().with_threads(threads);
        let server = Arc::new(Server::tcp(free, Memory::new()).with_options(options));
        for _ in 0..10 {
            let (task, address) = served(&server).await;
            assert_eq!(address, free);
            task.abort();
            assert!(soon(task).await.unwrap_err().is_cancelled());
        }
        soon(server.start()).await.expect("it has let go of its port");
    }
}

#[tokio::test]
async fn a_server_that_was_started_before_is_not_ended_by_who_serves_it() {
    for threads in WHERE {
        let server = server(threads);
        let address = server.start().await.unwrap();
        let mut master = Raw::connect(address).await;
        for _ in 0..3 {
            let serving = server.serve_until(std::future::pending());
            assert!(tokio::time::timeout(Duration::from_millis(5), serving).await.is_err());
            master.ask(&read(3, 0, 1)).await;
        }
        assert_eq!(server.local_addr(), Some(address));
        let (served, report) = soon(async { tokio::join!(server.serve(), server.stop()) }).await;
        served.expect("it was stopped");
        assert_eq!(report.drained, 1);
    }
}

#[tokio::test]
async fn s001_5_serving_what_is_being_served_is_an_error_that_names_it() {
    for threads in WHERE {
        let server = server(threads);
        let (task, address) = served(&server).await;
        let error = soon(server.serve()).await.expect_err("it is being served");
        let Error::AlreadyServing { address: named } = &error else { panic!("{error:?}") };
        assert_eq!(**named, format!("tcp://{address}"));
        assert!(error.to_string().contains(&**named), "{error}");
        let error = soon(server.serve_until(std::future::pending())).await.expect_err("it is being served");
        assert!(matches!(error, Error::AlreadyServing { .. }), "{error:?}");
        // That has ended nothing, and to start it is no error.
        assert_eq!(server.start().await.unwrap(), address);
        Raw::connect(address).await.ask(&read(3, 0, 1)).await;
        assert!(!task.is_finished());

        // As soon as it is stopped it may be served anew, whether or not the first has noticed.
        soon(server.stop()).await;
        let (again, _) = served(&server).await;
        soon(task).await.unwrap().expect("it was stopped");
        soon(server.stop()).await;
        soon(again).await.unwrap().expect("it was stopped");

        // Two that start it at the same time: one serves.
        let both = async {
            tokio::select! {
                ended = server.serve() => ended,
                ended = server.serve() => ended,
            }
        };
        assert!(matches!(soon(both).await, Err(Error::AlreadyServing { .. })));
    }
}

#[test]
fn s001_5_so_it_is_for_threads() {
    let server = Arc::new(blocking::Server::tcp("127.0.0.1:0", Memory::new()));
    let serving = [(); 2].map(|()| {
        let serving = server.clone();
        thread::spawn(move || serving.serve())
    });
    let began = Instant::now();
    while !serving.iter().any(|thread| thread.is_finished()) {
        assert!(began.elapsed() < SOON, "both serve");
        thread::yield_now();
    }
    assert!(server.is_running(), "the other one serves on");
    server.stop().unwrap();
    let ended = serving.map(|thread| thread.join().unwrap());
    assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 1, "{ended:?}");
    assert!(ended.iter().any(|ended| matches!(ended, Err(Error::AlreadyServing { .. }))), "{ended:?}");
}
