//! A stream whose bytes are not passed on as they are: what [`Faulty`](super::Faulty) and [`Rewrite`](super::Rewrite)
//! have in common. What they do to the bytes is a [`Shape`]; queues, delays and wakers are here.
//!
//! There are two queues, one each way. Both are served by every poll, whatever the poll is for, and an event of the
//! stream or the timer wakes reader and writer: so a delayed write leaves in time while its owner only reads.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{Direction, Stream};

/// More bytes than this are not queued: the writer waits then, and nothing is read.
const ROOM: usize = 64 * 1024;

/// What becomes of bytes on their way.
pub(super) trait Shape: Send + Unpin + 'static {
    /// `bytes` have come from the stream, or are to be written to it; what is to go on is given to `out`.
    fn pass(&mut self, direction: Direction, bytes: &[u8], out: &mut Vec<Piece>);

    /// Whether what is written comes back.
    fn echoes(&self) -> bool {
        false
    }
}

/// Bytes that travel in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// How long it takes.
    pub(super) delay: Duration,
    pub(super) bytes: Vec<u8>,
    /// It waits for its delay to be joined by what comes next.
    pub(super) joins: bool,
}

/// One way: pieces in order, each with the moment at which it arrives.
#[derive(Default)]
struct Way {
    pieces: VecDeque<(Instant, Piece)>,
    /// Bytes of the first piece that are gone already.
    gone: usize,
    queued: usize,
}

impl Way {
    fn push(&mut self, now: Instant, piece: Piece) {
        if piece.bytes.is_empty() {
            return;
        }
        self.queued += piece.bytes.len();
        // A line keeps the order.
        let due = self.pieces.back().map_or(now, |(last, _)| (*last).max(now)).max(now + piece.delay);
        match self.pieces.back_mut() {
            Some((at, last)) if last.joins && self.gone == 0 => {
                last.bytes.extend_from_slice(&piece.bytes);
                last.joins = piece.joins;
                *at = if piece.joins { due } else { now + piece.delay };
            }
            _ => self.pieces.push_back((due, piece)),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.pieces.front().map(|(due, _)| *due)
    }

    /// What has arrived.
    fn front(&self, now: Instant) -> Option<&[u8]> {
        self.pieces.front().filter(|(due, _)| *due <= now).map(|(_, piece)| &piece.bytes[self.gone..])
    }

    fn take(&mut self, count: usize) {
        self.gone += count;
        self.queued -= count;
        if self.pieces.front().is_some_and(|(_, piece)| piece.bytes.len() == self.gone) {
            self.pieces.pop_front();
            self.gone = 0;
        }
    }
}

/// Wakes whoever reads and whoever writes, which may be two tasks.
#[derive(Default)]
struct Both(Mutex<[Option<Waker>; 2]>);

impl Both {
    fn set(&self, index: usize, waker: &Waker) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut wakers[index] {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }
}

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

const READER: usize = 0;
const WRITER: usize = 1;

/// The stream.
pub(super) struct Shaped<S, M> {
    stream: S,
    shape: M,
    incoming: Way,
    outgoing: Way,
    /// How the stream has ended for reading: delivered behind what came before.
    end: Option<io::Result<()>>,
    timer: Pin<Box<Sleep>>,
    both: Arc<Both>,
    waker: Waker,
    scratch: Box<[u8]>,
    pieces: Vec<Piece>,
}

impl<S: Stream, M: Shape> Shaped<S, M> {
    pub(super) fn new(stream: S, shape: M) -> Self {
        let both = Arc::new(Both::default());
        Self {
            stream,
            shape,
            incoming: Way::default(),
            outgoing: Way::default(),
            end: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            waker: Waker::from(both.clone()),
            both,
            scratch: vec![0; 4096].into_boxed_slice(),
            pieces: Vec::new(),
        }
    }

    /// Writes what is due.
    fn drive_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let now = Instant::now();
            let Some(bytes) = self.outgoing.front(now) else {
                return if self.outgoing.pieces.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
            };
            match ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    if self.shape.echoes() {
                        let piece = Piece { delay: Duration::ZERO, bytes: bytes[..written].to_vec(), joins: false };
                        self.incoming.push(now, piece);
                    }
                    self.outgoing.take(written);
                }
            }
            if self.outgoing.pieces.is_empty() {
                // A failure shows at the next write; whoever flushes sees it at once.
                let _ = Pin::new(&mut self.stream).poll_flush(cx)?;
            }
        }
    }

    /// Reads what the stream has.
    fn drive_in(&mut self, cx: &mut Context<'_>) {
        while self.end.is_none() && self.incoming.queued < ROOM {
            let mut buffer = ReadBuf::new(&mut self.scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => self.end = Some(Err(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.end = Some(Ok(())),
                Poll::Ready(Ok(())) => {
                    self.shape.pass(Direction::Received, buffer.filled(), &mut self.pieces);
                    let now = Instant::now();
                    self.pieces.drain(..).for_each(|piece| self.incoming.push(now, piece));
                }
            }
        }
    }

    /// Has the timer wake both when the next piece is due. `true` when one has become due meanwhile.
    fn arm(&mut self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        // What is due already waits for the stream, or for its reader, and needs no timer.
        let dues = [self.incoming.due(), self.outgoing.due()];
        let Some(next) = dues.into_iter().flatten().filter(|due| *due > now).min() else { return false };
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }
}

impl<S: Stream, M: Shape> AsyncRead for Shaped<S, M> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.both.set(READER, cx.waker());
        let waker = this.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        loop {
            // An error of writing is for the writer; it comes again.
            let _ = this.drive_out(cx);
            this.drive_in(cx);
            if let Some(bytes) = this.incoming.front(Instant::now()) {
                let count = bytes.len().min(buf.remaining());
                buf.put_slice(&bytes[..count]);
                this.incoming.take(count);
                return Poll::Ready(Ok(()));
            }
            if this.incoming.pieces.is_empty() {
                match &this.end {
                    Some(Ok(())) => return Poll::Ready(Ok(())),
                    Some(Err(_)) => return Poll::Ready(this.end.replace(Ok(())).unwrap_or(Ok(()))),
                    None => {}
                }
            }
            if !this.arm(cx) {
                return Poll::Pending;
            }
        }
    }
}

impl<S: Stream, M: Shape> AsyncWrite for Shaped<S, M> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.both.set(WRITER, cx.waker());
        let waker = this.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        if let Poll::Ready(Err(error)) = this.drive_out(cx) {
            return Poll::Ready(Err(error));
        }
        if this.outgoing.queued >= ROOM {
            this.arm(cx);
            return Poll::Pending;
        }
        let count = buf.len().min(ROOM);
        this.shape.pass(Direction::Sent, &buf[..count], &mut this.pieces);
        let now = Instant::now();
        this.pieces.drain(..).for_each(|piece| this.outgoing.push(now, piece));
        match this.drive_out(cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {}
            Poll::Pending => {
                this.arm(cx);
            }
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.both.set(WRITER, cx.waker());
        let waker = this.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        ready!(this.poll_empty(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.both.set(WRITER, cx.waker());
        let waker = this.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        ready!(this.poll_empty(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl<S: Stream, M: Shape> Shaped<S, M> {
    /// Until everything has been written.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Poll::Ready(written) = self.drive_out(cx) {
                return Poll::Ready(written);
            }
            // Pending either for the stream, which wakes by itself, or for the time.
            if !self.arm(cx) {
                return Poll::Pending;
            }
        }
    }
}
