//! A stream that TLS protects.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::fault;
use crate::transport::Stream;

/// A stream that TLS protects, after its handshake. Dropping it tells the peer that this is the end (close_notify), so
/// that an end can be told from a connection that was cut.
pub struct TlsStream<T: Stream> {
    inner: tokio_rustls::TlsStream<T>,
    role: Option<Arc<str>>,
}

impl<T: Stream> TlsStream<T> {
    /// After the peer's role has been read.
    pub(super) fn new(inner: impl Into<tokio_rustls::TlsStream<T>>, role: Option<Arc<str>>) -> Self {
        Self { inner: inner.into(), role }
    }

    /// What TLS runs over.
    pub(in crate::transport) fn below(&self) -> &T {
        self.inner.get_ref().0
    }

    /// The role in the peer's certificate (SEC R-21); `None` when it has none, or showed no certificate.
    pub fn role(&self) -> Option<&Arc<str>> {
        self.role.as_ref()
    }

    /// The certificates that the peer showed, its own first; empty when it showed none.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.inner.get_ref().1.peer_certificates().unwrap_or_default()
    }
}

impl<T: Stream> Drop for TlsStream<T> {
    fn drop(&mut self) {
        // Nobody waits for it: what the socket does not take at once is lost, as it is with a connection that is cut.
        let _ = Pin::new(&mut self.inner).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

impl<T: Stream> AsyncRead for TlsStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer).map_err(fault::explain)
    }
}

impl<T: Stream> AsyncWrite for TlsStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes).map_err(fault::explain)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(fault::explain)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: Stream> fmt::Debug for TlsStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("role", &self.role).finish_non_exhaustive()
    }
}
