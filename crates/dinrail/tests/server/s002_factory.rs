//! Document 002: the Twisted-era module, whose protocol classes are fed bytes, in its Rust form.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use dinrail::proto::server::{Connection, Event};
use dinrail::proto::{self, ExceptionCode, Framing, Request, Response, UnitId};
use dinrail::server::{Hooks, Options, Server, serve_stream};
use dinrail::service::{Call, DeviceIdentity, Memory, Peer, Reply};
use dinrail::{Area, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::raw::{Raw, frame, read, soon, until, write};

#[tokio::test]
async fn s002_3_a_store_outlives_its_connections() {
    let memory = Memory::new();
    for value in 1..=3u8 {
        let (mut near, far) = tokio::io::duplex(1024);
        let task = tokio::spawn(serve_stream(far, Peer::default(), memory.clone(), Options::default()));
        near.write_all(&frame(1, 1, &read(3, 7, 1))).await.unwrap();
        let mut reply = [0; 11];
        soon(near.read_exact(&mut reply)).await.unwrap();
        assert_eq!(reply[7..], [3, 2, 0, value - 1], "what the connection before it wrote");
        near.write_all(&frame(2, 1, &[6, 0, 7, 0, value])).await.unwrap();
        soon(near.read_exact(&mut [0; 12])).await.unwrap();
        drop(near);
        soon(task).await.unwrap().unwrap();
    }
}

/// What hooks are told.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Told>>>);

/// What, and the bytes.
type Told = (&'static str, Vec<u8>);

impl Seen {
    fn note(&self, what: &'static str, bytes: &[u8]) {
        self.0.lock().unwrap().push((what, bytes.to_vec()));
    }
}

impl Hooks for Seen {
    fn connected(&self, _: &Peer) {
        self.note("connection made", &[]);
    }

    fn received(&self, _: &Peer, bytes: &[u8]) {
        self.note("data received", bytes);
    }

    fn request(&self, _: &Peer, unit: UnitId, pdu: &[u8]) {
        assert_eq!(unit, UnitId(1));
        self.note("request", pdu);
    }

    fn sending(&self, _: &Peer, bytes: &[u8]) {
        self.note("data sent", bytes);
    }

    fn disconnected(&self, _: &Peer) {
        self.note("connection lost", &[]);
    }
}

#[tokio::test]
async fn s002_4_a_connection_is_made_receives_data_and_is_lost() {
    let seen = Seen::default();
    let server = Server::tcp("127.0.0.1:0", Memory::new()).with_hooks(seen.clone());
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    assert_eq!(master.ask(&[6, 0, 7, 0x12, 0x34]).await, [6, 0, 7, 0x12, 0x34]);
    assert_eq!(master.ask(&read(3, 7, 1)).await, [3, 2, 0x12, 0x34]);
    drop(master);
    until("the connection is lost", || server.active_connections() == 0).await;
    let expected: [(&str, &[u8]); 8] = [
        ("connection made", &[]),
        ("data received", &[0, 1, 0, 0, 0, 6, 1, 6, 0, 7, 0x12, 0x34]),
        ("request", &[6, 0, 7, 0x12, 0x34]),
        ("data sent", &[0, 1, 0, 0, 0, 6, 1, 6, 0, 7, 0x12, 0x34]),
        ("data received", &[0, 2, 0, 0, 0, 6, 1, 3, 0, 7, 0, 1]),
        ("request", &[3, 0, 7, 0, 1]),
        ("data sent", &[0, 2, 0, 0, 0, 5, 1, 3, 2, 0x12, 0x34]),
        ("connection lost", &[]),
    ];
    let seen = seen.0.lock().unwrap();
    let seen: Vec<(&str, &[u8])> = seen.iter().map(|(what, bytes)| (*what, &bytes[..])).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn s002_5_frames_may_be_cut_anywhere() {
    let memory = Memory::new();
    let request = frame(0x0A0B, 1, &write(0x10, &[0x1234, 0x5678]));
    for cut in 0..=request.len() {
        memory.set(Area::HoldingRegister, 0x10, &[0, 0]).unwrap();
        let (mut near, far) = tokio::io::duplex(1024);
        let task = tokio::spawn(serve_stream(far, Peer::default(), memory.clone(), Options::default()));
        near.write_all(&request[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        near.write_all(&request[cut..]).await.unwrap();
        let mut reply = [0; 12];
        soon(near.read_exact(&mut reply)).await.unwrap();
        assert_eq!(reply, [0x0A, 0x0B, 0, 0, 0, 6, 1, 16, 0, 0x10, 0, 2]);
        drop(near);
        soon(task).await.unwrap().unwrap();
        assert_eq!(memory.values(Area::HoldingRegister, 0x10, 2).unwrap(), [0x1234, 0x5678]);
    }
}

#[tokio::test]
async fn s002_6_the_vendors_name_is_in_the_reply() {
    let identity = DeviceIdentity::new("dinrail works", "DR", "1.0");
    let (mut near, far) = tokio::io::duplex(1024);
    tokio::spawn(serve_stream(far, Peer::default(), Memory::new().with_identity(identity), Options::default()));
    near.write_all(&frame(1, 1, &[43, 14, 1, 0])).await.unwrap();
    let mut reply = [0; 29];
    soon(near.read_exact(&mut reply)).await.unwrap();
    assert_eq!(&reply[16..], b"dinrail works");
}

/// Tells whoever asks the port that they ask from; only of holding registers.
struct WhoAsks;

impl Service for WhoAsks {
    async fn call(&self, mut call: Call<'_>) -> Reply {
        let port = call.peer().address.map_or(0, |address| address.port());
        match call.request() {
            Ok(Request::Read { area: Area::HoldingRegister, count: 1, .. }) => {
                let (area, values) = (Area::HoldingRegister, [port]);
                call.respond(&Response::ReadRegisters { area, values: values[..].into() }).unwrap()
            }
            Ok(_) => ExceptionCode::IllegalFunction.into(),
            Err(code) => code.into(),
        }
    }
}

/// `datagramReceived`: the datagram that answers this one.
fn datagram_received(service: &impl Service, peer: &Peer, datagram: &[u8]) -> Vec<u8> {
    // Each datagram is a line of its own.
    let mut line = Connection::new(Framing::Tcp, proto::server::Units::ALL);
    let mut window = datagram.to_vec();
    let mut answer = Vec::new();
    loop {
        let used = match line.end_of_burst(&mut window) {
            Event::Request { adu, to, length } => {
                let mut response = [0; 253];
                let reply = {
                    let call = pin!(service.call(Call::new(adu.unit, peer, adu.pdu, &mut response)));
                    call.poll(&mut Context::from_waker(Waker::noop()))
                };
                let Poll::Ready(reply) = reply else { panic!("it answers at once") };
                let mut frame = [0; 260];
                let written = match reply {
                    Reply::Response(written) => line.reply(to, &response[..written.length()], &mut frame),
                    Reply::Exception(code) => line.exception(to, code, &mut frame),
                    Reply::Silent => Ok(0),
                };
                answer.extend_from_slice(&frame[..written.unwrap()]);
                length
            }
            Event::Skip { length, .. } => length,
            Event::Wait | Event::Close { .. } => return answer,
        };
        window.drain(..used);
    }
}

/// A service can be asked without any server, connection or runtime: the datagrams of a caller's own socket are
/// answered like this.
#[test]
fn s002_7_a_datagram_is_answered_to_its_sender_without_a_server() {
    for port in [4000, 0xCAFE] {
        let peer = Peer::at(([10, 1, 2, 3], port).into());
        let [high, low] = port.to_be_bytes();
        let asked = |datagram: &[u8]| datagram_received(&WhoAsks, &peer, datagram);
        assert_eq!(asked(&frame(9, 4, &read(3, 0, 1))), [0, 9, 0, 0, 0, 5, 4, 3, 2, high, low]);
        assert_eq!(asked(&frame(10, 4, &read(4, 0, 1))), [0, 10, 0, 0, 0, 3, 4, 0x84, 1]);
        assert_eq!(asked(&frame(11, 4, &read(3, 0, 126))), [0, 11, 0, 0, 0, 3, 4, 0x83, 3]);
        let two = [frame(12, 1, &read(3, 0, 1)), frame(13, 2, &read(3, 0, 1))].concat();
        let replies = [[0, 12, 0, 0, 0, 5, 1, 3, 2, high, low], [0, 13, 0, 0, 0, 5, 2, 3, 2, high, low]];
        assert_eq!(asked(&two), replies.concat());
        assert_eq!(asked(&two[..11]), [], "a part of a frame is none");
    }
}
