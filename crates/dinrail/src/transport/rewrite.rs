//! Bytes changed on their way, by code: to answer what a device at hand does not, to hide what must not be seen, or to
//! lose exactly the frame that matters.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::shaped::{Piece, Shape, Shaped};
use super::{Connect, Direction, Listener, Stream};
use crate::service::Peer;

/// What changes the bytes.
type Change = dyn Fn(Direction, &mut Vec<u8>) + Send + Sync;

/// A [`Connect`] or a [`Listener`] on whose connections a closure sees, changes or drops what passes. Around an
/// [`Endpoint`](super::Endpoint) it is a [`Medium`](crate::server::Medium) too: what a server listens on.
///
/// The closure is given what is sent or received in one go, which is usually a frame but need not be. It leaves what is
/// to go on, which may be nothing.
///
/// ```
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use dinrail::Client;
/// use dinrail::transport::{Direction, Rewrite, Tcp};
///
/// // The client asks unit 7 whatever unit the program names.
/// let connect = Rewrite::new(Tcp::from("127.0.0.1:5020"), |direction, bytes| {
///     if direction == Direction::Sent && bytes.len() > 6 {
///         bytes[6] = 7;
///     }
/// });
/// let client = Client::connect_with(connect, Default::default()).await?;
///
/// // The server loses every reply that is an exception.
/// use dinrail::service::Memory;
/// use dinrail::transport::Endpoint;
/// let listen: Endpoint = "tcp://127.0.0.1:0".parse()?;
/// let lossy = Rewrite::new(listen, |direction, bytes| {
///     if direction == Direction::Sent && bytes.get(7).is_some_and(|function| *function >= 0x80) {
///         bytes.clear();
///     }
/// });
/// let server = dinrail::Server::on(lossy, Memory::new());
/// # Ok(())
/// # }
/// ```
pub struct Rewrite<T> {
    inner: T,
    change: Arc<Change>,
}

impl<T> Rewrite<T> {
    /// Connections of `inner`, with everything that passes given to `change` first. It runs on the thread that serves the
    /// connection, so it must not block.
    pub fn new(inner: T, change: impl Fn(Direction, &mut Vec<u8>) + Send + Sync + 'static) -> Self {
        Self { inner, change: Arc::new(change) }
    }

    /// What is wrapped.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The same closure around something else.
    pub(crate) fn around<U>(&self, inner: U) -> Rewrite<U> {
        Rewrite { inner, change: self.change.clone() }
    }

    pub(crate) fn wrap<S: Stream>(&self, stream: S) -> Rewritten<S> {
        Rewritten(Shaped::new(stream, By(self.change.clone())))
    }
}

impl<T: Clone> Clone for Rewrite<T> {
    fn clone(&self) -> Self {
        self.around(self.inner.clone())
    }
}

impl<T: Connect> Connect for Rewrite<T> {
    type Stream = Rewritten<T::Stream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        Ok(self.wrap(self.inner.connect().await?))
    }

    async fn connect_within(&self, limit: Duration) -> io::Result<Self::Stream> {
        Ok(self.wrap(self.inner.connect_within(limit).await?))
    }

    forward_connect!(inner);
}

impl<T: fmt::Display> fmt::Display for Rewrite<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: Listener> Listener for Rewrite<T> {
    type Stream = Rewritten<T::Stream>;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, peer) = self.inner.accept().await?;
        Ok((self.wrap(stream), peer))
    }

    forward_listener!(inner);
}

impl<T: fmt::Debug> fmt::Debug for Rewrite<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrite").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// A stream of a [`Rewrite`].
pub struct Rewritten<S>(Shaped<S, By>);

struct By(Arc<Change>);

impl Shape for By {
    fn pass(&mut self, direction: Direction, bytes: &[u8], out: &mut Vec<Piece>) {
        let mut bytes = bytes.to_vec();
        (self.0)(direction, &mut bytes);
        out.push(Piece { delay: Duration::ZERO, bytes, joins: false });
    }
}

impl<S> fmt::Debug for Rewritten<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewritten").finish_non_exhaustive()
    }
}

impl<S: Stream> AsyncRead for Rewritten<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: Stream> AsyncWrite for Rewritten<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
