//! The short way of a call that has a line of TCP for itself, is sent at once and answered in one piece. Either it does all
//! that the usual way would, or nothing, and then the usual way goes on.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::ReadBuf;

use super::{Core, Link, Pump, ROOM};
use crate::client::io::Io;
use crate::proto::client::CallId;
use crate::proto::{Instant, Request, UnitId};

/// Bytes of the frame of a read.
const SHORT: usize = 12;

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
        let is_silent = match &self.link {
            Link::Up(Io::Tcp(socket)) => socket.poll_read_ready(cx).is_pending(),
            Link::Up(Io::Other(_)) => self.is_silent(cx),
            _ => false,
        };
        if !is_silent {
            return None;
        }
        let now = if self.pace.ticks_for(timeout) { None } else { Some(self.now()) };
        // As in `read_alone`: the stack is at hand.
        let mut short = [0; SHORT];
        let is_short = matches!(request, Request::Read { .. });
        let out = if is_short { &mut short[..] } else { &mut self.output };
        let (call, length) = self.connection.start_alone(now, unit, request, timeout, out)?;
        self.enter_sent(call, cx.waker());
        self.pump = Pump::Caller(call);
        match now {
            None => self.pace.goes_ahead(call),
            Some(now) => self.looked_at_clock(now, timeout),
        }
        let frame = if is_short { &short[..length] } else { &self.output[..length] };
        let written = match &self.link {
            Link::Up(stream) => stream.try_write(frame).unwrap_or(0),
            _ => length,
        };
        // Nearly always, the socket takes it whole.
        if written != length {
            if is_short {
                self.output[..length].copy_from_slice(&short[..length]);
            }
            self.write_rest(cx, written..length);
        }
        Some(call)
    }

    /// Of another stream than a socket: whether nothing has come.
    #[inline(never)]
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let mut bytes = [const { MaybeUninit::uninit() }; ROOM];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        let Link::Up(stream) = &mut self.link else { return false };
        let Poll::Ready(read) = stream.poll_read(cx, &mut buffer) else { return true };
        self.take_unexpected(read, buffer.filled());
        false
    }

    #[cold]
    fn looked_at_clock(&mut self, now: Instant, timeout: Duration) {
        self.pace.looked_at_clock(now, timeout);
        let deadline = now + timeout;
        // The next tick may be further away than a short timeout.
        self.arm(self.pace.next().map_or(deadline, |tick| tick.min(deadline)));
    }

    #[cold]
    fn write_rest(&mut self, cx: &mut Context<'_>, rest: Range<usize>) {
        self.pending = rest;
        let now = self.now();
        if let Err(failure) = self.write(cx, now) {
            self.lose(failure, now);
        }
    }

    /// Takes what has come though nobody awaited it, or what is not what was awaited, or the end of the stream.
    #[cold]
    fn take_unexpected(&mut self, read: io::Result<()>, bytes: &[u8]) {
        let now = self.now();
        self.input[..bytes.len()].copy_from_slice(bytes);
        let came = if bytes.is_empty() { read.map_err(Some).and(Err(None)) } else { Ok(()) };
        if let Err(failure) = came.and_then(|()| self.take_in(bytes.len(), now)) {
            self.lose(failure, now);
        }
    }

    /// Reads for the call that has been [sent alone](Self::send_alone) and pumps, and has `take` make something of its
    /// response where it lies; with that the call is over. Not ready when it does not pump any more, or when something else
    /// has come, or nothing.
    #[inline]
    pub(in crate::client) fn read_alone<T>(
        &mut self,
        cx: &mut Context<'_>,
        call: CallId,
        request: &Request<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<T> {
        if self.pump != Pump::Caller(call) || self.is_serial || self.filled > 0 {
            return Poll::Pending;
        }
        let Link::Up(stream) = &mut self.link else { return Poll::Pending };
        // The stack is in the processor's cache, and the input of this client among a hundred is not.
        let mut bytes = [const { MaybeUninit::uninit() }; ROOM];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        if let Err(error) = ready!(stream.poll_read(cx, &mut buffer)) {
            self.take_unexpected(Err(error), &[]);
            return Poll::Pending;
        }
        let Some(response) = self.connection.response_in(call, request, buffer.filled()) else {
            self.take_unexpected(Ok(()), buffer.filled());
            return Poll::Pending;
        };
        self.heard = true;
        debug_assert!(self.connection.is_idle() && self.queue.is_empty(), "a call that pumps is the only one");
        self.first.call = None;
        self.pump = Pump::Nobody;
        // Last, so that it is made where the caller wants it.
        Poll::Ready(take(response))
    }
}
