//! One connection: bytes in, requests to the service, replies out, in order.
//!
//! Everything that one read brings is answered with one write. The buffers belong to the thread, so a connection that
//! waits for bytes holds none; bytes of a frame that is not whole yet are kept aside until the rest comes.

mod ask;
mod concurrent;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::ReadBuf;
use tracing::debug;

use self::ask::Asker;
use super::entry::Entry;
use super::scratch::Scratch;
use super::shared::Shared;
use crate::proto::adu::{self, Decoded};
use crate::proto::pdu::MAX_PDU;
use crate::service::Service;
use crate::transport::Stream;

/// MBAP header: transaction, protocol, length, unit.
const HEADER: usize = 7;
/// The longest frame.
const MAX_FRAME: usize = HEADER + MAX_PDU;

/// Serves a connection until it ends, one way or another.
pub(super) async fn run<S: Service>(io: impl Stream, service: Arc<S>, shared: Arc<Shared>, entry: Arc<Entry>) {
    let mut connection = Connection { io, service, line: Line { shared, entry } };
    if let Some(hooks) = &connection.line.shared.hooks {
        hooks.connected(&connection.line.entry.peer);
    }
    let ended = if connection.line.shared.options.concurrency > 1 {
        // Its state is large and few want it: not in the state of every connection.
        Box::pin(concurrent::serve(&mut connection)).await
    } else {
        connection.serve().await
    };
    connection.line.log(&ended);
}

struct Connection<S, T> {
    io: T,
    service: Arc<S>,
    line: Line,
}

/// What the server knows of a connection.
struct Line {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
}

/// Why a connection ends.
enum End {
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

impl Line {
    fn log(&self, end: &End) {
        let (server, peer) = (&self.shared.options.name, &self.entry.peer);
        match end {
            End::Closed(0) | End::Stop => debug!(target: "dinrail::server", %server, %peer, "closed"),
            End::Closed(left) => {
                debug!(target: "dinrail::server", %server, %peer, left, "closed by the peer within a frame");
            }
            End::Unframeable(length) => debug!(
                target: "dinrail::server", %server, %peer, length,
                "closed: no frame has this length, so none can be found any more"
            ),
            End::Io(error) => debug!(target: "dinrail::server", %server, %peer, %error, "closed"),
        }
    }
}

impl Drop for Line {
    /// However it ends, by itself or by being cut off.
    fn drop(&mut self) {
        self.shared.release(&self.entry);
        if let Some(hooks) = &self.shared.hooks {
            hooks.disconnected(&self.entry.peer);
        }
    }
}

impl<S: Service, T: Stream> Connection<S, T> {
    async fn serve(&mut self) -> End {
        let mut kept = Vec::new();
        loop {
            let (mut scratch, filled) = match self.fill(&mut kept).await {
                Ok(filled) => filled,
                Err(end) => return end,
            };
            if !self.line.entry.begin(self.line.shared.coarse_now()) {
                return End::Stop;
            }
            let (used, requests) = match self.answer(&mut scratch, filled).await {
                Ok(answered) => answered,
                Err(end) => return end,
            };
            kept.extend_from_slice(&scratch.input[used..filled]);
            scratch.give_back();
            if !self.line.entry.end() {
                return End::Stop;
            }
            if let Some(rate) = &self.line.entry.rate {
                let wait = rate.take(requests, self.line.shared.now());
                if !wait.is_zero() {
                    Box::pin(tokio::time::sleep(wait)).await;
                }
            }
        }
    }

    /// Waits for bytes, without a buffer. Gives them behind those that were `kept`, and how many there are in all.
    async fn fill(&mut self, kept: &mut Vec<u8>) -> Result<(Box<Scratch>, usize), End> {
        let (scratch, filled) = poll_fn(|cx| self.poll_fill(cx, kept)).await?;
        if filled == kept.len() {
            scratch.give_back();
            return Err(End::Closed(kept.len()));
        }
        if let Some(hooks) = &self.line.shared.hooks {
            hooks.received(&self.line.entry.peer, &scratch.input[kept.len()..filled]);
        }
        if !kept.is_empty() {
            // Given up, not cleared: an idle connection holds no buffer.
            *kept = Vec::new();
        }
        Ok((scratch, filled))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, kept: &[u8]) -> Poll<io::Result<(Box<Scratch>, usize)>> {
        let mut scratch = Scratch::take();
        let mut buffer = ReadBuf::new(&mut scratch.input[kept.len()..]);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                let filled = kept.len() + buffer.filled().len();
                scratch.input[..kept.len()].copy_from_slice(kept);
                Poll::Ready(Ok((scratch, filled)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                scratch.give_back();
                Poll::Pending
            }
        }
    }

    /// Answers every whole request in the first `filled` bytes of the input. Returns how many bytes that took, and how
    /// many requests there were.
    async fn answer(&mut self, scratch: &mut Scratch, filled: usize) -> Result<(usize, u64), End> {
        let Self { io, service, line } = self;
        let Scratch { input, output } = scratch;
        let asker = Asker { service: &**service, shared: &line.shared, peer: &line.entry.peer };
        // Replies in `output[sent..end]` are still to be written.
        let (mut used, mut sent, mut end) = (0, 0, 0);
        let (mut requests, mut exceptions) = (0, 0);
        // When a service first made the batch wait: about when its requests came.
        let mut waiting_since = None;
        let unframeable = loop {
            let adu = match adu::decode_mbap(&input[used..filled]) {
                Decoded::Frame { adu, length } => {
                    used += length;
                    adu
                }
                Decoded::Skip { length, .. } => {
                    used += length;
                    continue;
                }
                Decoded::Incomplete => break None,
                Decoded::Unframeable { length } => break Some(length),
            };
            requests += 1;
            if output.len() - end < MAX_FRAME {
                line.send(io, &output[sent..end]).await?;
                (sent, end) = (0, 0);
            }
            let (ready, rest) = output.split_at_mut(end);
            let frame = &mut rest[..MAX_FRAME];
            let reply = if asker.is_late(waiting_since) {
                asker.too_late()
            } else {
                let mut asked = pin!(asker.ask(adu.unit, adu.pdu, &mut frame[HEADER..]));
                match poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await {
                    Poll::Ready(reply) => reply,
                    Poll::Pending => {
                        // Replies that are ready do not wait for the one that takes its time.
                        line.send(io, &ready[sent..]).await?;
                        sent = end;
                        let since = *waiting_since.get_or_insert_with(Instant::now);
                        asker.wait(asked, adu, since).await
                    }
                }
            };
            if let Some(length) = ask::finish_frame(reply, &adu, frame) {
                exceptions += u64::from(frame[HEADER] >> 7);
                end += length;
            }
        };
        line.send(io, &output[sent..end]).await?;
        line.shared.count(requests, exceptions);
        match unframeable {
            Some(length) => Err(End::Unframeable(length)),
            None => Ok((used, requests)),
        }
    }
}

impl Line {
    /// Writes all of `bytes`. While the peer does not read them nothing more is read from it, so memory stays bounded;
    /// and the connection counts as idle.
    async fn send(&self, io: &mut impl Stream, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(hooks) = &self.shared.hooks {
            hooks.sending(&self.entry.peer, bytes);
        }
        let mut rest = bytes;
        let mut stalled = false;
        while !rest.is_empty() {
            let written = poll_fn(|cx| {
                let polled = Pin::new(&mut *io).poll_write(cx, rest);
                if polled.is_pending() && !stalled {
                    stalled = true;
                    self.entry.sending();
                }
                polled
            });
            match written.await? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                written => rest = &rest[written..],
            }
        }
        // Streams with a buffer of their own (TLS) write when they are flushed.
        poll_fn(|cx| Pin::new(&mut *io).poll_flush(cx)).await?;
        if stalled && !self.entry.sent() { Err(End::Stop) } else { Ok(()) }
    }
}
