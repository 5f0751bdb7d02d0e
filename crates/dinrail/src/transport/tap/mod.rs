//! Looking on: every connection of a client or a server shows what passes to a [`Sink`], and is otherwise left alone.
//!
//! [`Trace`] makes log events of frames, [`Pcapng`] a file for Wireshark; a sink of your own does what you like.

#[cfg(feature = "capture")]
mod pcapng;
mod sink;
mod trace;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(feature = "capture")]
pub use self::pcapng::{Captured, Pcapng};
pub use self::sink::{Frame, Garbage, Kind, Link, Passed, Role, Sink};
pub use self::trace::Trace;
use super::{Burst, Connect, Direction, Listener};
use crate::proto::Framing;
use crate::proto::adu::Decoder;
use crate::service::Peer;
use crate::wire::{Found, Window};

/// A [`Connect`] or a [`Listener`] that shows what passes over its connections to a [`Sink`].
///
/// ```
/// # async fn run() -> Result<(), dinrail::Error> {
/// use dinrail::Client;
/// use dinrail::transport::{Tap, Tcp, Trace};
///
/// // Each frame is an event of `tracing` on the target `dinrail::wire`.
/// let connect = Tap::new(Tcp::from("127.0.0.1:5020"), Trace::new());
/// let client = Client::connect_with(connect, Default::default()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tap<T> {
    inner: T,
    sink: Arc<dyn Sink>,
    framing: Option<Framing>,
    local: Option<SocketAddr>,
}

impl<T> Tap<T> {
    /// Connections of `inner`, shown to `sink`.
    pub fn new(inner: T, sink: impl Sink) -> Self {
        Self { inner, sink: Arc::new(sink), framing: None, local: None }
    }

    /// How frames are laid on the connections of a [`Listener`]: TCP framing unless set. A [`Connect`] says so itself.
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = Some(framing);
        self
    }

    /// This side's address, for captures. A made-up one stands there unless set.
    #[must_use]
    pub fn with_local(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// What is wrapped.
    pub fn inner(&self) -> &T {
        &self.inner
    }
}

impl<T: Connect> Tap<T> {
    fn tap(&self, stream: T::Stream) -> Tapped<T::Stream> {
        let peer = self.inner.to_string();
        let mut link = Link::new(Role::Client, &peer, self.framing.unwrap_or(self.inner.framing()));
        link.burst = self.inner.burst();
        link.address = peer.parse().ok();
        link.local = self.local;
        Tapped::over(stream, link, self.sink.clone())
    }
}

impl<T: Connect> Connect for Tap<T> {
    type Stream = Tapped<T::Stream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        Ok(self.tap(self.inner.connect().await?))
    }

    async fn connect_within(&self, limit: Duration) -> io::Result<Self::Stream> {
        Ok(self.tap(self.inner.connect_within(limit).await?))
    }

    forward_connect!(inner);
}

impl<T: fmt::Display> fmt::Display for Tap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: Listener> Listener for Tap<T> {
    type Stream = Tapped<T::Stream>;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, peer) = self.inner.accept().await?;
        let mut link = Link::new(Role::Server, &peer.to_string(), self.framing.unwrap_or(Framing::Tcp));
        link.burst = self.inner.burst();
        link.address = peer.address;
        link.local = self.local;
        Ok((Tapped::over(stream, link, self.sink.clone()), peer))
    }

    forward_listener!(inner);
}

impl<T: fmt::Debug> fmt::Debug for Tap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// A stream whose bytes are shown to a [`Sink`].
pub struct Tapped<S> {
    stream: S,
    watch: Watch,
}

impl<S> Tapped<S> {
    /// Shows what passes over `stream` to `sink`.
    pub fn new(stream: S, link: Link, sink: impl Sink) -> Self {
        Self::over(stream, link, Arc::new(sink))
    }

    fn over(stream: S, mut link: Link, sink: Arc<dyn Sink>) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(1);
        link.id = MADE.fetch_add(1, Ordering::Relaxed);
        sink.opened(&link, SystemTime::now());
        Self { stream, watch: Watch::new(link, sink) }
    }
}

impl<S: fmt::Debug> fmt::Debug for Tapped<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tapped").field("stream", &self.stream).field("link", &self.watch.link).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.watch.passed(Direction::Received, &buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        this.watch.passed(Direction::Sent, &buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// What a tapped stream knows about what has passed.
struct Watch {
    link: Link,
    sink: Arc<dyn Sink>,
    /// Of what is sent, and of what is received.
    ways: [Way; 2],
}

struct Way {
    window: Window,
    /// Bytes that have passed.
    offset: u64,
    last: SystemTime,
}

impl Watch {
    fn new(link: Link, sink: Arc<dyn Sink>) -> Self {
        let way = |direction| Way {
            window: Window::new(Decoder::new(link.framing, link.side(direction)).with_reserved_units()),
            offset: 0,
            last: SystemTime::UNIX_EPOCH,
        };
        Self { ways: [way(Direction::Sent), way(Direction::Received)], link, sink }
    }

    fn passed(&mut self, direction: Direction, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let at = SystemTime::now();
        let (this, other) = (direction as usize, 1 - direction as usize);
        self.sink.bytes(&self.link, &Passed { at, direction, offset: self.ways[this].offset, bytes });
        // Where one request is out at a time, nothing goes on in one direction once the other one speaks.
        if !self.link.framing.has_transactions() {
            self.end_of_burst(other);
        }
        if let Burst::Silence(gap) = self.link.burst
            && at.duration_since(self.ways[this].last).is_ok_and(|quiet| quiet > gap)
        {
            self.end_of_burst(this);
        }
        self.ways[this].offset += bytes.len() as u64;
        self.ways[this].last = at;
        self.feed(this, bytes, self.link.burst == Burst::EachRead);
    }

    fn end_of_burst(&mut self, way: usize) {
        if self.ways[way].window.is_waiting() {
            self.feed(way, &[], true);
        }
    }

    fn feed(&mut self, way: usize, bytes: &[u8], at_end: bool) {
        let Self { link, sink, ways } = self;
        let direction = if way == 0 { Direction::Sent } else { Direction::Received };
        let at = ways[way].last;
        ways[way].window.feed(bytes, at_end, &mut |found| match found {
            Found::Frame(adu, bytes) => {
                sink.frame(link, &Frame { at, direction, kind: link.kind(direction), adu, bytes })
            }
            Found::Garbage(bytes, reason) => sink.garbage(link, &Garbage { at, direction, bytes, reason }),
        });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end_of_burst(Direction::Sent as usize);
        self.end_of_burst(Direction::Received as usize);
        self.sink.closed(&self.link, SystemTime::now());
    }
}
