//! Connections on an event loop of their own: for services that answer at once, the least that a server can cost.
//!
//! What tokio's runtime adds to a request (tasks, wakers, timers) is of no use to a request that is answered when it is
//! read. So a thread waits for events of sockets by itself, and lets the same code answer that a runtime's task would
//! run ([`Progress`]). From the first request on that is not answered at once, its connection moves to the runtime.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Token};
use slab::Slab;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tracing::{debug, error};

use super::accept::Place;
use super::connection::{self, Known, Left, Line, Progress};
use super::entry::Keeper;
use crate::service::Service;

/// Sockets whose events are taken at once.
const EVENTS: usize = 1024;
/// Reads of one connection before others get a turn.
const TURN: u8 = 32;
/// The event of a command.
const COMMANDS: Token = Token(usize::MAX);

/// Starts a loop on a thread of its own; it ends when the place where connections are handed over is dropped and every
/// connection is closed. `runtime` serves those that leave it.
pub(super) fn start<S: Service>(name: &str, service: Arc<S>, runtime: Handle) -> io::Result<Sockets> {
    let poll = mio::Poll::new()?;
    let waker = mio::Waker::new(poll.registry(), COMMANDS)?;
    let remote = Remote(Arc::new(Inbox { commands: Mutex::new(Some(Vec::new())), waker }));
    let this = Loop { poll, remote: remote.clone(), connections: Slab::new(), service, runtime, closing: false };
    thread::Builder::new().name(name.to_owned()).spawn(move || this.run())?;
    Ok(Sockets { remote, accepted: Vec::new() })
}

/// Hands connections over to the loop, all at once that come at once; dropping it lets the loop end.
pub(super) struct Sockets {
    remote: Remote,
    accepted: Vec<(std::net::TcpStream, Known)>,
}

impl Place<TcpStream> for Sockets {
    fn take(&mut self, io: TcpStream, known: Known) {
        match io.into_std() {
            Ok(io) => self.accepted.push((io, known)),
            Err(error) => debug!(target: "dinrail::server", peer = %known.entry.peer(), %error, "closed"),
        }
    }

    fn flush(&mut self) {
        if !self.accepted.is_empty() {
            self.remote.send(Command::Adopt(std::mem::take(&mut self.accepted)));
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.flush();
        self.remote.send(Command::End);
    }
}

/// Says from another thread what a loop is to do.
#[derive(Clone)]
pub(super) struct Remote(Arc<Inbox>);

struct Inbox {
    /// `None` when the loop has ended.
    commands: Mutex<Option<Vec<Command>>>,
    waker: mio::Waker,
}

enum Command {
    Adopt(Vec<(std::net::TcpStream, Known)>),
    /// End a connection that has been marked to end.
    Close(usize),
    /// No more connections will come.
    End,
}

impl Remote {
    /// Ends the connection of this key, if it is marked to end.
    pub(super) fn close(&self, key: usize) {
        self.send(Command::Close(key));
    }

    fn send(&self, command: Command) {
        let first = match &mut *self.0.commands.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(commands) => {
                commands.push(command);
                commands.len() == 1
            }
            // With the loop its connections have ended; a new one ends here.
            None => false,
        };
        // The first command wakes the loop for all that come before it looks.
        if first && let Err(error) = self.0.waker.wake() {
            error!(target: "dinrail::server", %error, "cannot wake the event loop");
        }
    }

    fn commands(&self) -> Vec<Command> {
        let mut commands = self.0.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// No more commands are taken; those that were not obeyed are dropped, and with them their connections.
    fn end(&self) {
        let left = self.0.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(left);
    }
}

struct Loop<S> {
    poll: mio::Poll,
    remote: Remote,
    connections: Slab<(Line<Socket>, Progress)>,
    service: Arc<S>,
    runtime: Handle,
    closing: bool,
}

impl<S> Drop for Loop<S> {
    fn drop(&mut self) {
        self.remote.end();
    }
}

impl<S: Service> Loop<S> {
    fn run(mut self) {
        // Callbacks may start tasks, and find the runtime that this server has.
        let runtime = self.runtime.clone();
        let _inside = runtime.enter();
        let mut events = Events::with_capacity(EVENTS);
        // Connections whose turn was over before they had read everything.
        let mut again: Vec<usize> = Vec::new();
        while !(self.closing && self.connections.is_empty()) {
            let wait = if again.is_empty() { None } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    error!(target: "dinrail::server", %error, "the event loop cannot wait for events: its connections end");
                    return;
                }
            }
            for key in std::mem::take(&mut again) {
                self.turn(key, &mut again);
            }
            for event in &events {
                match event.token() {
                    COMMANDS => self.obey(),
                    Token(key) => {
                        if let Some((line, _)) = self.connections.get_mut(key) {
                            line.io.note(event);
                            self.turn(key, &mut again);
                        }
                    }
                }
            }
        }
    }

    /// Lets a connection go on as far as it can, for one turn.
    fn turn(&mut self, key: usize, again: &mut Vec<usize>) {
        let Some((line, progress)) = self.connections.get_mut(key) else {
            return;
        };
        line.io.turn = TURN;
        // Nobody needs to be woken: the next event does that.
        match progress.poll(&mut Context::from_waker(Waker::noop()), line, &*self.service) {
            Poll::Pending if line.io.turn == 0 => again.push(key),
            Poll::Pending => {}
            Poll::Ready(Left::Ended(end)) => {
                line.known.log(&end);
                drop(self.connections.remove(key));
            }
            Poll::Ready(Left::Slow(batch)) => {
                let (Line { io, known }, _) = self.connections.remove(key);
                let entry = known.entry.clone();
                let (service, peer) = (self.service.clone(), entry.peer().clone());
                match io.into_runtime(&self.poll) {
                    Ok(io) => {
                        let line = Line { io, known };
                        let task = self.runtime.spawn(connection::run_waiting(line, service, batch));
                        entry.set_keeper(Keeper::Task(task.abort_handle()));
                    }
                    Err(error) => debug!(target: "dinrail::server", %peer, %error, "closed"),
                }
            }
        }
    }

    fn obey(&mut self) {
        for command in self.remote.commands() {
            match command {
                Command::Adopt(accepted) => accepted.into_iter().for_each(|(io, known)| self.adopt(io, known)),
                // The key may belong to another connection by now, which is not to end.
                Command::Close(key) => {
                    let ending = |(line, _): &(Line<Socket>, _)| line.known.entry.is_ending();
                    if self.connections.get(key).is_some_and(ending) {
                        drop(self.connections.remove(key));
                    }
                }
                Command::End => self.closing = true,
            }
        }
    }

    fn adopt(&mut self, io: std::net::TcpStream, known: Known) {
        let mut io = mio::net::TcpStream::from_std(io);
        let place = self.connections.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut io, Token(place.key()), interest) {
            debug!(target: "dinrail::server", peer = %known.entry.peer(), %error, "closed");
            return;
        }
        let entry = known.entry.clone();
        let key = place.key();
        place.insert((Line { io: Socket::new(io), known }, Progress::default()));
        entry.set_keeper(Keeper::Loop(self.remote.clone(), key));
    }
}

/// A socket on the loop. It is read and written without asking whether that is possible, until it says that it is not;
/// the next event says that it is again.
struct Socket {
    io: mio::net::TcpStream,
    readable: bool,
    writable: bool,
    /// The peer has closed: there is no other event that would say so.
    closed: bool,
    /// Reads that are left in this turn.
    turn: u8,
}

impl Socket {
    fn new(io: mio::net::TcpStream) -> Self {
        Self { io, readable: true, writable: true, closed: false, turn: TURN }
    }

    fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable();
        // A write tells what is wrong with a socket that has failed.
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.closed |= event.is_read_closed() || event.is_error();
    }

    /// Moves it to the runtime that this runs in.
    fn into_runtime(mut self, poll: &mio::Poll) -> io::Result<TcpStream> {
        poll.registry().deregister(&mut self.io)?;
        TcpStream::from_std(self.io.into())
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !(this.readable || this.closed) || this.turn == 0 {
            return Poll::Pending;
        }
        loop {
            let room = buffer.initialize_unfilled();
            let asked = room.len();
            match this.io.read(room) {
                Ok(read) => {
                    this.turn -= 1;
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
            match this.io.write(bytes) {
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
