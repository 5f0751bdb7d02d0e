//! The floor's canned replies on tokio's current_thread runtime: what the runtime costs over the bare loop, and so the
//! least that any server on it can cost. It is no peer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Result;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::runtime;
use crate::burst::{Burst, Leftover, Scratch};
use crate::frame::{Image, push_reply};

/// Serves until standard input closes.
pub(super) fn serve(listener: std::net::TcpListener) -> Result<()> {
    runtime()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut leftover = Leftover::default();
                poll_fn(|cx| SHARED.with_borrow_mut(|shared| shared.answer(cx, &mut stream, &mut leftover))).await;
            });
        }
    })
}

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::new(Shared {
        image: Image::new(),
        scratch: Scratch::new(),
        replies: Vec::with_capacity(64 * 1024),
    });
}

/// What all connections of the thread share.
struct Shared {
    image: Image,
    scratch: Scratch,
    replies: Vec<u8>,
}

impl Shared {
    /// Answers all there is; ready when the connection has ended.
    fn answer(&mut self, cx: &mut Context<'_>, stream: &mut TcpStream, leftover: &mut Leftover) -> Poll<()> {
        loop {
            self.replies.clear();
            let mut known = true;
            let burst = self.scratch.read_frames(&mut Polled { stream, cx }, leftover, |frame| {
                known &= push_reply(&mut self.replies, &self.image, frame).is_some();
            });
            let written = self.replies.is_empty()
                || stream.try_write(&self.replies).is_ok_and(|written| written == self.replies.len());
            match burst {
                _ if !known || !written => return Poll::Ready(()),
                // After a short read tokio knows that the socket is empty: the next read costs no system call.
                Burst::More | Burst::Drained => {}
                Burst::Empty => return Poll::Pending,
                Burst::Ended => return Poll::Ready(()),
            }
        }
    }
}

/// A read that wakes the task when it would have blocked.
struct Polled<'a, 'w> {
    stream: &'a mut TcpStream,
    cx: &'a mut Context<'w>,
}

impl Read for Polled<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
