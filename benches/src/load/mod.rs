//! The load: one thread, one epoll, N connections with D requests in flight on each, every reply checked in full.
//!
//! It is also the bare client that the other clients are measured against. `connection` is one socket and the requests
//! open on it; `outcome` is what came of a run.

mod connection;
mod outcome;

use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use self::connection::{Connection, Shared};
pub use self::outcome::Outcome;
use crate::frame::Kind;

/// Without any reply for this long, what is still open is lost.
const STALL: Duration = Duration::from_secs(1);

/// Connections opened before each is made to answer: fewer than the backlog of 100 that some peers listen with.
const CHUNK: usize = 64;

/// The load on one server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub target: SocketAddr,
    /// How many connections.
    pub connections: usize,
    /// How many requests are kept in flight on each.
    pub depth: usize,
    /// What is asked.
    pub kind: Kind,
}

/// When a run asks no more; what is open then is still awaited.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many requests.
    Asked(u64),
}

impl Until {
    /// How many more may be asked.
    fn allowance(self, elapsed: Duration, asked: u64) -> u64 {
        match self {
            Self::Elapsed(limit) if elapsed < limit => u64::MAX,
            Self::Elapsed(_) => 0,
            Self::Asked(limit) => limit.saturating_sub(asked),
        }
    }
}

/// A load whose connections stand.
pub struct Load {
    poll: Poll,
    connections: Vec<Connection>,
    shared: Shared,
    depth: usize,
}

impl Load {
    /// Opens the plan's connections, each of them proved by one right reply, so that no server is measured while it is
    /// still accepting.
    pub fn connect(plan: &Plan) -> Result<Self> {
        let mut load = Self {
            poll: Poll::new().context("epoll can't be had; raise the limit of open files")?,
            connections: Vec::with_capacity(plan.connections),
            shared: Shared::new(plan.kind),
            depth: plan.depth,
        };
        while load.connections.len() < plan.connections {
            let from = load.connections.len();
            let to = plan.connections.min(from + CHUNK);
            for _ in from..to {
                load.open(plan.target)?;
            }
            let asked = (to - from) as u64;
            let greeting = load.pump(from..to, 1, Until::Asked(asked));
            ensure!(
                greeting.is_clean() && greeting.requests == asked,
                "only {} of {asked} new connections were answered ({} before them were)",
                greeting.requests,
                from
            );
        }
        Ok(load)
    }

    /// Keeps the connections busy until `until`, then waits for what is open.
    pub fn run(&mut self, until: Until) -> Outcome {
        self.pump(0..self.connections.len(), self.depth, until)
    }

    fn open(&mut self, target: SocketAddr) -> Result<()> {
        let stream = TcpStream::connect_timeout(&target, Duration::from_secs(3))
            .with_context(|| format!("{target} doesn't take connection {}", self.connections.len() + 1))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let token = Token(self.connections.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.connections.push(Connection::new(stream));
        Ok(())
    }

    /// Asks on the connections `first`, then again on each connection that answers.
    fn pump(&mut self, first: Range<usize>, depth: usize, until: Until) -> Outcome {
        let start = Instant::now();
        let mut outcome = Outcome::new();
        let mut asked = 0;
        for connection in &mut self.connections[first] {
            let room = connection.room(depth).min(until.allowance(start.elapsed(), asked));
            asked += connection.ask(room, Instant::now(), &mut self.shared);
        }
        let mut events = Events::with_capacity(1024);
        let mut progress = Instant::now();
        while outcome.settled() < asked && progress.elapsed() < STALL {
            if let Err(e) = self.poll.poll(&mut events, Some(STALL / 4)) {
                if e.kind() == std::io::ErrorKind::Interrupted {
                    continue;
                }
                break;
            }
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                let before = outcome.settled();
                let now = Self::hear(connection, event, &mut self.shared, &mut outcome);
                if outcome.settled() > before {
                    progress = now;
                }
                let room = connection.room(depth).min(until.allowance(now - start, asked));
                asked += connection.ask(room, now, &mut self.shared);
            }
        }
        outcome.lost += asked - outcome.settled();
        outcome.seconds = start.elapsed().as_secs_f64();
        outcome
    }

    /// Takes what the event announces; the time is that of the last read.
    fn hear(connection: &mut Connection, event: &Event, shared: &mut Shared, outcome: &mut Outcome) -> Instant {
        if event.is_readable() { connection.hear(event.is_read_closed(), shared, outcome) } else { Instant::now() }
    }
}
