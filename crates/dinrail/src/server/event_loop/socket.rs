//! A connection's socket on an event loop, as a stream like others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use mio::event::Event;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::transport::direct::{receive, transmit};

/// Bytes that are read of one connection before others get a turn: some 5000 of the commonest request.
pub(super) const TURN: usize = 64 * 1024;
/// What a read counts as that brings less.
const LEAST: usize = TURN / 32;

/// A socket on the loop. It is read and written without asking whether that is possible, until it says that it is not;
/// the next event says that it is again.
pub(super) struct Socket {
    io: mio::net::TcpStream,
    readable: bool,
    writable: bool,
    /// The peer has closed: there is no other event that would say so.
    closed: bool,
    /// Bytes that are left in this turn.
    pub(super) turn: usize,
}

impl Socket {
    pub(super) fn new(io: mio::net::TcpStream) -> Self {
        Self { io, readable: true, writable: true, closed: false, turn: TURN }
    }

    pub(super) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable();
        // A write tells what is wrong with a socket that has failed.
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.closed |= event.is_read_closed() || event.is_error();
    }

    /// Moves it to the runtime that this runs in.
    pub(super) fn into_runtime(mut self, poll: &mio::Poll) -> io::Result<TcpStream> {
        poll.registry().deregister(&mut self.io)?;
        TcpStream::from_std(self.io.into())
    }
}

impl AsyncRead for Socket {
    // Twice a request. Called, it costs 120 instructions more, and whether it is called changed with code far from here.
    #[inline(always)]
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !(this.readable || this.closed) || this.turn == 0 {
            return Poll::Pending;
        }
        loop {
            let room = buffer.initialize_unfilled();
            let asked = room.len();
            match receive(&this.io, room) {
                Ok(read) => {
                    this.turn = this.turn.saturating_sub(read.max(LEAST));
                    // A short read has emptied the socket: the system tells when there is more.
                    this.readable = read == asked;
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    this.readable = false;
                    return Poll::Pending;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        while this.writable {
            match transmit(&this.io, bytes) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => this.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Pending
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.io.shutdown(std::net::Shutdown::Write))
    }
}
