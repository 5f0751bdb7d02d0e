//! Connections on an event loop of their own: for services that answer at once, the least that a server can cost.
//!
//! What tokio's runtime adds to a request (tasks, wakers, timers) is of no use to a request that is answered when it is
//! read. So a thread waits for events of sockets by itself, and lets the same code answer that a runtime's task would
//! run ([`Progress`]). From the first request on that is not answered at once, its connection moves to the runtime.

mod acceptor;
mod remote;
mod socket;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use mio::{Events, Interest, Token};
use slab::Slab;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tracing::error;

pub(super) use self::acceptor::Acceptor;
pub(super) use self::remote::Remote;
use self::remote::{COMMANDS, Command};
use self::socket::{Socket, TURN};
use super::connection::{self, Known, Left, Line, Progress};
use super::descriptors;
use super::entry::Keeper;
use crate::service::Service;

/// Sockets whose events are taken at once.
const EVENTS: usize = 1024;
/// The event of the listener.
const LISTENER: Token = Token(usize::MAX - 1);

/// Starts a loop on a thread of its own. It accepts until what this returns is dropped, and ends when every connection is
/// closed as well. `runtime` serves those that leave it.
pub(super) fn start<S: Service>(
    name: &str,
    service: Arc<S>,
    runtime: Handle,
    mut acceptor: Acceptor,
) -> io::Result<Accepting> {
    let poll = mio::Poll::new()?;
    acceptor.register(poll.registry(), LISTENER)?;
    let remote = Remote::new(poll.registry(), acceptor.server())?;
    let server = acceptor.server().to_owned();
    let acceptor = Some(acceptor);
    let this = Loop { poll, remote: remote.clone(), acceptor, connections: Slab::new(), server, service, runtime };
    thread::Builder::new().name(name.to_owned()).spawn(move || this.run())?;
    Ok(Accepting(remote))
}

/// As long as it lives, the loop accepts connections.
pub(super) struct Accepting(Remote);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.send(Command::End);
    }
}

struct Loop<S> {
    poll: mio::Poll,
    remote: Remote,
    /// `None` once the server stops.
    acceptor: Option<Acceptor>,
    connections: Slab<(Line<Socket>, Progress)>,
    /// The server's name, for the log.
    server: String,
    service: Arc<S>,
    runtime: Handle,
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
        if let Some(acceptor) = &self.acceptor {
            descriptors::make_room(acceptor.max_connections());
        }
        let mut events = Events::with_capacity(EVENTS);
        // Connections whose turn was over before they had read everything.
        let mut again: Vec<usize> = Vec::new();
        while self.acceptor.is_some() || !self.connections.is_empty() {
            let wait = match &self.acceptor {
                _ if !again.is_empty() => Some(Duration::ZERO),
                Some(acceptor) => acceptor.wait(),
                None => None,
            };
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let server = &self.server;
                    error!(target: "dinrail::server", %server, %error, "the event loop cannot wait for events: its connections end");
                    return;
                }
            }
            for key in std::mem::take(&mut again) {
                self.turn(key, &mut again);
            }
            for event in &events {
                match event.token() {
                    COMMANDS => self.obey(),
                    LISTENER => self.acceptor.iter_mut().for_each(Acceptor::note),
                    Token(key) => {
                        if let Some((line, _)) = self.connections.get_mut(key) {
                            line.io.note(event);
                            self.turn(key, &mut again);
                        }
                    }
                }
            }
            self.accept();
        }
    }

    /// Takes connections that wait to be accepted, for one turn.
    fn accept(&mut self) {
        // Most rounds have none.
        if let Some(mut acceptor) = self.acceptor.take_if(|acceptor| acceptor.is_due()) {
            acceptor.accept(|io, known| self.adopt(io, known));
            self.acceptor = Some(acceptor);
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
                let (mut line, _) = self.connections.remove(key);
                line.known.log(&end);
                // It may have had its turn.
                line.io.turn = TURN;
                if line.is_to_hear_out(&end) {
                    self.hand_over(line, Line::hear_out);
                }
            }
            Poll::Ready(Left::Slow(batch)) => {
                let (line, _) = self.connections.remove(key);
                let service = self.service.clone();
                self.hand_over(line, |line| connection::run_waiting(line, service, batch));
            }
        }
    }

    /// Lets the runtime go on with a connection.
    fn hand_over<F>(&self, line: Line<Socket>, go_on: impl FnOnce(Line<TcpStream>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Line { io, known } = line;
        let entry = known.entry.clone();
        match io.into_runtime(&self.poll) {
            Ok(io) => {
                let task = self.runtime.spawn(go_on(Line { io, known }));
                entry.set_keeper(Keeper::Task(task.abort_handle()));
            }
            Err(error) => known.log(&error.into()),
        }
    }

    fn obey(&mut self) {
        for command in self.remote.commands() {
            match command {
                // The key may belong to another connection by now, which is not to end.
                Command::Close(key) => {
                    let is_cut = |(line, _): &(Line<Socket>, _)| line.known.entry.is_cut();
                    if self.connections.get(key).is_some_and(is_cut) {
                        drop(self.connections.remove(key));
                    }
                }
                Command::End => self.acceptor = None,
            }
        }
    }

    fn adopt(&mut self, mut io: mio::net::TcpStream, known: Known) {
        let place = self.connections.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut io, Token(place.key()), interest) {
            return known.log(&error.into());
        }
        let entry = known.entry.clone();
        let key = place.key();
        place.insert((Line { io: Socket::new(io), known }, Progress::default()));
        entry.set_keeper(Keeper::Loop(self.remote.clone(), key));
    }
}
