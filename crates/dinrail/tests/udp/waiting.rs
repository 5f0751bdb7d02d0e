//! Services that take their time, too much of it, or panic; and the end of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dinrail::server::Options;
use dinrail::service::{Read, Write, callbacks, read_only};
use dinrail::{ExceptionCode, Server, Service};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

use crate::device::{frame, soon, until};
use crate::raw::{Raw, frames, read, registers};

/// Reads of register 100 and above wait for a permit; all hold their addresses.
fn gated(gate: &Arc<Semaphore>, begun: &Arc<AtomicUsize>) -> impl Service + use<> {
    let (gate, begun) = (gate.clone(), begun.clone());
    read_only(move |read: Read| {
        let (gate, begun) = (gate.clone(), begun.clone());
        async move {
            if read.address >= 100 {
                begun.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
            }
            Ok(vec![read.address; read.count.into()])
        }
    })
}

fn gate() -> (Arc<Semaphore>, Arc<AtomicUsize>) {
    (Arc::new(Semaphore::new(0)), Arc::default())
}

#[tokio::test]
async fn a_request_that_waits_holds_nobody_up() {
    let (gate, begun) = gate();
    let server = Server::udp("127.0.0.1:0", gated(&gate, &begun));
    let address = server.start().await.unwrap();
    let (slow, mut other) = (Raw::connect(address).await, Raw::connect(address).await);
    slow.send(&frame(1, 1, &read(3, 100, 1))).await;
    until("it waits", || begun.load(Ordering::SeqCst) == 1).await;
    assert_eq!(server.active_connections(), 1);
    for register in 0..20 {
        assert_eq!(other.ask(&read(3, register, 1)).await, registers(&[register]));
    }
    // Not even the same peer.
    slow.send(&frame(2, 1, &read(3, 5, 1))).await;
    assert_eq!(frames(&slow.receive().await), [(2, 1, registers(&[5]))]);
    gate.add_permits(1);
    assert_eq!(frames(&slow.receive().await), [(1, 1, registers(&[100]))]);
    until("nothing is worked on", || server.active_connections() == 0).await;
    assert_eq!(server.statistics().requests, 22);
}

#[tokio::test]
async fn the_replies_of_a_datagram_wait_for_the_slowest_and_keep_their_order() {
    let (gate, begun) = gate();
    let server = Server::udp("127.0.0.1:0", gated(&gate, &begun));
    let raw = Raw::connect(server.start().await.unwrap()).await;
    let addresses = [1, 100, 2, 101, 3];
    let datagram: Vec<u8> = addresses.iter().flat_map(|&address| frame(address, 1, &read(3, address, 1))).collect();
    raw.send(&[datagram, vec![7]].concat()).await;
    until("the first waits", || begun.load(Ordering::SeqCst) == 1).await;
    gate.add_permits(1);
    until("the second waits", || begun.load(Ordering::SeqCst) == 2).await;
    assert!(raw.is_silent().await);
    gate.add_permits(1);
    let expected = addresses.map(|address| (address, 1, registers(&[address])));
    assert_eq!(frames(&raw.receive().await), expected);
    assert_eq!((server.statistics().requests, server.statistics().discarded), (5, 1));
}

#[tokio::test]
async fn beyond_the_limit_requests_that_wait_are_answered_busy_and_not_done() {
    let (gate, begun) = gate();
    let (waits, count) = (gate.clone(), begun.clone());
    // Only reads of register 100 and above take time; the others are answered at once.
    let service = dinrail::service::Units::new().with(1, gated(&waits, &count)).with(2, crate::server::addresses());
    let server = Server::udp("127.0.0.1:0", service).with_options(Options::default().with_max_connections(2));
    let address = server.start().await.unwrap();
    let (first, second) = (Raw::connect(address).await, Raw::connect(address).await);
    let mut third = Raw::connect(address).await;
    first.send(&frame(1, 1, &read(3, 100, 1))).await;
    second.send(&frame(2, 1, &read(3, 101, 1))).await;
    until("both wait", || begun.load(Ordering::SeqCst) == 2).await;
    assert_eq!(third.ask(&read(3, 102, 1)).await, [0x83, 6]);
    assert_eq!(third.ask_unit(2, &read(3, 7, 1)).await, registers(&[7]), "what takes no time is answered");
    let mixed = [frame(1, 2, &read(3, 1, 1)), frame(2, 1, &read(3, 103, 1)), frame(3, 2, &read(3, 3, 1))].concat();
    third.send(&mixed).await;
    let expected = [(1, 2, registers(&[1])), (2, 1, vec![0x83, 6]), (3, 2, registers(&[3]))];
    assert_eq!(frames(&third.receive().await), expected);
    assert_eq!(begun.load(Ordering::SeqCst), 2, "nothing was begun");
    gate.add_permits(2);
    assert_eq!(frames(&first.receive().await), [(1, 1, registers(&[100]))]);
    assert_eq!(frames(&second.receive().await), [(2, 1, registers(&[101]))]);
    until("there is room", || server.active_connections() == 0).await;
    gate.add_permits(1);
    assert_eq!(third.ask(&read(3, 104, 1)).await, registers(&[104]));
}

#[tokio::test]
async fn a_service_that_takes_too_long_is_answered_for_and_what_waited_behind_it_is_not_done() {
    let (gate, begun) = gate();
    let options = Options::default().with_request_deadline(Duration::from_millis(50));
    let server = Server::udp("127.0.0.1:0", gated(&gate, &begun)).with_options(options);
    let raw = Raw::connect(server.start().await.unwrap()).await;
    raw.send(&[frame(1, 1, &read(3, 100, 1)), frame(2, 1, &read(3, 101, 1))].concat()).await;
    assert_eq!(frames(&raw.receive().await), [(1, 1, vec![0x83, 0x0B]), (2, 1, vec![0x83, 6])]);
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_service_that_panics_costs_one_request() {
    let service = callbacks(
        |read: Read| {
            assert!(read.address != 1, "at once");
            async move {
                tokio::task::yield_now().await;
                assert!(read.address != 2, "later");
                Ok(vec![read.address; read.count.into()])
            }
        },
        |_: Write| Err(ExceptionCode::IllegalDataAddress.into()),
    );
    let server = Server::udp("127.0.0.1:0", service);
    let mut raw = Raw::connect(server.start().await.unwrap()).await;
    for _ in 0..3 {
        assert_eq!(raw.ask(&read(3, 1, 1)).await, [0x83, 4]);
        assert_eq!(raw.ask(&read(3, 2, 1)).await, [0x83, 4]);
        assert_eq!(raw.ask(&read(3, 3, 1)).await, registers(&[3]));
    }
    let at_once = Server::udp("127.0.0.1:0", read_only(|_: Read| -> Result<Vec<u16>, _> { panic!("plainly") }));
    let mut raw = Raw::connect(at_once.start().await.unwrap()).await;
    for _ in 0..3 {
        assert_eq!(raw.ask(&read(3, 1, 1)).await, [0x83, 4]);
    }
}

#[tokio::test]
async fn s001_3_a_stop_lets_requests_finish_and_frees_the_port() {
    let (gate, begun) = gate();
    let server = Arc::new(Server::udp("127.0.0.1:0", gated(&gate, &begun)));
    let address = server.start().await.unwrap();
    let raw = Raw::connect(address).await;
    raw.send(&frame(1, 1, &read(3, 100, 1))).await;
    until("it waits", || begun.load(Ordering::SeqCst) == 1).await;
    let stopping = tokio::spawn({
        let server = server.clone();
        async move { server.stop().await }
    });
    until("it stops", || !server.is_running()).await;
    gate.add_permits(1);
    assert_eq!(frames(&raw.receive().await), [(1, 1, registers(&[100]))]);
    let report = soon(stopping).await.unwrap();
    assert_eq!((report.drained, report.aborted), (1, 0));
    drop(UdpSocket::bind(address).await.expect("the port is free"));
    // And again, three times, on the same port.
    let server = Server::udp(address, gated(&gate, &begun));
    for round in 0..3 {
        assert_eq!(server.start().await.unwrap(), address);
        let mut raw = Raw::connect(address).await;
        assert_eq!(raw.ask(&read(3, round, 1)).await, registers(&[round]));
        let report = soon(server.stop()).await;
        assert_eq!((report.drained, report.aborted), (0, 0));
        drop(UdpSocket::bind(address).await.expect("the port is free"));
    }
}

#[tokio::test]
async fn a_stop_cuts_off_what_takes_longer_than_the_grace_time() {
    let (gate, begun) = gate();
    let server = Server::udp("127.0.0.1:0", gated(&gate, &begun));
    let address = server.start().await.unwrap();
    let raw = Raw::connect(address).await;
    for number in 0..3 {
        raw.send(&frame(number, 1, &read(3, 100, 1))).await;
    }
    until("they wait", || begun.load(Ordering::SeqCst) == 3).await;
    let report = soon(server.stop_within(Duration::from_millis(20))).await;
    assert_eq!((report.drained, report.aborted), (0, 3));
    drop(UdpSocket::bind(address).await.expect("the port is free"));
    assert!(raw.is_silent().await);
}

#[tokio::test]
async fn a_server_that_is_dropped_stops() {
    let (gate, begun) = gate();
    let server = Server::udp("127.0.0.1:0", gated(&gate, &begun));
    let address = server.start().await.unwrap();
    let raw = Raw::connect(address).await;
    raw.send(&frame(1, 1, &read(3, 100, 1))).await;
    until("it waits", || begun.load(Ordering::SeqCst) == 1).await;
    drop(server);
    until("the port is free", || std::net::UdpSocket::bind(address).is_ok()).await;
}

#[tokio::test]
async fn who_may_ask_and_how_often() {
    let options = Options::default().with_allow(vec!["10.0.0.0/8".parse().unwrap()]);
    let server = Server::udp("127.0.0.1:0", crate::server::addresses()).with_options(options);
    let raw = Raw::connect(server.start().await.unwrap()).await;
    raw.send(&frame(1, 1, &read(3, 1, 1))).await;
    assert!(raw.is_silent().await);
    assert_eq!((server.statistics().refused, server.statistics().requests), (1, 0));

    let server = Server::udp("127.0.0.1:0", crate::server::addresses()).with_options(Options::default().with_rate(20));
    let raw = Raw::connect(server.start().await.unwrap()).await;
    for number in 0..60 {
        raw.send(&frame(number, 1, &read(3, number, 1))).await;
    }
    let mut answered = 0;
    while let Ok(datagram) = tokio::time::timeout(Duration::from_millis(100), raw.receive()).await {
        assert_eq!(frames(&datagram), [(answered, 1, registers(&[answered]))]);
        answered += 1;
    }
    assert!((20..60).contains(&answered), "{answered} of 60 at once, with 20 a second");
}

/// Sends datagrams from a thread of its own for as long as it lives.
struct Flood(Arc<AtomicUsize>, Option<std::thread::JoinHandle<()>>);

impl Flood {
    fn new(socket: std::net::UdpSocket, to: std::net::SocketAddr, datagram: Vec<u8>) -> Self {
        let stopped = Arc::new(AtomicUsize::new(0));
        let seen = stopped.clone();
        let thread = std::thread::spawn(move || {
            while seen.load(Ordering::Relaxed) == 0 {
                let _ = socket.send_to(&datagram, to); // the port may be closed already
            }
        });
        Self(stopped, Some(thread))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Relaxed);
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}

#[tokio::test]
async fn a_flood_of_datagrams_does_not_keep_a_server_from_stopping() {
    for threads in [None, Some(1)] {
        let options = Options::default().with_threads(threads);
        let server = Server::udp("127.0.0.1:0", crate::server::addresses()).with_options(options);
        let address = server.start().await.unwrap();
        let good = frame(1, 1, &read(3, 1, 1));
        let _floods = [good, vec![9; 30]]
            .map(|datagram| Flood::new(std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), address, datagram));
        until("it is flooded", || server.statistics().requests > 1000 && server.statistics().discarded > 1000).await;
        soon(server.stop()).await;
        drop(UdpSocket::bind(address).await.expect("the port is free"));
    }
}

#[tokio::test]
async fn a_flood_of_datagrams_does_not_keep_a_call_from_ending() {
    let device = crate::device::Device::new().await;
    let options = dinrail::client::Options::default().with_timeout(Duration::from_millis(200));
    let client = crate::device::connect(device.address(), options).await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.read_holding_registers(1, 1).await }
    });
    let asked = device.asked().await;
    let socket = device.0.into_std().unwrap();
    let flood = Flood::new(socket, asked.by, vec![9; 30]);
    let error = soon(call).await.unwrap().expect_err("nothing but noise");
    assert!(error.is_timeout() && client.stats().noise > 30 * 100, "{error}: {:?}", client.stats());
    assert!(soon(client.read_holding_registers(1, 1)).await.expect_err("nothing but noise").is_timeout());
    drop(flood);
}
