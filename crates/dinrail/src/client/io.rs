//! The stream of a client. A TCP socket is kept apart from all others: it is by far the most common, and can be spared
//! detours.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::transport::{Stream, forget_unsent};

pub(super) enum Io {
    Tcp(TcpStream),
    Other(Box<dyn Stream>),
}

impl Io {
    pub(super) fn new<S: Stream>(stream: S) -> Self {
        let mut stream = Some(stream);
        let socket = (&mut stream as &mut dyn Any).downcast_mut::<Option<TcpStream>>();
        match (socket.and_then(Option::take), stream) {
            (None, Some(other)) => Self::Other(Box::new(other)),
            (socket, _) => Self::Tcp(socket.expect("what is not there any more is a socket")),
        }
    }

    /// Whatever was written and has not arrived yet is not to arrive any more once this is dropped.
    #[cold]
    pub(super) fn forget_unsent(&self) {
        match self {
            Self::Tcp(socket) => forget_unsent(socket),
            Self::Other(stream) => forget_unsent(&**stream),
        }
    }

    #[inline]
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Writes to a socket that can be written to, as nearly every one can, without asking the runtime; `None` to say
    /// that it is to be [asked](Self::poll_write).
    #[inline]
    pub(super) fn try_write(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bytes).ok(),
            Self::Other(_) => None,
        }
    }

    #[inline]
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(written) = self.try_write(bytes) {
            return Poll::Ready(Ok(written));
        }
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Streams with a buffer of their own (TLS) write when they are flushed; sockets do nothing.
    #[inline]
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}
