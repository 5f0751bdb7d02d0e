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
const STALL: Duration = Duration::from_secs(2);

/// Time for what is open when a run asks no more, however steadily it trickles in.
const DRAIN: Duration = Duration::from_secs(5);

/// Time for a run that ends with a number of requests: valgrind serves a few thousand a second.
const LONGEST: Duration = Duration::from_secs(120);

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

    /// How long a run may take at most.
    fn deadline(self) -> Duration {
        match self {
            Self::Elapsed(limit) => limit + DRAIN,
            Self::Asked(_) => LONGEST,
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
        while outcome.settled() < asked && progress.elapsed() < STALL && start.elapsed() < until.deadline() {
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::burst::{Burst, Leftover, Scratch};
    use crate::frame::{Image, push_reply};

    /// What a load sees of a server that does `spoil` to its `nth` reply.
    fn load_on(nth: u32, spoil: fn(&mut Vec<u8>)) -> Outcome {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let target = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the load connects");
            let (image, mut scratch, mut leftover) = (Image::new(), Scratch::new(), Leftover::default());
            let mut count = 0;
            let mut replies = Vec::new();
            while scratch.read_frames(&mut stream, &mut leftover, |frame| {
                let mut reply = Vec::new();
                push_reply(&mut reply, &image, frame).expect("one of ours");
                count += 1;
                if count == nth {
                    spoil(&mut reply);
                }
                replies.append(&mut reply);
            }) != Burst::Ended
            {
                stream.write_all(&replies).expect("the load reads");
                replies.clear();
            }
        });
        let mut load =
            Load::connect(&Plan { target, connections: 1, depth: 4, kind: Kind::Read10 }).expect("it answers");
        let outcome = load.run(Until::Asked(100));
        drop(load);
        server.join().expect("the server does not panic");
        outcome
    }

    #[test]
    fn a_right_server_is_clean() {
        let outcome = load_on(0, |_| ());
        assert!(outcome.is_clean() && outcome.requests == 100, "{}", outcome.faults());
    }

    #[test]
    fn a_wrong_value_is_counted() {
        let outcome = load_on(50, |reply| reply[28] ^= 1);
        assert_eq!((outcome.requests, outcome.faults().as_str()), (99, "1 wrong"));
    }

    #[test]
    fn a_lost_reply_is_counted_and_the_run_ends() {
        let outcome = load_on(50, Vec::clear);
        assert_eq!((outcome.requests, outcome.faults().as_str()), (99, "1 lost"));
    }

    #[test]
    fn a_reply_that_comes_twice_is_counted() {
        let outcome = load_on(50, |reply| reply.extend_from_within(..));
        assert_eq!((outcome.requests, outcome.faults().as_str()), (100, "1 unasked for"));
    }
}
