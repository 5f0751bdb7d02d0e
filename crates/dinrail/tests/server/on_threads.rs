//! A server on its own event loop: the same behaviour as in a runtime, connection by connection.

use std::future::Future as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dinrail::server::{DiagnosticsMode, Hooks, Options};
use dinrail::service::{Call, Failure, Memory, Peer, Read, Reply, Write, callbacks, read_only};
use dinrail::{Server, Service, UnitId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::raw::{Raw, frame, read, registers, soon, until, write};

fn on_a_loop() -> Options {
    Options::default().with_threads(Some(1))
}

async fn started<S: Service>(service: S, options: Options) -> (Server<S>, SocketAddr) {
    let server = Server::tcp("127.0.0.1:0", service).with_options(options);
    let address = server.start().await.unwrap();
    (server, address)
}

#[tokio::test]
async fn long_bursts_in_any_pieces_are_answered_in_order() {
    let memory = Memory::new();
    memory.set(dinrail::Area::HoldingRegister, 0, &(0..1000).collect::<Vec<u16>>()).unwrap();
    let (_server, address) = started(memory, on_a_loop()).await;
    let mut master = Raw::connect(address).await;
    for piece in [1usize, 7, 100, 50_000] {
        let count = if piece == 1 { 20 } else { 900 };
        let burst: Vec<u8> = (0..count).flat_map(|number: u16| frame(number, 1, &read(3, number, 100))).collect();
        let (mut reader, mut writer) = master.stream.split();
        let sending = async {
            for piece in burst.chunks(piece) {
                writer.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let reading = async {
            for number in 0..count {
                let mut reply = [0; 9 + 200];
                reader.read_exact(&mut reply).await.unwrap();
                assert_eq!((&reply[..2], &reply[9..11]), (&number.to_be_bytes()[..], &number.to_be_bytes()[..]));
            }
        };
        soon(async { tokio::join!(sending, reading) }).await;
    }
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Hooks for Seen {
    fn connected(&self, _: &Peer) {
        self.0.lock().unwrap().push("connected".into());
    }

    fn request(&self, _: &Peer, _: UnitId, pdu: &[u8]) {
        self.0.lock().unwrap().push(format!("request {}", pdu[0]));
    }

    fn disconnected(&self, _: &Peer) {
        self.0.lock().unwrap().push("disconnected".into());
    }
}

/// Reads at once, and writes that take their time.
fn mixed() -> impl Service {
    callbacks(
        |read: Read| {
            if read.address == 666 {
                panic!("a bug");
            }
            Ok(vec![read.address; read.count.into()])
        },
        |write: Write| async move {
            tokio::time::sleep(Duration::from_millis(write.address.into())).await;
            Ok::<(), Failure>(())
        },
    )
}

#[tokio::test]
async fn a_connection_moves_to_the_runtime_with_all_that_is_under_way() {
    let seen = Seen::default();
    let server = Server::tcp("127.0.0.1:0", mixed()).with_options(on_a_loop()).with_hooks(seen.clone());
    let address = server.start().await.unwrap();
    let (mut master, mut other) = (Raw::connect(address).await, Raw::connect(address).await);
    // Two reads, a write that waits, a read behind it, and the beginning of another: in one segment.
    let requests = [frame(1, 1, &read(3, 1, 1)), frame(2, 1, &read(3, 2, 1)), frame(3, 1, &write(800, &[1]))];
    let last = frame(5, 1, &read(3, 5, 1));
    let began = Instant::now();
    master.send(&[&requests.concat()[..], &frame(4, 1, &read(3, 4, 1)), &last[..5]].concat()).await;
    assert_eq!((master.reply().await.0, master.reply().await.0), (1, 2));
    assert!(began.elapsed() < Duration::from_millis(800), "ready replies waited for the slow one");
    assert_eq!(registers(&other.ask(&read(3, 9, 1)).await), [9], "nobody else waits");
    assert_eq!(master.reply().await, (3, 1, vec![16, 3, 32, 0, 1]));
    assert!(began.elapsed() >= Duration::from_millis(800));
    assert_eq!(master.reply().await.0, 4);
    master.send(&last[5..]).await;
    assert_eq!(master.reply().await.0, 5);
    for at in 10..20 {
        assert_eq!(registers(&master.ask(&read(3, at, 1)).await), [at]);
    }
    assert_eq!(server.statistics().requests, 16);
    drop((master, other));
    until("both are released", || server.active_connections() == 0).await;
    let seen = seen.0.lock().unwrap();
    let count = |what: &str| seen.iter().filter(|event| *event == what).count();
    assert_eq!((count("connected"), count("disconnected"), count("request 3"), count("request 16")), (2, 2, 15, 1));
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    std::panic::set_hook(Box::new(|_| ()));
    let (server, address) = started(mixed(), on_a_loop()).await;
    let mut master = Raw::connect(address).await;
    let burst: Vec<u8> =
        [1, 666, 2, 666, 666, 3].iter().zip(1..).flat_map(|(at, t)| frame(t, 1, &read(3, *at, 1))).collect();
    master.send(&burst).await;
    for (transaction, expected) in [(1, Some(1)), (2, None), (3, Some(2)), (4, None), (5, None), (6, Some(3))] {
        let (t, _, reply) = master.reply().await;
        assert_eq!(t, transaction);
        match expected {
            Some(value) => assert_eq!(registers(&reply), [value]),
            None => assert_eq!(reply, [0x83, 4]),
        }
    }
    let _ = std::panic::take_hook();
    assert_eq!((server.statistics().requests, server.statistics().exceptions), (6, 3));
}

#[tokio::test]
async fn idle_stalled_and_surplus_connections_are_ended_from_outside() {
    let options = on_a_loop().with_idle_timeout(Some(Duration::from_millis(200)));
    let (server, address) = started(Memory::new(), options).await;
    let mut idle = Raw::connect(address).await;
    idle.ask(&read(3, 0, 1)).await;
    let mut deaf = Raw::connect(address).await;
    deaf.ask(&read(3, 0, 1)).await;
    let burst: Vec<u8> = (0..60_000u16).flat_map(|number| frame(number, 1, &read(3, 0, 125))).collect();
    let _ = tokio::time::timeout(Duration::from_secs(2), deaf.stream.write_all(&burst)).await;
    assert!(idle.is_closed().await);
    until("the deaf one is dropped", || server.active_connections() == 0).await;
    assert_eq!(server.statistics().evicted, 2);

    let (server, address) = started(Memory::new(), on_a_loop().with_max_connections(2usize)).await;
    let (mut a, mut b) = (Raw::connect(address).await, Raw::connect(address).await);
    a.ask(&read(3, 0, 1)).await;
    b.ask(&read(3, 0, 1)).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    b.ask(&read(3, 0, 1)).await;
    Raw::connect(address).await.ask(&read(3, 0, 1)).await;
    assert!(a.is_closed().await, "the one that has been idle for longest");
    b.ask(&read(3, 0, 1)).await;
    assert_eq!(server.statistics().evicted, 1);
}

#[tokio::test]
async fn a_slow_reader_gets_every_reply_when_it_reads_at_last() {
    let (server, address) = started(Memory::new(), on_a_loop()).await;
    let master = Raw::connect(address).await;
    let (mut reader, mut writer) = master.stream.into_split();
    let burst: Vec<u8> = (0..60_000u16).flat_map(|number| frame(number, 1, &read(3, 0, 125))).collect();
    let sending = tokio::spawn(async move {
        writer.write_all(&burst).await.unwrap();
        writer
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for number in 0..60_000u16 {
        let mut reply = [0; 259];
        soon(reader.read_exact(&mut reply)).await.unwrap();
        assert_eq!(reply[..2], number.to_be_bytes());
    }
    drop(sending.await.unwrap());
    // A batch is counted when it has been sent.
    until("all are counted", || server.statistics().requests == 60_000).await;
}

#[tokio::test]
async fn half_closed_masters_are_answered_and_then_closed() {
    let (server, address) = started(Memory::new(), on_a_loop()).await;
    let mut master = Raw::connect(address).await;
    master.send(&frame(1, 1, &read(3, 0, 1))).await;
    master.stream.shutdown().await.unwrap();
    assert_eq!(master.reply().await.0, 1);
    assert!(master.is_closed().await);
    until("it is released", || server.active_connections() == 0).await;
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_cuts_off_what_takes_too_long() {
    let service = read_only(|read: Read| async move {
        tokio::time::sleep(Duration::from_millis(read.address.into())).await;
        Ok(vec![read.address; read.count.into()])
    });
    let (server, address) = started(service, on_a_loop()).await;
    let (mut quick, mut slow, idle) =
        (Raw::connect(address).await, Raw::connect(address).await, Raw::connect(address).await);
    quick.send(&frame(1, 1, &read(3, 150, 1))).await;
    slow.send(&frame(2, 1, &read(3, 60_000, 1))).await;
    until("all have been accepted", || server.active_connections() == 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (report, reply) = tokio::join!(server.stop_within(Duration::from_millis(500)), quick.reply());
    assert_eq!(registers(&reply.2), [150]);
    assert_eq!((report.drained, report.aborted), (2, 1));
    for mut master in [quick, slow, idle] {
        assert!(master.is_closed().await);
    }
    std::net::TcpListener::bind(address).expect("the port is free");
}

/// Threads of this process; `None` where the system does not tell.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

#[tokio::test]
async fn nothing_is_left_behind_by_stops_and_drops() {
    let before = threads();
    for round in 0..20 {
        let (server, address) = started(Memory::new(), on_a_loop().with_threads(Some(1 + round % 3))).await;
        let mut masters = Vec::new();
        for _ in 0..10 {
            let mut master = Raw::connect(address).await;
            master.ask(&read(3, 0, 1)).await;
            masters.push(master);
        }
        if round % 2 == 0 {
            assert_eq!(soon(server.stop()).await.drained, 10);
        }
        drop(server);
        for master in &mut masters {
            assert!(master.is_closed().await);
        }
    }
    until("every thread has ended", || threads() <= before).await;
}

#[tokio::test]
async fn connections_come_and_go_by_the_hundred() {
    let (server, address) = started(Memory::new(), on_a_loop()).await;
    for round in 0..5u16 {
        let mut masters = Vec::new();
        for _ in 0..100 {
            masters.push(Raw::connect(address).await);
        }
        for (number, master) in masters.iter_mut().enumerate() {
            if number % 3 != 0 {
                assert_eq!(master.ask(&write(round, &[number as u16])).await[0], 16);
            }
        }
        drop(masters);
        until("all are released", || server.active_connections() == 0).await;
    }
    assert_eq!(server.statistics().accepted, 500);
}

struct Broken;

impl Hooks for Broken {
    fn connected(&self, _: &Peer) {
        panic!("a bug in a hook");
    }

    fn received(&self, _: &Peer, _: &[u8]) {
        panic!("a bug in a hook");
    }

    fn disconnected(&self, _: &Peer) {
        panic!("a bug in a hook");
    }
}

#[tokio::test]
async fn hooks_that_panic_harm_nobody() {
    std::panic::set_hook(Box::new(|_| ()));
    for options in [Options::default(), on_a_loop()] {
        let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options).with_hooks(Broken);
        let address = server.start().await.unwrap();
        for _ in 0..3 {
            assert_eq!(registers(&Raw::connect(address).await.ask(&read(3, 0, 1)).await), [0]);
        }
        until("all are released", || server.active_connections() == 0).await;
        assert!(server.is_running());
    }
    let _ = std::panic::take_hook();
}

/// Knows only once the server is told to stop that it takes its time.
struct Undecided {
    memory: Memory,
    asked: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
}

impl Service for Undecided {
    fn call_now(&self, _: &mut Call<'_>) -> Option<Reply> {
        self.asked.store(true, Ordering::Release);
        while !self.stopping.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        None
    }

    async fn call(&self, call: Call<'_>) -> Reply {
        self.memory.call(call).await
    }
}

#[tokio::test]
async fn a_request_that_turns_out_to_wait_is_answered_before_a_stop_ends() {
    let (asked, stopping) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let service = Undecided { memory: Memory::new(), asked: asked.clone(), stopping: stopping.clone() };
    let (server, address) = started(service, on_a_loop()).await;
    let mut master = Raw::connect(address).await;
    master.send(&frame(1, 1, &read(3, 0, 1))).await;
    until("asked", || asked.load(Ordering::Acquire)).await;
    let mut stop = std::pin::pin!(server.stop());
    // It has told every connection to end before it waits for them.
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(stop.as_mut().poll(cx).is_pending())).await);
    stopping.store(true, Ordering::Release);
    let (report, (_, _, reply)) = tokio::join!(soon(stop), master.reply());
    assert_eq!(registers(&reply), [0]);
    assert_eq!((report.drained, report.aborted), (1, 0));
}

/// Counts the writes to unit 1 that come before a request to unit 2; a request to unit 3 holds up everything.
#[derive(Clone, Default)]
struct Tally {
    memory: Memory,
    greedy: Arc<AtomicU64>,
    before: Arc<AtomicU64>,
    held: Arc<AtomicBool>,
    released: Arc<AtomicBool>,
}

impl Service for Tally {
    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        match call.unit().0 {
            1 => drop(self.greedy.fetch_add(1, Ordering::Relaxed)),
            2 => self.before.store(self.greedy.load(Ordering::Relaxed), Ordering::Relaxed),
            _ => {
                self.held.store(true, Ordering::Release);
                while !self.released.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            }
        }
        Service::call_now(&self.memory, call)
    }

    async fn call(&self, call: Call<'_>) -> Reply {
        Service::call(&self.memory, call).await
    }
}

/// On each way through the server: a loop of its own, a runtime, and the way of all that is not plain Modbus TCP.
#[tokio::test]
async fn peers_that_pour_requests_in_keep_nobody_waiting_for_long() {
    let diagnosed = on_a_loop().with_diagnostics(DiagnosticsMode::Live);
    for options in [on_a_loop(), on_a_loop().with_rate(u32::MAX), diagnosed] {
        let tally = Tally::default();
        let (_server, address) = started(tally.clone(), options).await;
        let mut peers = Vec::new();
        for unit in [1, 1, 1, 1, 2, 3] {
            let mut peer = Raw::connect(address).await;
            peer.ask_unit(1, &read(3, 0, 1)).await;
            peers.push((unit, peer));
        }
        peers[5].1.send(&frame(1, 3, &read(3, 0, 1))).await;
        until("held up", || tally.held.load(Ordering::Acquire)).await;
        let burst = frame(1, 1, &read(6, 0, 1)).repeat(1000);
        for (_, peer) in &peers[..4] {
            let mut poured = 0;
            while poured < 4 << 20
                && let Ok(written) = peer.stream.try_write(&burst[poured % 12..])
            {
                poured += written;
            }
            assert!(poured > 500_000, "{poured} bytes fit");
        }
        let fair = &mut peers[4].1;
        fair.send(&frame(1, 2, &read(3, 0, 1))).await;
        tally.released.store(true, Ordering::Release);
        fair.reply().await;
        let before = tally.before.load(Ordering::Relaxed);
        assert!(before < 4 * 8000, "{before} requests of others came first");
    }
}
