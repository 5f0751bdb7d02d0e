//! A master of bytes: nothing here knows more of Modbus than how long a frame is.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::field::{Field, Visit};
use tracing::span;

/// No answer takes longer than this.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A connection to a server.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    transaction: u16,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = soon(TcpStream::connect(address)).await.expect("the server listens");
        stream.set_nodelay(true).expect("a fresh socket");
        Self::over(stream)
    }

    /// Over a connection that is there.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, transaction: 0 }
    }

    /// Asks unit 1 and gives the PDU of the reply.
    pub(crate) async fn ask(&mut self, pdu: &[u8]) -> Vec<u8> {
        self.ask_unit(1, pdu).await
    }

    /// Asks and checks that transaction and unit come back.
    pub(crate) async fn ask_unit(&mut self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        self.transaction += 1;
        let transaction = self.transaction;
        self.send(&frame(transaction, unit, pdu)).await;
        let (t, u, reply) = self.reply().await;
        assert_eq!((t, u), (transaction, unit), "another request's reply");
        reply
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.expect("the server reads");
    }

    /// The next frame: transaction, unit, PDU.
    pub(crate) async fn reply(&mut self) -> (u16, u8, Vec<u8>) {
        let mut header = [0; 7];
        soon(self.stream.read_exact(&mut header)).await.expect("a reply");
        assert_eq!(header[2..4], [0, 0], "the protocol id is 0");
        let length = u16::from_be_bytes([header[4], header[5]]);
        let mut pdu = vec![0; usize::from(length) - 1];
        soon(self.stream.read_exact(&mut pdu)).await.expect("a whole reply");
        (u16::from_be_bytes([header[0], header[1]]), header[6], pdu)
    }

    /// Whether the server closes the connection without another byte, in order or by a reset.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(soon(self.stream.read(&mut byte)).await, Ok(0) | Err(_))
    }

    /// Sees the server end the connection in order: no other byte, and no reset.
    pub(crate) async fn sees_end(&mut self) {
        let mut byte = [0];
        let read = soon(self.stream.read(&mut byte)).await;
        assert_eq!(read.expect("an end in order is no error"), 0, "a byte {byte:02x?} in place of the end");
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(100), self.stream.read(&mut byte)).await.is_err()
    }
}

/// A Modbus TCP frame.
pub(crate) fn frame(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = transaction.to_be_bytes().to_vec();
    frame.extend([0, 0]);
    frame.extend((pdu.len() as u16 + 1).to_be_bytes());
    frame.push(unit);
    frame.extend(pdu);
    frame
}

/// The PDU of a read: function, address, count.
pub(crate) fn read(function: u8, address: u16, count: u16) -> Vec<u8> {
    let mut pdu = vec![function];
    pdu.extend(address.to_be_bytes());
    pdu.extend(count.to_be_bytes());
    pdu
}

/// The PDU of FC 16.
pub(crate) fn write(address: u16, values: &[u16]) -> Vec<u8> {
    let mut pdu = read(16, address, values.len() as u16);
    pdu.push(2 * values.len() as u8);
    pdu.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    pdu
}

/// The registers of a reply to FC 3 or 4.
pub(crate) fn registers(reply: &[u8]) -> Vec<u16> {
    assert!(reply[0] == 3 || reply[0] == 4, "{reply:02x?} holds no registers");
    assert_eq!(usize::from(reply[1]), reply.len() - 2);
    reply[2..].chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("nothing happened for a minute")
}

/// Waits until something holds that another task brings about.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < SOON, "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Counts ERROR records on target `dinrail::server`, and keeps their text, on this thread.
#[derive(Clone, Default)]
pub(crate) struct Errors {
    count: Arc<AtomicUsize>,
    text: Arc<Mutex<String>>,
}

impl Errors {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(crate) fn text(&self) -> String {
        self.text.lock().expect("no holder panics").clone()
    }
}

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn event(&self, event: &tracing::Event<'_>) {
        assert_eq!(event.metadata().target(), "dinrail::server");
        self.count.fetch_add(1, Ordering::SeqCst);
        event.record(&mut Text(&mut self.text.lock().expect("no holder panics")));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}
