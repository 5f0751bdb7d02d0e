//! The floor: a bare epoll loop that copies a ready reply and validates nothing. It is what the kernel costs, and so
//! the unit that every server is measured in. All replies to one read go out in one write.

use std::io::{self, Write};

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::unix::pipe;
use mio::{Events, Interest, Poll, Token};

use super::input;
use crate::burst::{Burst, Leftover, Scratch};
use crate::frame::{Image, push_reply};

const LISTENER: Token = Token(usize::MAX);
const INPUT: Token = Token(usize::MAX - 1);

/// Serves until standard input closes.
pub(super) fn serve(listener: std::net::TcpListener) -> Result<()> {
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut input = input().map(pipe::Receiver::from);
    if let Some(input) = &mut input {
        poll.registry().register(input, INPUT, Interest::READABLE)?;
    }
    let mut floor = Floor {
        connections: Vec::new(),
        free: Vec::new(),
        image: Image::new(),
        scratch: Scratch::new(),
        replies: Vec::with_capacity(64 * 1024),
    };
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                INPUT => return Ok(()),
                LISTENER => floor.accept(&listener, &poll)?,
                Token(at) => floor.answer(at, event.is_read_closed()),
            }
        }
    }
}

struct Floor {
    connections: Vec<Option<(TcpStream, Leftover)>>,
    free: Vec<usize>,
    image: Image,
    scratch: Scratch,
    replies: Vec<u8>,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<()> {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
            self.connections[at] = Some((stream, Leftover::default()));
        }
        Ok(())
    }

    fn answer(&mut self, at: usize, closing: bool) {
        // An event of a connection that ended in this same round finds none.
        let Some((stream, leftover)) = &mut self.connections[at] else { return };
        loop {
            self.replies.clear();
            let mut known = true;
            let burst = self.scratch.read_frames(stream, leftover, |frame| {
                known &= push_reply(&mut self.replies, &self.image, frame).is_some();
            });
            // A reply that does not fit the socket's buffer ends the connection: the load never lets it come to that.
            let written = self.replies.is_empty()
                || stream.write(&self.replies).is_ok_and(|written| written == self.replies.len());
            match burst {
                _ if !known || !written => break,
                Burst::More => {}
                Burst::Drained if closing => {}
                Burst::Drained | Burst::Empty => return,
                Burst::Ended => break,
            }
        }
        self.connections[at] = None;
        self.free.push(at);
    }
}
