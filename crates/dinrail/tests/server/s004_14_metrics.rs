//! Row S004-14: what a server counts, and that every way through it counts the same.

use std::time::Duration;

use dinrail::proto::Framing;
use dinrail::proto::adu::crc16;
use dinrail::server::{LineError, Measured, Metrics, Options, Outcome, WhenFull, serve_line};
use dinrail::service::{BoxService, Memory, Peer, Read, callbacks};
use dinrail::transport::Burst;
use dinrail::{ExceptionCode, Server, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::raw::SOON;

const DONE: Outcome = Outcome::Done;
const NO_ADDRESS: Outcome = Outcome::Exception(ExceptionCode::IllegalDataAddress);
const NO_FUNCTION: Outcome = Outcome::Exception(ExceptionCode::IllegalFunction);
const NO_TARGET: Outcome = Outcome::Exception(ExceptionCode::GatewayTargetFailedToRespond);
const FAILED: Outcome = Outcome::Exception(ExceptionCode::ServerDeviceFailure);

/// hr:0 to hr:9; a write to address 7 panics.
fn at_once() -> impl Service {
    callbacks(
        |read: Read| match read.range().end {
            0..=10 => Ok(vec![1u16; read.count.into()]),
            _ => Err(ExceptionCode::IllegalDataAddress.into()),
        },
        |write: dinrail::service::Write| match write.address {
            7 => panic!("on purpose"),
            _ => Ok(()),
        },
    )
}

/// The same, later.
struct Later<S>(S);

impl<S: Service> Service for Later<S> {
    async fn call(&self, call: dinrail::service::Call<'_>) -> dinrail::service::Reply {
        tokio::task::yield_now().await;
        self.0.call(call).await
    }
}

/// Two good reads, a bad one, a function that nobody has, a write that panics, and a unit that is not served.
const REQUESTS: &[&[u8]] = &[
    &[1, 3, 0, 0, 0, 2],
    &[1, 3, 0, 0, 0, 2],
    &[1, 3, 0, 9, 0, 2],
    &[1, 99, 0],
    &[1, 6, 0, 7, 0, 1],
    &[9, 3, 0, 0, 0, 1],
];
const REPLIES: usize = 13 + 13 + 9 + 9 + 9 + 9;
const REQUEST_BYTES: usize = 12 + 12 + 12 + 9 + 12 + 12;

fn frames() -> Vec<u8> {
    let frame = |(number, adu): (usize, &&[u8])| [&[0, number as u8, 0, 0, 0, adu.len() as u8][..], adu].concat();
    REQUESTS.iter().enumerate().flat_map(frame).collect()
}

fn options(metrics: &Metrics) -> Options {
    Options::default().with_name("counted").with_metrics(metrics.clone()).with_units([1])
}

fn check(measured: &Measured) {
    let mut requests = measured.requests.clone();
    requests.sort_by_key(|(function, outcome, _)| (*function, format!("{outcome:?}")));
    let expected = [(3, DONE, 2), (3, NO_TARGET, 1), (3, NO_ADDRESS, 1), (6, FAILED, 1), (99, NO_FUNCTION, 1)];
    assert_eq!(requests, expected);
    assert_eq!(measured.durations.iter().sum::<u64>(), 6, "{measured:?}");
    assert!(measured.duration_sum > Duration::ZERO && measured.duration_sum < 6 * SOON, "{measured:?}");
    assert_eq!((measured.received, measured.sent), (REQUEST_BYTES as u64, REPLIES as u64));
}

async fn over_tcp(service: impl Service, options: Options) {
    let metrics = options.metrics.clone().unwrap();
    let server = Server::tcp("127.0.0.1:0", service).with_options(options);
    assert!(!metrics.measured().listening);
    let address = server.start().await.unwrap();
    let mut master = TcpStream::connect(address).await.unwrap();
    master.write_all(&frames()).await.unwrap();
    let mut replies = [0; REPLIES];
    tokio::time::timeout(SOON, master.read_exact(&mut replies)).await.expect("in time").unwrap();
    let measured = metrics.measured();
    check(&measured);
    assert!(measured.listening);
    assert_eq!((measured.open, measured.accepted), (1, 1));
    server.stop().await;
    let measured = metrics.measured();
    assert!(!measured.listening);
    assert_eq!((measured.open, measured.accepted), (0, 1));
}

#[tokio::test]
async fn s004_14_requests_are_counted_on_every_way_through() {
    over_tcp(at_once(), options(&Metrics::new())).await;
    over_tcp(at_once(), options(&Metrics::new()).with_threads(1)).await;
    over_tcp(Later(at_once()), options(&Metrics::new())).await;
    over_tcp(Later(at_once()), options(&Metrics::new()).with_threads(1)).await;
    over_tcp(Later(at_once()), options(&Metrics::new()).with_concurrency(4)).await;
    // Diagnostics make a connection a line, whose requests are worked on one by one.
    over_tcp(at_once(), options(&Metrics::new()).with_diagnostics(dinrail::server::DiagnosticsMode::Live)).await;
    over_tcp(Later(at_once()), options(&Metrics::new()).with_diagnostics(dinrail::server::DiagnosticsMode::Live)).await;
}

#[tokio::test]
async fn s004_14_datagrams_are_counted() {
    let services: [BoxService; 2] = [at_once().boxed(), Later(at_once()).boxed()];
    for service in services {
        let metrics = Metrics::new();
        let server = Server::udp("127.0.0.1:0", service).with_options(options(&metrics));
        let master = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        master.connect(server.start().await.unwrap()).await.unwrap();
        master.send(&[0, 1, 2]).await.unwrap();
        master.send(&[0, 1, 0, 9, 0, 3, 1, 3, 0]).await.unwrap();
        master.send(&frames()).await.unwrap();
        let mut replies = [0; 300];
        let length = tokio::time::timeout(SOON, master.recv(&mut replies)).await.expect("in time").unwrap();
        assert_eq!(length, REPLIES);
        let mut measured = metrics.measured();
        let errors: u64 = measured.line_errors.iter().map(|(_, count)| count).sum();
        assert_eq!(errors, 2, "{measured:?}");
        assert!(measured.line_errors.contains(&(LineError::Protocol, 1)), "{measured:?}");
        assert!(measured.line_errors.contains(&(LineError::Broken, 1)), "{measured:?}");
        measured.received -= 3 + 9;
        check(&measured);
    }
}

/// RTU frames over a pipe whose silences end bursts.
#[tokio::test]
async fn s004_14_a_line_counts_what_fc_8_counts_as_errors_and_broadcasts() {
    let metrics = Metrics::new();
    let (mut master, line) = tokio::io::duplex(1000);
    let options = options(&metrics).with_framing(Framing::Rtu);
    let served =
        tokio::spawn(serve_line(line, Burst::EachRead, Peer::on("bus"), Memory::new(), options.with_broadcast(true)));
    let mut reply = [0; 9];
    let frame = |adu: &[u8]| [adu, &crc16(adu).to_le_bytes()[..]].concat();
    let good = frame(&[1, 3, 0, 0, 0, 2]);
    let mut damaged = good.clone();
    damaged[7] ^= 1;
    let broadcast = frame(&[0, 6, 0, 9, 0, 5]);
    let mut received = 0;
    for (bytes, answered) in [(&good, true), (&damaged, false), (&good, true), (&broadcast, false), (&good, true)] {
        master.write_all(bytes).await.unwrap();
        received += bytes.len() as u64;
        if answered {
            tokio::time::timeout(SOON, master.read_exact(&mut reply)).await.expect("in time").unwrap();
            assert_eq!(reply[..], frame(&[1, 3, 4, 0, 0, 0, 0]));
        }
        // What is read is dealt with in the same turn.
        while metrics.measured().received < received {
            tokio::task::yield_now().await;
        }
    }
    let measured = metrics.measured();
    assert_eq!(measured.requests, [(3, DONE, 3), (6, DONE, 1)], "{measured:?}");
    assert!(measured.line_errors.contains(&(LineError::Noise, 1)), "{measured:?}");
    assert_eq!(measured.sent, 27);
    assert_eq!(measured.durations.iter().sum::<u64>(), 4);
    assert_eq!((measured.open, measured.listening), (1, false));
    master.write_all(&good[..5]).await.unwrap();
    drop(master);
    served.await.unwrap().unwrap();
    assert_eq!(metrics.measured().open, 0);
}

#[tokio::test]
async fn s004_14_refusals_evictions_and_ends_within_a_frame_are_counted() {
    let metrics = Metrics::new();
    let options = options(&metrics).with_max_connections(1);
    let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options.clone());
    let address = server.start().await.unwrap();
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(&frames()[..12]).await.unwrap();
    first.read_exact(&mut [0; 13]).await.unwrap();
    // The first has to make room.
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(tokio::time::timeout(SOON, first.read(&mut [0])).await.expect("in time").unwrap_or(0), 0);
    second.write_all(&[0, 1, 0, 0, 0xFF, 0xFF, 1]).await.unwrap();
    assert_eq!(tokio::time::timeout(SOON, second.read(&mut [0])).await.expect("in time").unwrap_or(0), 0);
    let measured = metrics.measured();
    assert_eq!((measured.accepted, measured.evicted, measured.refused), (2, 1, 0));
    assert!(measured.line_errors.contains(&(LineError::Length, 1)), "{measured:?}");
    server.stop().await;

    // Another server takes the figures over.
    let refuses = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options.with_when_full(WhenFull::Refuse));
    let address = refuses.start().await.unwrap();
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(&frames()[..12]).await.unwrap();
    first.read_exact(&mut [0; 13]).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(tokio::time::timeout(SOON, second.read(&mut [0])).await.expect("in time").unwrap_or(0), 0);
    first.write_all(&frames()[..5]).await.unwrap();
    drop(first);
    tokio::time::timeout(SOON, async {
        while metrics.measured().open > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("closed");
    let measured = metrics.measured();
    assert_eq!((measured.accepted, measured.evicted, measured.refused), (3, 1, 1));
    assert!(measured.line_errors.contains(&(LineError::Cut, 1)), "{measured:?}");
    assert_eq!(measured.requests, [(3, DONE, 2)]);
}

#[tokio::test]
async fn s004_14_counting_begins_and_ends_while_clients_are_served() {
    let metrics = Metrics::new();
    metrics.set_counting(false);
    let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options(&metrics));
    let mut master = TcpStream::connect(server.start().await.unwrap()).await.unwrap();
    for (counting, counted) in [(false, 0), (true, 1), (true, 2), (false, 2), (true, 3)] {
        metrics.set_counting(counting);
        master.write_all(&frames()[..12]).await.unwrap();
        master.read_exact(&mut [0; 13]).await.unwrap();
        let measured = metrics.measured();
        let requests: u64 = measured.requests.iter().map(|(_, _, count)| count).sum();
        assert_eq!((requests, measured.received), (counted, 12 * counted));
        assert_eq!((measured.open, measured.accepted), (1, 1), "these are always counted");
    }
}

/// What hooks and services are told of a peer names the server.
#[tokio::test]
async fn s004_10_a_peer_knows_the_server_that_it_asked() {
    struct Named(std::sync::mpsc::Sender<Option<std::sync::Arc<str>>>);
    impl Service for Named {
        async fn call(&self, call: dinrail::service::Call<'_>) -> dinrail::service::Reply {
            self.0.send(call.peer().server.clone()).unwrap();
            ExceptionCode::IllegalFunction.into()
        }
    }
    let (told, tell) = std::sync::mpsc::channel();
    let options = Options::default().with_name("plc");
    let tcp = Server::tcp("127.0.0.1:0", Named(told.clone())).with_options(options.clone());
    let udp = Server::udp("127.0.0.1:0", Named(told)).with_options(options);
    let mut master = TcpStream::connect(tcp.start().await.unwrap()).await.unwrap();
    master.write_all(&frames()[..12]).await.unwrap();
    master.read_exact(&mut [0; 9]).await.unwrap();
    let master = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    master.connect(udp.start().await.unwrap()).await.unwrap();
    for _ in 0..2 {
        master.send(&frames()[..12]).await.unwrap();
        tokio::time::timeout(SOON, master.recv(&mut [0; 300])).await.expect("in time").unwrap();
    }
    let names: Vec<_> = tell.try_iter().collect();
    assert_eq!(names, vec![Some("plc".into()); 3]);
}

/// Counting goes off and on again, and what came meanwhile is answered only then: nobody knows how long that took, and it
/// is not the time since the last request that was counted.
#[tokio::test]
async fn what_came_while_nobody_counted_has_no_time() {
    let metrics = Metrics::new();
    let options = Options::default().with_metrics(metrics.clone());
    let (mut client, io) = tokio::io::duplex(4096);
    tokio::spawn(dinrail::server::serve_stream(io, Peer::default(), Memory::new(), options));
    let read = [0, 0, 0, 0, 0, 6, 1, 3, 0, 0, 0, 125];
    let mut replies = vec![0; 300 * 259];
    client.write_all(&read).await.expect("sent");
    client.read_exact(&mut replies[..259]).await.expect("an answer");
    assert_eq!(metrics.measured().durations.iter().sum::<u64>(), 1);

    let ago = Duration::from_secs(1);
    std::thread::sleep(ago); // it is the age of the first request that is at stake
    metrics.set_counting(false);
    // More replies than are gathered at once, and than the peer takes.
    client.write_all(&read.repeat(300)).await.expect("sent");
    client.read_exact(&mut replies[..1]).await.expect("the first of them");
    metrics.set_counting(true);
    client.read_exact(&mut replies[1..]).await.expect("the others");
    let sum = metrics.measured().duration_sum;
    assert!(sum < ago, "{sum:?}");
}
