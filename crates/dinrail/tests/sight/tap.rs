//! What a tap shows: to sinks, and as events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use dinrail::client::{self, Client};
use dinrail::proto::{Area, Framing};
use dinrail::server::Options;
use dinrail::service::Memory;
use dinrail::transport::{
    Burst, Direction, Frame, Garbage, Kind, Link, Role, Sink, Tap, Tapped, Tcp, TcpListener, Trace,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::harness::{Serving, listener};
use crate::log::Log;

/// Keeps a line of text for everything that it is shown.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock())
    }
}

impl Sink for Notes {
    fn opened(&self, link: &Link, _: SystemTime) {
        self.lock().push(format!("{:?} opened", link.role));
    }

    fn frame(&self, _: &Link, frame: &Frame<'_>) {
        let way = if frame.direction == Direction::Sent { ">" } else { "<" };
        let kind = match frame.kind {
            Kind::Request => "request",
            Kind::Reply => "reply",
            Kind::Either => "frame",
        };
        let function = frame.function().expect("a function").code();
        let mut note = format!("{way} {kind} unit {} FC {function}", frame.adu.unit);
        if let Some((address, count)) = frame.address().zip(frame.count()) {
            note += &format!(" {address}+{count}");
        }
        if let Some(code) = frame.exception() {
            note += &format!(" exception {}", code.code());
        }
        self.lock().push(note);
    }

    fn garbage(&self, _: &Link, garbage: &Garbage<'_>) {
        self.lock().push(format!("garbage {:?}", garbage.bytes));
    }

    fn closed(&self, _: &Link, _: SystemTime) {
        self.lock().push("closed".to_owned());
    }
}

fn memory() -> Memory {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0, &[1, 2, 3]).expect("in range");
    memory
}

#[tokio::test]
async fn s001_31_trace_connect_and_frames_of_clients_and_servers() {
    let (served, asked) = (Notes::default(), Notes::default());
    let (listener, address) = listener().await;
    let server = Serving::start(Tap::new(listener, served.clone()), memory());
    let connect = Tap::new(Tcp::from(address), asked.clone());
    let client = Client::connect_with(connect, client::Options::default().with_unit(9)).await.expect("it listens");
    assert_eq!(client.peer(), address.to_string());
    client.read_holding_registers(0, 3).await.expect("answered");
    client.write_register(1, 5).await.expect("answered");
    client.call_pdu(&dinrail::proto::Pdu::new(&[0x55, 1]).expect("a PDU")).await.expect_err("refused");
    client.close();
    server.stop().await;
    let frames = |here: &str, there: &str| {
        [
            format!("{here} request unit 9 FC 3 0+3"),
            format!("{there} reply unit 9 FC 3"),
            format!("{here} request unit 9 FC 6 1+1"),
            format!("{there} reply unit 9 FC 6 1+1"),
            format!("{here} request unit 9 FC 85"),
            format!("{there} reply unit 9 FC 85 exception 1"),
            "closed".to_owned(),
        ]
    };
    assert_eq!(asked.take(), [&["Client opened".to_owned()][..], &frames(">", "<")].concat());
    assert_eq!(served.take(), [&["Server opened".to_owned()][..], &frames("<", ">")].concat());
}

#[tokio::test]
async fn a_reconnection_is_a_connection_of_its_own() {
    let notes = Notes::default();
    let (listener, address) = listener().await;
    let server = Serving::start(listener, memory());
    let options = client::Options::default().with_retry(client::Retry::attempts(20));
    let client = Client::connect_with(Tap::new(Tcp::from(address), notes.clone()), options).await.expect("it listens");
    client.read_holding_registers(0, 1).await.expect("answered");
    server.stop().await;
    let again = TcpListener::bind(&address.to_string(), &Options::default()).await.expect("the port is free");
    let server = Serving::start(again, memory());
    client.read_holding_registers(0, 1).await.expect("answered, by a new connection");
    client.close();
    server.stop().await;
    let notes = notes.take();
    assert_eq!(notes.iter().filter(|note| *note == "Client opened").count(), 2, "{notes:?}");
    assert_eq!(notes.iter().filter(|note| *note == "closed").count(), 2, "{notes:?}");
}

/// Frames in pieces, several at once, garbage between them: what a serial client may hear.
#[tokio::test]
async fn frames_of_a_serial_line_are_found_among_garbage() {
    let notes = Notes::default();
    let (near, mut far) = duplex(4096);
    let link = Link::new(Role::Client, "/dev/ttyUSB0", Framing::Rtu).with_burst(Burst::Silence(Duration::from_secs(5)));
    let mut near = Tapped::new(near, link, notes.clone());
    near.write_all(&[0x11, 3, 0, 0x6B, 0, 3, 0x76, 0x87]).await.expect("open");
    let mut buffer = [0; 64];
    for piece in [&[0xFF, 0xFE][..], &[0x11, 3, 6, 0xAE], &[0x41, 0x56, 0x52, 0x43, 0x40, 0x49, 0xAD], &[1, 2]] {
        far.write_all(piece).await.expect("open");
        assert_eq!(near.read(&mut buffer).await.expect("open"), piece.len());
    }
    near.write_all(&[0x11, 0x06, 0, 1, 0, 3, 0x9A, 0x9B]).await.expect("open");
    drop(near);
    assert_eq!(
        notes.take(),
        [
            "Client opened",
            "> request unit 17 FC 3 107+3",
            "garbage [255, 254]",
            "< frame unit 17 FC 3",
            // Known once the other direction speaks.
            "garbage [1, 2]",
            "> request unit 17 FC 6 1+1",
            "closed"
        ]
    );
}

#[tokio::test]
async fn frames_are_events_with_fields() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.subscriber());
    let (listener, address) = listener().await;
    let server = Serving::start(listener, memory());
    let connect = Tap::new(Tcp::from(address), Trace::new().with_hex());
    let client = Client::connect_with(connect, client::Options::default().with_unit(9)).await.expect("it listens");
    client.read_holding_registers(0, 3).await.expect("answered");
    client.call_pdu(&dinrail::proto::Pdu::new(&[0x55, 1]).expect("a PDU")).await.expect_err("refused");
    client.close();
    server.stop().await;
    let text = log.text();
    let frames: Vec<&str> =
        text.lines().filter(|line| line.contains("dinrail::wire: peer=") && line.contains("DEBUG")).collect();
    assert_eq!(frames.len(), 4, "{text}");
    for (frame, parts) in frames.iter().zip([
        &["sent", "request", "unit=9", "function=FC 3", "address=0", "count=3", "length=12", "000000060903000000"][..],
        &["received", "reply", "unit=9", "length=15", "09030600010002000", "function=FC 3"],
        &["sent", "request", "function=FC 85", "length=9"],
        &["received", "reply", "exception=0x01 (illegal function)", "length=9"],
    ]) {
        for part in parts {
            assert!(frame.contains(part), "{part:?} is missing in {frame}");
        }
    }
    assert!(text.contains("opened") && text.contains("closed"), "{text}");
}
