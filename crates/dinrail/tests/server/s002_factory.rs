//! Document 002: the Twisted-era module, whose protocol classes are fed bytes, in its Rust form.

use std::future::Future;

use dinrail::proto::UnitId;
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

#[derive(Clone, Default)]
struct Seen(std::sync::Arc<std::sync::Mutex<Vec<&'static str>>>);

impl Hooks for Seen {
    fn connected(&self, _: &Peer) {
        self.0.lock().unwrap().push("connection made");
    }

    fn received(&self, _: &Peer, _: &[u8]) {
        self.0.lock().unwrap().push("data received");
    }

    fn disconnected(&self, _: &Peer) {
        self.0.lock().unwrap().push("connection lost");
    }
}

#[tokio::test]
async fn s002_4_a_connection_is_made_receives_data_and_is_lost() {
    let seen = Seen::default();
    let server = Server::tcp("127.0.0.1:0", Memory::new()).with_hooks(seen.clone());
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    master.ask(&read(3, 0, 1)).await;
    drop(master);
    until("the connection is lost", || server.active_connections() == 0).await;
    assert_eq!(*seen.0.lock().unwrap(), ["connection made", "data received", "connection lost"]);
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

/// A service can be asked without any server, connection or runtime: the datagrams of a caller's own socket are
/// answered like this.
#[test]
fn s002_7_a_datagram_is_answered_to_its_sender_without_a_server() {
    let memory = Memory::new().boxed();
    let peer = Peer::at("10.1.2.3:4000".parse().unwrap());
    let datagram = frame(9, 4, &read(3, 0, 2));
    let dinrail::proto::adu::Decoded::Frame { adu, .. } = dinrail::proto::adu::decode_mbap(&datagram) else {
        panic!("a whole frame");
    };
    let mut response = [0; 253];
    let reply = {
        let call = std::pin::pin!(memory.call(Call::new(adu.unit, &peer, adu.pdu, &mut response)));
        call.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    };
    let std::task::Poll::Ready(Reply::Response(written)) = reply else {
        panic!("a store answers at once");
    };
    assert_eq!((adu.unit, adu.transaction), (UnitId(4), 9));
    assert_eq!(response[..written.length()], [3, 4, 0, 0, 0, 0]);
}
