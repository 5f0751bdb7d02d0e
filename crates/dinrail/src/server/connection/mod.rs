//! One connection: bytes in, requests to the service, replies out, in order.
//!
//! There are two ways through. As long as the service answers at once it is asked in place ([`immediate`]): everything
//! that one read brings is answered with one write, without a heap allocation, and a connection that waits for bytes
//! holds nothing but its socket. From the first request on that takes its time, requests are futures of their own
//! ([`waiting`]), as many at once as the options allow.

mod ask;
mod attended;
mod immediate;
#[cfg(test)]
mod tests;
mod waiting;

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

pub(super) use self::ask::{Asker, completion};
pub(super) use self::immediate::Progress;
use super::entry::Entry;
use super::line::{self, Wire};
use super::metrics::LineError;
use super::scratch::Scratch;
use super::shared::Shared;
use crate::proto::pdu::MAX_PDU;
use crate::service::Service;
use crate::transport::Stream;
use crate::transport::direct::try_transmit;

/// MBAP header: transaction, protocol, length, unit.
const HEADER: usize = 7;
/// The longest frame.
const MAX_FRAME: usize = HEADER + MAX_PDU;

/// Serves a connection until it ends, one way or another.
pub(super) async fn run<S: Service>(io: impl Stream, wire: Wire, service: Arc<S>, known: Known) {
    let mut line = Line { io, known };
    if !wire.is_plain_tcp() {
        let end = Box::pin(line::serve(&mut line, wire, &*service)).await;
        return line.known.log(&end);
    }
    match immediate::serve(&mut line, &*service).await {
        Left::Ended(end) => line.part(end).await,
        // Its state is larger: apart from the connection, so that the other way stays small.
        Left::Slow(batch) => Box::pin(run_waiting(line, service, batch)).await,
    }
}

/// Serves the rest of a connection, whose service takes its time.
pub(super) async fn run_waiting<S: Service>(mut line: Line<impl Stream>, service: Arc<S>, batch: Box<Scratch>) {
    let end = waiting::serve(&mut line, &service, batch).await;
    line.part(end).await;
}

/// A connection.
pub(super) struct Line<T> {
    pub(super) io: T,
    pub(super) known: Known,
}

/// What the server knows of a connection; as long as it lives, so does the connection in the server's table.
pub(super) struct Known {
    pub(super) shared: Arc<Shared>,
    pub(super) entry: Arc<Entry>,
}

impl Known {
    /// A connection that has been admitted.
    pub(super) fn new(shared: Arc<Shared>, entry: Arc<Entry>) -> Self {
        shared.tell(|hooks| hooks.connected(entry.peer()));
        Self { shared, entry }
    }
}

/// Why the immediate way was left.
pub(super) enum Left {
    Ended(End),
    /// The request at the front of the batch's rest was not answered at once.
    Slow(Box<Scratch>),
}

/// Why a connection ends.
pub(super) enum End {
    /// The peer has closed it; how many bytes of a frame were left over.
    Closed(usize),
    /// A length field that cannot be.
    Unframeable(u16),
    /// The server stops, or needs the room.
    Stop,
    /// The system says so.
    Io(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<T: Stream> Line<T> {
    /// Closes the connection, so that the replies it was sent arrive.
    async fn part(mut self, end: End) {
        self.known.log(&end);
        if self.is_to_hear_out(&end) {
            // Apart from the connection, so that one that serves stays small.
            Box::pin(self.hear_out()).await;
        }
    }

    /// Whether the peer has sent more than was taken when the server stops. A socket that is closed while bytes of the peer
    /// are unread is reset, and the system throws away the replies that the peer has not read yet (RFC 2525, 2.17).
    #[cold]
    pub(super) fn is_to_hear_out(&mut self, end: &End) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let cx = &mut Context::from_waker(Waker::noop());
        matches!(end, End::Stop)
            && Pin::new(&mut self.io).poll_read(cx, &mut buffer).is_ready()
            && !buffer.filled().is_empty()
    }

    /// Says that there are no more replies, and lets the peer finish, for as long as a stop may take.
    pub(super) async fn hear_out(mut self) {
        let hear_out = async {
            self.io.shutdown().await?;
            let mut nothing = [0; 1024];
            while self.io.read(&mut nothing).await? > 0 {}
            io::Result::Ok(())
        };
        // What goes wrong now is of no use to anybody.
        let _ = timeout(self.known.shared.options.grace, hear_out).await;
    }

    /// Reads into `scratch`, behind the bytes that were `kept`. It goes back to the thread when no bytes are there.
    #[inline(always)] // twice a request: worth 40 instructions
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        mut scratch: Box<Scratch>,
        kept: &[u8],
    ) -> Poll<Result<Box<Scratch>, End>> {
        let mut buffer = ReadBuf::new(&mut scratch.input[kept.len()..]);
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut buffer);
        let came = buffer.filled().len();
        match polled {
            Poll::Ready(Ok(())) if came > 0 => {
                if self.known.shared.is_watched() {
                    self.tell_received(&mut scratch, kept.len(), came);
                }
                if !kept.is_empty() {
                    scratch.input[..kept.len()].copy_from_slice(kept);
                }
                scratch.begin(kept.len() + came);
                Poll::Ready(Ok(scratch))
            }
            Poll::Ready(Ok(())) => {
                scratch.give_back();
                Poll::Ready(Err(End::Closed(kept.len())))
            }
            Poll::Ready(Err(error)) => {
                scratch.give_back();
                Poll::Ready(Err(End::Io(error)))
            }
            Poll::Pending => {
                scratch.give_back();
                Poll::Pending
            }
        }
    }

    /// Tells of bytes that came, and notes when.
    #[cold]
    fn tell_received(&self, scratch: &mut Scratch, kept: usize, came: usize) {
        (scratch.came, scratch.timed) = (Some(Instant::now()), 0);
        self.known.shared.tell_received(self.known.entry.peer(), &scratch.input[kept..kept + came]);
    }

    /// Tells what is about to be sent; once, before the first `poll_send` of it.
    #[inline]
    pub(super) fn tell_sending(&self, bytes: &[u8]) {
        if self.known.shared.is_watched() {
            self.known.shared.tell_sending(self.known.entry.peer(), bytes);
        }
    }

    /// Writes `bytes[*sent..]`. While the peer does not read, nothing more is read from it, so memory stays bounded; and
    /// the connection counts as idle meanwhile.
    #[inline(always)] // once a request: worth 20 instructions
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8], sent: &mut usize) -> Poll<Result<(), End>> {
        while *sent < bytes.len() {
            match self.poll_write(cx, &bytes[*sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into())),
                Poll::Ready(Ok(written)) => *sent += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    self.known.entry.sending();
                    return Poll::Pending;
                }
            }
        }
        // Streams with a buffer of their own (TLS) write when they are flushed; sockets do nothing.
        if Pin::new(&mut self.io).poll_flush(cx)?.is_pending() {
            self.known.entry.sending();
            return Poll::Pending;
        }
        self.known.entry.sent();
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // A socket that can be written to, as nearly every one can, is written to without asking the runtime first.
        if let Some(socket) = (&self.io as &dyn Any).downcast_ref::<TcpStream>()
            && let Ok(written) = try_transmit(socket, bytes)
        {
            return Poll::Ready(Ok(written));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }
}

impl Known {
    /// Says why the connection has ended.
    pub(super) fn log(&self, end: &End) {
        let (server, peer) = (&self.shared.options.name, self.entry.peer());
        match end {
            End::Closed(0) | End::Stop => debug!(target: "dinrail::server", %server, %peer, "closed"),
            End::Closed(left) => {
                self.shared.count_line_error(LineError::Cut);
                debug!(target: "dinrail::server", %server, %peer, left, "closed by the peer within a frame");
            }
            End::Unframeable(length) => {
                self.shared.count_line_error(LineError::Length);
                debug!(
                    target: "dinrail::server", %server, %peer, length,
                    "closed: no frame has this length, so none can be found any more"
                );
            }
            End::Io(error) => debug!(target: "dinrail::server", %server, %peer, %error, "closed"),
        }
    }
}

impl Drop for Known {
    /// However it ends, by itself or by being cut off.
    fn drop(&mut self) {
        // Before a stop may return, which waits for the last connection to be released.
        self.shared.tell(|hooks| hooks.disconnected(self.entry.peer()));
        self.shared.release(&self.entry);
    }
}
