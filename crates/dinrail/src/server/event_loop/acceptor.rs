//! Accepting connections on an event loop. A connection that had to be handed over by another thread would wait for both
//! threads to run, and while ten thousand masters connect at once the system's queue would run over: each that is turned
//! away there tries again only after a second.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use crate::server::accept::{Gate, Listening};
use crate::server::connection::Known;
use crate::service::Peer;
use crate::transport;

/// Connections that are accepted before those that are open get a turn: some tenths of a millisecond.
const TURN: usize = 64;

pub(in crate::server) struct Acceptor {
    listener: mio::net::TcpListener,
    keep_alive: Option<TcpKeepalive>,
    /// There may be connections in the system's queue.
    ready: bool,
    /// After an error: when to try again.
    paused_until: Option<Instant>,
    /// Dropped after the listener: who waits for the end of the listening finds the port free.
    gate: Gate,
}

impl Acceptor {
    pub(in crate::server) fn new(listener: TcpListener, listening: Listening) -> Self {
        let gate = Gate::new(listening);
        let keep_alive = transport::TcpListener::keep_alive(&gate.shared().options);
        let listener = mio::net::TcpListener::from_std(listener);
        Self { listener, keep_alive, ready: true, paused_until: None, gate }
    }

    /// How many connections may be open at once.
    pub(super) fn max_connections(&self) -> usize {
        self.gate.shared().options.max_connections
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.listener, token, Interest::READABLE)
    }

    /// The server's name.
    pub(super) fn server(&self) -> &str {
        &self.gate.shared().options.name
    }

    /// A connection has come.
    pub(super) fn note(&mut self) {
        self.ready = true;
    }

    /// Whether there is something to do now.
    pub(super) fn is_due(&self) -> bool {
        self.ready && self.paused_until.is_none_or(|until| until <= Instant::now())
    }

    /// How long the loop may wait for events; `None` for as long as it likes.
    pub(super) fn wait(&self) -> Option<Duration> {
        let pause = |until: Instant| until.saturating_duration_since(Instant::now());
        self.ready.then(|| self.paused_until.map_or(Duration::ZERO, pause))
    }

    /// Accepts for one turn, and gives `take` those that have been admitted.
    pub(super) fn accept(&mut self, mut take: impl FnMut(TcpStream, Known)) {
        self.paused_until = None;
        // The end of the listening is on its way; nobody must come in behind it.
        if self.gate.shared().is_stopping() {
            self.ready = false;
            return;
        }
        for _ in 0..TURN {
            match self.listener.accept() {
                Ok((io, address)) => {
                    transport::TcpListener::set_up(&SockRef::from(&io), self.keep_alive.as_ref());
                    if let Some(known) = self.gate.admit(Peer::at(address)) {
                        take(io, known);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready = false;
                    return;
                }
                Err(error) => {
                    let pause = self.gate.failed(&error);
                    if !pause.is_zero() {
                        self.paused_until = Some(Instant::now() + pause);
                        return;
                    }
                }
            }
        }
    }
}
