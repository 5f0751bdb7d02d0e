//! Documents 001: the server reference, in its Rust form.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dinrail::server::{Hooks, Options, serve_listener, serve_stream};
use dinrail::service::{Call, DeviceIdentity, Failure, Memory, Peer, Reply, Sparse, Units, read_only};
use dinrail::transport::Listener;
use dinrail::{Area, ExceptionCode, FunctionCode, Server, Service, UnitId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::raw::{Raw, frame, read, registers, soon, until, write};

#[tokio::test]
async fn s001_2_serve_runs_until_it_is_shut_down_and_frees_its_port() {
    let memory = Memory::with_sizes(100, 100, 100, 100);
    memory.set(Area::HoldingRegister, 0, &[0x12]).unwrap();
    let server = Arc::new(Server::tcp("127.0.0.1:0", memory.clone()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = server.clone();
    let task = tokio::spawn(async move { serving.serve_until(async { stopped.await.unwrap_or_default() }).await });
    until("it runs", || server.is_running()).await;
    let address = server.local_addr().unwrap();

    let mut master = Raw::connect(address).await;
    assert_eq!(registers(&master.ask(&read(3, 0, 2)).await), [0x12, 0]);
    assert_eq!(master.ask(&write(1, &[5, 6])).await, [16, 0, 1, 0, 2]);
    // (0x12 AND 0xF2) OR (0x25 AND NOT 0xF2) = 0x17, the specification's example.
    assert_eq!(master.ask(&[22, 0, 0, 0, 0xF2, 0, 0x25]).await, [22, 0, 0, 0, 0xF2, 0, 0x25]);
    assert_eq!(memory.value(Area::HoldingRegister, 0), Some(0x17));
    // Writes register 1, then reads 0 to 2.
    let reply = master.ask(&[23, 0, 0, 0, 3, 0, 1, 0, 1, 2, 0, 9]).await;
    assert_eq!(reply, [23, 6, 0, 0x17, 0, 9, 0, 6]);

    assert_eq!(master.ask(&read(3, 99, 2)).await, [0x83, 2]);
    assert_eq!(master.ask(&read(3, 0, 126)).await, [0x83, 3]);
    assert_eq!(master.ask(&[0x41]).await, [0xC1, 1]);
    // A range that cannot be read leaves nothing written.
    assert_eq!(master.ask(&[23, 0, 99, 0, 2, 0, 1, 0, 1, 2, 0, 77]).await, [0x97, 2]);
    assert_eq!(memory.value(Area::HoldingRegister, 1), Some(9));
    // A range that ends outside is refused as a whole.
    assert_eq!(master.ask(&write(98, &[1, 2, 3])).await, [0x90, 2]);
    assert_eq!(memory.values(Area::HoldingRegister, 98, 2).unwrap(), [0, 0]);

    assert!(!task.is_finished(), "serving has not returned");
    stop.send(()).unwrap();
    soon(task).await.unwrap().unwrap();
    std::net::TcpListener::bind(address).expect("the port is free");
}

#[tokio::test]
async fn s001_4_a_server_object_does_not_listen_before_it_is_started() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::tcp(free, Memory::new());
    assert!(tokio::net::TcpStream::connect(free).await.is_err());
    let server = Arc::new(server);
    let serving = server.clone();
    let task = tokio::spawn(async move { serving.serve().await });
    until("it runs", || server.is_running()).await;
    Raw::connect(free).await.ask(&read(3, 0, 1)).await;
    soon(server.stop()).await;
    soon(task).await.unwrap().expect("serve returns when the server is stopped from elsewhere");
}

/// A server with this many connections that have been answered.
async fn with_masters(count: usize) -> (Server<Memory>, Vec<Raw>) {
    let server = Server::tcp("127.0.0.1:0", Memory::new());
    let address = server.start().await.unwrap();
    let mut masters = Vec::new();
    for _ in 0..count {
        let mut master = Raw::connect(address).await;
        master.ask(&read(3, 0, 1)).await;
        masters.push(master);
    }
    (server, masters)
}

#[tokio::test]
async fn s001_5_closing_ends_the_task_of_every_connection() {
    let (server, masters) = with_masters(5).await;
    let address = server.local_addr().unwrap();
    assert_eq!(
        (server.start().await.unwrap(), server.active_connections()),
        (address, 5),
        "serving twice is one server"
    );
    assert_eq!(soon(server.stop()).await.drained, 5);
    assert_eq!(server.active_connections(), 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    drop(masters);
}

#[tokio::test]
async fn s001_6_closing_drops_the_sockets_as_well() {
    let (server, mut masters) = with_masters(3).await;
    soon(server.stop()).await;
    for master in &mut masters {
        master.sees_end().await;
    }
}

#[tokio::test]
async fn s001_12_identity_in_basic_regular_specific_and_in_several_replies() {
    let identity = DeviceIdentity::new("Company identification", "Product code XX", "V2.11")
        .with_product_name("dinrail")
        .with_object(0x80, &[b'x'; 244])
        .with_object(0x81, &[b'y'; 300]);
    let server = Server::tcp("127.0.0.1:0", Memory::new().with_identity(identity));
    let mut master = Raw::connect(server.start().await.unwrap()).await;

    let basic = master.ask(&[43, 14, 1, 0]).await;
    let mut expected = vec![43, 14, 1, 0x83, 0, 0, 3, 0, 22];
    expected.extend(b"Company identification\x01\x0FProduct code XX\x02\x05V2.11");
    assert_eq!(basic, expected);
    let regular = master.ask(&[43, 14, 2, 4]).await;
    assert_eq!(regular, [&[43, 14, 2, 0x83, 0, 0, 1, 4, 7][..], b"dinrail"].concat());
    let one = master.ask(&[43, 14, 4, 2]).await;
    assert_eq!(one, [&[43, 14, 4, 0x83, 0, 0, 1, 2, 5][..], b"V2.11"].concat());

    // Extended: the long objects do not fit, so the reply says where to go on; an object is never split.
    let extended = master.ask(&[43, 14, 3, 0]).await;
    assert_eq!(extended[..7], [43, 14, 3, 0x83, 0xFF, 0x80, 4]);
    let more = master.ask(&[43, 14, 3, 0x80]).await;
    assert_eq!((&more[..9], more.len()), (&[43, 14, 3, 0x83, 0xFF, 0x81, 1, 0x80, 244][..], 253));
    let last = master.ask(&[43, 14, 3, 0x81]).await;
    assert_eq!((&last[..9], last.len()), (&[43, 14, 3, 0x83, 0, 0, 1, 0x81, 244][..], 253));

    assert_eq!(master.ask(&[43, 14, 4, 9]).await, [0xAB, 2], "a single object that is not there");
    assert_eq!(master.ask(&[43, 14, 1, 9]).await, basic, "a stream from an unknown object starts again");
    assert_eq!(master.ask(&[43, 14, 5, 0]).await, [0xAB, 3]);
    assert_eq!(master.ask(&[43, 14, 0, 0]).await, [0xAB, 3]);
    assert_eq!(master.ask(&[43, 13, 0, 0]).await, [0xAB, 1], "another MEI type");
    assert_eq!(master.ask(&[43]).await, [0xAB, 3]);
    assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [0]);
}

#[tokio::test]
async fn s001_13_custom_function_codes_answer_and_refuse() {
    let code = FunctionCode::new(0x55).unwrap();
    let service = Memory::new().with_function(code, |data: Vec<u8>| async move {
        match *data {
            [0xFF, ..] => Err(ExceptionCode::IllegalDataAddress.into()),
            [0xFE, ..] => Ok(vec![0; 253]),
            _ => Ok(data.iter().rev().copied().collect()),
        }
    });
    let server = Server::tcp("127.0.0.1:0", service);
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    assert_eq!(master.ask(&[0x55, 1, 2, 3]).await, [0x55, 3, 2, 1]);
    assert_eq!(master.ask(&[0x55]).await, [0x55]);
    assert_eq!(master.ask(&[0x55, 0xFF]).await, [0xD5, 2]);
    assert_eq!(master.ask(&[0x55, 0xFE]).await, [0xD5, 4], "a reply too long for a PDU");
    assert_eq!(master.ask(&[0x56]).await, [0xD6, 1]);
    assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [0]);
}

#[tokio::test]
async fn s001_14_s002_8_several_units_behind_one_address() {
    let (one, two) = (Memory::new(), Memory::new());
    one.set(Area::HoldingRegister, 0, &[1]).unwrap();
    two.set(Area::HoldingRegister, 0, &[2]).unwrap();
    let units = Units::new().with(1, one).with(2, two);
    assert_eq!(units.ids().collect::<Vec<_>>(), [UnitId(1), UnitId(2)]);
    for (units, missing) in [(units.clone(), true), (units.ignore_missing(), false)] {
        let server = Server::tcp("127.0.0.1:0", units);
        let mut master = Raw::connect(server.start().await.unwrap()).await;
        assert_eq!(registers(&master.ask_unit(1, &read(3, 0, 1)).await), [1]);
        assert_eq!(registers(&master.ask_unit(2, &read(3, 0, 1)).await), [2]);
        if missing {
            assert_eq!(master.ask_unit(3, &read(3, 0, 1)).await, [0x83, 0x0B]);
        } else {
            master.send(&frame(9, 3, &read(3, 0, 1))).await;
            assert!(master.is_silent().await);
        }
        assert_eq!(registers(&master.ask_unit(1, &read(3, 0, 1)).await), [1], "the connection stays usable");
    }
}

#[tokio::test]
async fn s001_16_half_a_frame_of_one_master_holds_up_no_other() {
    let server = Server::tcp("127.0.0.1:0", Memory::new());
    let address = server.start().await.unwrap();
    let (mut a, mut b) = (Raw::connect(address).await, Raw::connect(address).await);
    let request = frame(0x0102, 1, &read(3, 0, 1));
    a.send(&request[..6]).await;
    let began = Instant::now();
    for _ in 0..20 {
        b.ask(&read(3, 0, 1)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    a.send(&request[6..]).await;
    assert_eq!(a.reply().await, (0x0102, 1, vec![3, 2, 0, 0]));
}

#[tokio::test]
async fn s001_16b_bytes_may_come_one_by_one() {
    let waiting = read_only(|read: dinrail::service::Read| async move { Ok(vec![0u16; read.count.into()]) });
    let servers = [Server::tcp("127.0.0.1:0", Memory::new().boxed()), Server::tcp("127.0.0.1:0", waiting.boxed())];
    for server in servers {
        let mut master = Raw::connect(server.start().await.unwrap()).await;
        for byte in frame(0x0102, 1, &read(3, 0, 1)) {
            master.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(master.reply().await, (0x0102, 1, vec![3, 2, 0, 0]));
    }
}

#[tokio::test]
async fn s001_17_several_frames_in_one_segment_are_answered_in_order() {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0, &(0..1000).collect::<Vec<u16>>()).unwrap();
    let server = Server::tcp("127.0.0.1:0", memory);
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    // Ten, and then more than any buffer holds, with the last frame cut.
    for count in [10u16, 900] {
        let mut burst: Vec<u8> = (0..count).flat_map(|number| frame(number, 1, &read(3, number, 100))).collect();
        let rest = burst.split_off(burst.len() - 5);
        let (mut reader, mut writer) = master.stream.split();
        let sending = async {
            writer.write_all(&burst).await.unwrap();
            writer.write_all(&rest).await.unwrap();
        };
        let reading = async {
            for number in 0..count {
                let mut reply = [0; 9 + 200];
                reader.read_exact(&mut reply).await.unwrap();
                assert_eq!(reply[..2], number.to_be_bytes());
                assert_eq!(reply[9..11], number.to_be_bytes());
            }
        };
        soon(async { tokio::join!(sending, reading) }).await;
    }
}

#[tokio::test]
async fn s001_17_slow_answers_keep_their_order_and_ready_ones_do_not_wait_for_them() {
    for concurrency in [1usize, 8] {
        let service = read_only(|read: dinrail::service::Read| async move {
            tokio::time::sleep(Duration::from_millis(read.address.into())).await;
            Ok(vec![read.address; read.count.into()])
        });
        let options = Options::default().with_concurrency(concurrency);
        let server = Server::tcp("127.0.0.1:0", service).with_options(options);
        let mut master = Raw::connect(server.start().await.unwrap()).await;
        let delays = [0u16, 500, 450, 400, 350, 0, 300];
        let burst: Vec<u8> =
            (1..).zip(delays).flat_map(|(number, delay)| frame(number, 1, &read(3, delay, 1))).collect();
        let began = Instant::now();
        master.send(&burst).await;
        for (number, delay) in (1..).zip(delays) {
            let (transaction, _, reply) = master.reply().await;
            assert_eq!((transaction, registers(&reply)), (number, vec![delay]));
            if number == 1 {
                assert!(began.elapsed() < Duration::from_millis(500), "a ready reply waited for a slow one");
            }
        }
        let took = began.elapsed();
        if concurrency == 1 {
            assert!(took >= Duration::from_millis(2000), "one after the other, yet done in {took:?}");
        } else {
            assert!(took < Duration::from_millis(1800), "at the same time, yet done in {took:?}");
        }
    }
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Hooks for Recorder {
    fn connected(&self, peer: &Peer) {
        assert!(peer.address.is_some());
        self.0.lock().unwrap().push("connected".into());
    }

    fn received(&self, _: &Peer, bytes: &[u8]) {
        self.0.lock().unwrap().push(format!("received {}", bytes.len()));
    }

    fn request(&self, _: &Peer, unit: UnitId, pdu: &[u8]) {
        self.0.lock().unwrap().push(format!("request {unit} {pdu:?}"));
    }

    fn sending(&self, _: &Peer, bytes: &[u8]) {
        self.0.lock().unwrap().push(format!("sending {bytes:?}"));
    }

    fn disconnected(&self, _: &Peer) {
        self.0.lock().unwrap().push("disconnected".into());
    }
}

#[tokio::test]
async fn s001_18_hooks_are_told_of_everything_in_order() {
    for concurrency in [1usize, 4] {
        let recorder = Recorder::default();
        let server = Server::tcp("127.0.0.1:0", Memory::new())
            .with_options(Options::default().with_concurrency(concurrency))
            .with_hooks(recorder.clone());
        let mut master = Raw::connect(server.start().await.unwrap()).await;
        master.ask_unit(3, &read(3, 0, 1)).await;
        drop(master);
        until("it is seen", || recorder.0.lock().unwrap().last().is_some_and(|last| last == "disconnected")).await;
        let expected = [
            "connected",
            "received 12",
            "request 3 [3, 0, 0, 0, 1]",
            "sending [0, 1, 0, 0, 0, 5, 3, 3, 2, 0, 0]",
            "disconnected",
        ];
        assert_eq!(*recorder.0.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn s001_19_any_stream_can_be_served() {
    let (mut near, far) = tokio::io::duplex(64);
    let task = tokio::spawn(serve_stream(far, Peer::default(), Memory::new(), Options::default()));
    near.write_all(&frame(7, 1, &read(1, 0, 3))).await.unwrap();
    let mut reply = [0; 10];
    soon(near.read_exact(&mut reply)).await.unwrap();
    assert_eq!(reply, [0, 7, 0, 0, 0, 4, 1, 1, 1, 0]);
    assert!(!task.is_finished());
    drop(near);
    soon(task).await.unwrap().unwrap();
}

/// A transport of one's own: connections are handed over in the process.
struct InProcess(tokio::sync::mpsc::Receiver<DuplexStream>);

impl Listener for InProcess {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> std::io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, Peer::default())),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn s001_29_a_custom_transport_needs_one_trait() {
    let (connect, incoming) = tokio::sync::mpsc::channel(4);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = serve_listener(InProcess(incoming), Memory::new(), Options::default(), async {
        stopped.await.unwrap_or_default();
    });
    let task = tokio::spawn(serving);
    let (mut near, far) = tokio::io::duplex(64);
    connect.send(far).await.unwrap();
    near.write_all(&frame(1, 1, &[6, 0, 1, 0, 2])).await.unwrap();
    let mut reply = [0; 12];
    soon(near.read_exact(&mut reply)).await.unwrap();
    assert_eq!(reply[7..], [6, 0, 1, 0, 2]);
    stop.send(()).unwrap();
    assert_eq!(soon(task).await.unwrap().unwrap().drained, 1);
    assert_eq!(soon(near.read(&mut reply)).await.unwrap(), 0);
}

#[tokio::test]
async fn s001_24_a_sparse_store_has_gaps_and_a_failing_store_is_0x04() {
    let sparse = Sparse::new();
    sparse.set(Area::HoldingRegister, 10, &[1, 2, 3]);
    sparse.set(Area::HoldingRegister, 14, &[5]);
    sparse.set(Area::HoldingRegister, 0xFFFF, &[9, 9]);
    sparse.set(Area::Coil, 0, &[7]);
    let server = Server::tcp("127.0.0.1:0", sparse.clone());
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    assert_eq!(registers(&master.ask(&read(3, 10, 3)).await), [1, 2, 3]);
    assert_eq!(master.ask(&read(3, 10, 5)).await, [0x83, 2], "13 is a gap");
    assert_eq!(master.ask(&write(12, &[8, 8, 8])).await, [0x90, 2]);
    assert_eq!(sparse.value(Area::HoldingRegister, 12), Some(3), "nothing was written");
    assert_eq!(registers(&master.ask(&read(3, 0xFFFF, 1)).await), [9]);
    assert_eq!(master.ask(&read(1, 0, 1)).await, [1, 1, 1]);
    assert_eq!(master.ask(&[22, 0, 10, 0, 0, 0, 6]).await[0], 22);
    assert_eq!(master.ask(&[23, 0, 10, 0, 1, 0, 11, 0, 1, 2, 0, 4]).await, [23, 2, 0, 6]);
    assert_eq!(master.ask(&[23, 0, 10, 0, 5, 0, 11, 0, 1, 2, 0, 99]).await, [0x97, 2]);
    assert_eq!(sparse.value(Area::HoldingRegister, 11), Some(4));
    sparse.remove(Area::HoldingRegister, 10..=11);
    assert_eq!(master.ask(&read(3, 10, 1)).await, [0x83, 2]);

    let raising = read_only(|_: dinrail::service::Read| Err::<Vec<u16>, _>(Failure::message("the block is broken")));
    let server = Server::tcp("127.0.0.1:0", raising);
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    assert_eq!(master.ask(&read(3, 0, 1)).await, [0x83, 4]);
}

#[tokio::test]
async fn s001_25_several_servers_are_stopped_one_by_one() {
    let servers = [Server::tcp("127.0.0.1:0", Memory::new()), Server::tcp("127.0.0.1:0", Memory::new())];
    let first = servers[0].start().await.unwrap();
    let last = servers[1].start().await.unwrap();
    soon(servers[1].stop()).await;
    assert!(tokio::net::TcpStream::connect(last).await.is_err());
    assert_eq!(registers(&Raw::connect(first).await.ask(&read(3, 0, 1)).await), [0], "the other one serves on");
    soon(servers[0].stop()).await;
    assert!(tokio::net::TcpStream::connect(first).await.is_err());
}

#[tokio::test]
async fn s001_20_a_server_restarts_at_once_and_shares_its_port_only_when_told() {
    let first = Server::tcp("127.0.0.1:0", Memory::new());
    let address = first.start().await.unwrap();
    soon(first.stop()).await;
    for _ in 0..3 {
        let server = Server::tcp(address, Memory::new());
        server.start().await.unwrap();
        let mut master = Raw::connect(address).await;
        master.ask(&read(3, 0, 1)).await;
        // Stopped with an open connection: its port would linger without reuse_address.
        soon(server.stop()).await;
    }
    let shared = || Server::tcp(address, Memory::new()).with_options(Options::default().with_reuse_port(true));
    let (first, second) = (shared(), shared());
    first.start().await.unwrap();
    second.start().await.expect("both said so");
    Server::tcp(address, Memory::new()).start().await.expect_err("this one did not");
}

#[tokio::test]
async fn a_service_may_be_asked_through_another_one() {
    struct Doubled(Memory);
    impl Service for Doubled {
        async fn call(&self, mut call: Call<'_>) -> Reply {
            let twice = call.reborrow();
            self.0.call(twice).await;
            self.0.call(call).await
        }
    }
    let server = Server::tcp("127.0.0.1:0", Doubled(Memory::new()));
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    assert_eq!(master.ask(&write(0, &[3])).await, [16, 0, 0, 0, 1]);
    assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [3]);
}
