//! The short way of a call that has a line of TCP for itself, is sent at once and answered in one piece. Either it does all
//! that the usual way would, or nothing, and then the usual way goes on.

use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;

use super::{Core, Link, Pump, ROOM};
use crate::proto::client::CallId;
use crate::proto::{Request, UnitId};

impl Core {
    /// Sends a request that has the line for itself, and says which call it is. `None` when it has not, or when anything
    /// else is out of the ordinary: then the request is not started.
    #[inline]
    pub(in crate::client) fn send_alone(
        &mut self,
        cx: &mut Context<'_>,
        unit: UnitId,
        request: &Request<'_>,
        timeout: Duration,
    ) -> Option<CallId> {
        if self.pump != Pump::Nobody || self.filled > 0 || !self.pending.is_empty() {
            return None;
        }
        // Reading comes first: what is sent must not go into a connection that the peer has closed already.
        let mut bytes = [const { MaybeUninit::uninit() }; ROOM];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        if let Poll::Ready(came) = self.link.fill(cx, &mut buffer) {
            self.take_unexpected(came, buffer.filled());
            return None;
        }
        let tick = self.pace.tick_for(timeout);
        let now = tick.unwrap_or_else(|| self.now());
        let (call, length) = self.connection.start_alone(now, unit, request, timeout, &mut self.output)?;
        let deadline = now + timeout;
        self.enter(call, cx.waker(), deadline, timeout);
        self.pump = Pump::Caller(call);
        if tick.is_some() {
            self.pace.goes_ahead(call);
        } else {
            self.pace.looked_at_clock(now, timeout);
            self.arm(self.pace.next().unwrap_or(deadline));
        }
        self.write_alone(cx, length);
        Some(call)
    }

    /// Writes the frame at the front of `output`: nearly always, the socket takes it whole.
    #[inline]
    fn write_alone(&mut self, cx: &mut Context<'_>, length: usize) {
        let Link::Up(stream) = &self.link else { return };
        let written = stream.try_write(&self.output[..length]).unwrap_or(0);
        if written == length {
            return;
        }
        self.pending = written..length;
        let now = self.now();
        if let Err(failure) = self.write(cx, now) {
            self.lose(failure, now);
        }
    }

    /// Takes what has come though nobody awaited it, or what is not what was awaited, or the end of the stream.
    #[cold]
    fn take_unexpected(&mut self, came: Result<(), Option<io::Error>>, bytes: &[u8]) {
        let now = self.now();
        self.input[..bytes.len()].copy_from_slice(bytes);
        if let Err(failure) = came.and_then(|()| self.take_in(bytes.len(), now)) {
            self.lose(failure, now);
        }
    }

    /// Reads for the call that has been [sent alone](Self::send_alone) and pumps, and has `take` make something of its
    /// response where it lies; with that the call is over. `None` when it does not pump any more, or when something else
    /// has come, or nothing.
    #[inline]
    pub(in crate::client) fn read_alone<T>(
        &mut self,
        cx: &mut Context<'_>,
        call: CallId,
        request: &Request<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        if self.pump != Pump::Caller(call) || self.is_serial || self.filled > 0 {
            return None;
        }
        // The stack is in the processor's cache, and the input of this client among a hundred is not.
        let mut bytes = [const { MaybeUninit::uninit() }; ROOM];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        let came = match self.link.fill(cx, &mut buffer) {
            Poll::Ready(came) => came,
            Poll::Pending => return None,
        };
        if let Some(response) = self.connection.response_in(call, request, buffer.filled()) {
            let taken = take(response);
            self.heard = true;
            debug_assert!(self.connection.is_idle() && self.queue.is_empty(), "a call that pumps is the only one");
            self.caller(call).call = None;
            self.pump = Pump::Nobody;
            return Some(taken);
        }
        self.take_unexpected(came, buffer.filled());
        None
    }
}
