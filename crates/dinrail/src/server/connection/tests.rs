//! A peer that does not read just then, over a stream that does as it is told: nothing is asked or told twice.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Known, Left, Line, Progress, waiting};
use crate::proto::UnitId;
use crate::server::hooks::Hooks;
use crate::server::options::Options;
use crate::server::scratch::Scratch;
use crate::server::shared::Shared;
use crate::service::{Call, Peer, Reply, Service};

/// Read register 7 of unit 1.
const READ: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 3, 0, 7, 0, 1];
/// Write register 7 of unit 1.
const WRITE: [u8; 12] = [0, 2, 0, 0, 0, 6, 1, 6, 0, 7, 0, 9];

/// What the stream says to one write: so many bytes at most, or not now when there are none.
type Writes = Arc<Mutex<Vec<usize>>>;

struct Told {
    input: Vec<u8>,
    writes: Writes,
    written: Vec<u8>,
}

impl AsyncRead for Told {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.input.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(&std::mem::take(&mut self.input));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Told {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(most) = self.writes.lock().expect("no holder panics").pop() else {
            return Poll::Pending;
        };
        let length = most.min(bytes.len());
        self.written.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn add(&self, event: String) {
        self.0.lock().expect("no holder panics").push(event);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no holder panics"))
    }
}

impl Hooks for Seen {
    fn request(&self, _: &Peer, _: UnitId, pdu: &[u8]) {
        self.add(format!("request {}", pdu[0]));
    }

    fn sending(&self, _: &Peer, bytes: &[u8]) {
        self.add(format!("sending {}", bytes.len()));
    }
}

/// Answers reads at once, and writes when it is allowed to.
struct Halting {
    seen: Seen,
    allowed: Arc<AtomicBool>,
}

impl Service for Halting {
    async fn call(&self, mut call: Call<'_>) -> Reply {
        std::future::poll_fn(|_| if self.allowed.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending })
            .await;
        let length = call.pdu().len();
        let pdu = call.pdu();
        call.respond_with(|out| {
            out[..length].copy_from_slice(pdu);
            length
        })
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        self.seen.add(format!("asked {}", call.pdu()[0]));
        (call.pdu()[0] == 3).then(|| {
            call.respond_with(|out| {
                out[..4].copy_from_slice(&[3, 2, 0, 42]);
                4
            })
        })
    }
}

fn line(input: Vec<u8>, seen: &Seen, options: Options) -> (Line<Told>, Writes) {
    let shared = Arc::new(Shared::new(options, Some(Arc::new(seen.clone()))));
    let entry = shared.admit(Peer::default()).expect("there is room");
    let writes = Writes::default();
    let io = Told { input, writes: writes.clone(), written: Vec::new() };
    (Line { io, known: Known::new(shared, entry) }, writes)
}

#[test]
fn a_request_that_waits_behind_replies_is_asked_and_told_once() {
    let seen = Seen::default();
    let service = Halting { seen: seen.clone(), allowed: Arc::default() };
    let (mut line, writes) = line([READ, WRITE].concat(), &seen, Options::default());
    let mut progress = Progress::default();
    let mut poll = |line: &mut Line<Told>| progress.poll(&mut Context::from_waker(Waker::noop()), line, &service);
    assert!(poll(&mut line).is_pending(), "the peer does not read");
    assert_eq!(seen.take(), ["request 3", "asked 3", "request 6", "asked 6", "sending 11"]);
    assert!(poll(&mut line).is_pending());
    writes.lock().expect("no holder panics").push(3);
    assert!(poll(&mut line).is_pending(), "it has read a little");
    writes.lock().expect("no holder panics").push(100);
    let Poll::Ready(Left::Slow(batch)) = poll(&mut line) else { panic!("the write is to be waited for") };
    assert_eq!(batch.rest(), WRITE);
    assert_eq!(line.io.written, [0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 42]);
    assert_eq!(seen.take(), [""; 0], "nothing is asked or told again");
    batch.give_back();
}

#[test]
fn replies_are_told_once_and_later_ones_after_them() {
    for concurrency in [1usize, 4] {
        let seen = Seen::default();
        let service = Arc::new(Halting { seen: seen.clone(), allowed: Arc::new(AtomicBool::new(true)) });
        let options = Options::default().with_concurrency(concurrency).with_request_deadline(None);
        let (mut line, writes) = line(Vec::new(), &seen, options);
        let mut batch = Scratch::take();
        batch.input[..24].copy_from_slice(&[WRITE, WRITE].concat());
        batch.begin(if concurrency == 1 { 24 } else { 12 });
        let mut serve = pin!(async {
            let end = waiting::serve(&mut line, &service, batch).await;
            line.known.log(&end);
        });
        let mut poll = || serve.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        assert_eq!(seen.take().last().map(String::as_str), Some("sending 12"));
        for _ in 0..3 {
            assert!(poll().is_pending(), "the peer does not read");
        }
        writes.lock().expect("no holder panics").push(5);
        assert!(poll().is_pending(), "it has read a little");
        // The second request is begun meanwhile, and told; its reply waits.
        let sent = |seen: &Seen| seen.take().iter().filter(|event| event.starts_with("sending")).count();
        assert_eq!(sent(&seen), 0);
        writes.lock().expect("no holder panics").extend([100, 100]);
        assert!(poll().is_pending(), "there is no other request");
        assert_eq!(
            (sent(&seen), writes.lock().expect("no holder panics").len()),
            if concurrency == 1 { (1, 0) } else { (0, 1) }
        );
    }
}

/// Takes everything and sends nothing on, as TLS does whose peer does not read.
struct Hoard(Vec<u8>);

impl AsyncRead for Hoard {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buffer.put_slice(&std::mem::take(&mut self.0));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Hoard {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Otherwise it would keep its place for ever: neither the idle limit nor the need for room would end it.
#[test]
fn a_peer_that_does_not_read_is_idle_behind_a_buffer_too() {
    let seen = Seen::default();
    let service = Halting { seen: seen.clone(), allowed: Arc::default() };
    let (Line { known, .. }, _) = line(Vec::new(), &seen, Options::default());
    let mut line = Line { io: Hoard(READ.to_vec()), known };
    let mut progress = Progress::default();
    assert!(progress.poll(&mut Context::from_waker(Waker::noop()), &mut line, &service).is_pending());
    assert_eq!(seen.take(), ["request 3", "asked 3", "sending 11"]);
    assert!(line.known.entry.idle_since().is_some());
}
