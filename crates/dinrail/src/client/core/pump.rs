//! Pumping: reading, writing, handing out replies, and what is due at its time.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::{Core, Link, Pump};
use crate::proto::Instant;
use crate::proto::client::CallId;
use crate::transport::Burst;

/// Reads in one go, before others get a turn.
const MAX_ROUNDS: usize = 32;

impl Link {
    /// Reads into `buffer`, and fails when nothing more will come.
    #[inline]
    pub(super) fn fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Option<io::Error>>> {
        let Self::Up(stream) = self else { return Poll::Pending };
        ready!(stream.poll_read(cx, buffer)).map_err(Some)?;
        Poll::Ready(if buffer.filled().is_empty() { Err(None) } else { Ok(()) })
    }
}

impl Core {
    /// Reads and writes as far as the stream allows, in the context of whoever is woken when it allows more. An error
    /// is the end of the connection; `None` when the peer closed it. Stops when the call `until` has ended.
    pub(in crate::client) fn pump(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        until: Option<CallId>,
    ) -> Result<(), Option<io::Error>> {
        for _ in 0..MAX_ROUNDS {
            // Reading comes first: what is sent must not go into a connection that the peer has closed already.
            match self.read(cx, now) {
                Poll::Ready(read) => read?,
                Poll::Pending => return self.write(cx, now),
            }
            if until.is_some_and(|call| self.connection.has_ended(call)) {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        self.write(cx, now)
    }

    #[inline]
    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), Option<io::Error>> {
        let Link::Up(stream) = &mut self.link else { return Ok(()) };
        loop {
            if self.pending.is_empty() {
                match self.connection.poll_transmit(now, &mut self.output[..self.send_room]) {
                    Some(length) => self.pending = 0..length,
                    None => break,
                }
            }
            match stream.poll_write(cx, &self.output[self.pending.clone()]) {
                Poll::Ready(Ok(0)) => return Err(Some(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.pending.start += written,
                Poll::Ready(Err(error)) => return Err(Some(error)),
                Poll::Pending => return Ok(()),
            }
            self.unflushed = true;
        }
        if self.unflushed {
            match stream.poll_flush(cx) {
                Poll::Ready(flushed) => flushed.map_err(Some)?,
                Poll::Pending => return Ok(()),
            }
            self.unflushed = false;
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), Option<io::Error>>> {
        let mut buffer = ReadBuf::new(&mut self.input[self.filled..]);
        ready!(self.link.fill(cx, &mut buffer))?;
        let read = buffer.filled().len();
        Poll::Ready(self.take_in(read, now))
    }

    /// Takes in what has come while nobody read, the end of the connection among it.
    pub(in crate::client) fn look(&mut self) {
        if matches!(self.pump, Pump::Caller(_)) {
            return;
        }
        // What comes later is the driver's to read, as it was.
        let driver = self.driver.clone();
        let now = self.now();
        if let Err(failure) = self.pump(&mut Context::from_waker(&driver), now, None) {
            self.lose(failure, now);
        }
        self.wake_callers();
    }

    /// Shows so many new bytes to the protocol.
    pub(super) fn take_in(&mut self, read: usize, now: Instant) -> Result<(), Option<io::Error>> {
        self.heard = true;
        let end = self.filled + read;
        if self.burst == Burst::EachRead {
            // Whatever is wrong with a datagram ends with it.
            if end == self.input.len() {
                self.cut += read as u64;
            } else {
                self.connection.end_of_burst(&mut self.input[..end]);
            }
            return Ok(());
        }
        let used = self
            .connection
            .handle_input(now, &mut self.input[..end])
            .map_err(|unframeable| Some(io::Error::new(io::ErrorKind::InvalidData, unframeable)))?;
        self.input.copy_within(used..end, 0);
        self.filled = end - used;
        self.burst_end = match self.burst {
            Burst::Silence(gap) if self.filled > 0 => {
                self.burst_over = now + gap.max(self.patience);
                Some(now + gap)
            }
            _ => None,
        };
        Ok(())
    }

    /// Has the calls that did not look at the clock know that it is `now`.
    pub(in crate::client) fn tick(&mut self, now: Instant) {
        if let Some(call) = self.pace.tick(now) {
            self.connection.sent_at(call, now);
        }
    }

    /// Ends what is due at `now`: calls, and a burst that has been followed by silence. An error when the peer has been
    /// silent for too long, as [`pump`](Self::pump)'s.
    pub(in crate::client) fn handle_timeout(&mut self, now: Instant) -> Result<(), Option<io::Error>> {
        if self.burst_end.is_some_and(|end| end <= now) {
            self.end_burst(now);
        }
        match self.connection.handle_timeout(now) {
            None => Ok(()),
            Some(sent) => self.hear_nothing(sent, now),
        }
    }

    /// The line has been silent for a while: a part of a frame is kept for as long as its rest may come.
    fn end_burst(&mut self, now: Instant) {
        let filled = self.filled;
        self.burst_end = None;
        if now >= self.burst_over {
            self.filled = 0;
            return self.connection.end_of_burst(&mut self.input[..filled]);
        }
        let used = self.connection.pause(&mut self.input[..filled]);
        self.input.copy_within(used..filled, 0);
        self.filled = filled - used;
        if self.filled > 0 {
            self.burst_end = Some(self.burst_over);
        }
    }

    /// Wakes those whose calls have ended, and those for whom there is a slot now.
    pub(in crate::client) fn wake_callers(&mut self) {
        while let Some(call) = self.connection.poll() {
            let caller = self.caller(call);
            if caller.call == Some(call) {
                caller.waker.wake_by_ref();
            }
        }
        self.grant();
    }
}
