//! Who is shown what passes, and what it is shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::proto::adu::{Discard, Side};
use crate::proto::{Adu, ExceptionCode, Framing, FunctionCode};
use crate::transport::{Burst, Direction};

/// Is shown what passes over connections. Every method does nothing unless it is implemented, and runs on the thread
/// that serves the connection, so it must not block.
///
/// Two sinks in a tuple are one; so is an [`Arc`] of a sink.
pub trait Sink: Send + Sync + 'static {
    /// There is a connection.
    fn opened(&self, _link: &Link, _at: SystemTime) {}

    /// Bytes have passed, in the pieces in which they were written or read.
    fn bytes(&self, _link: &Link, _bytes: &Passed<'_>) {}

    /// A whole frame has passed: called after [`bytes`](Self::bytes) for the last of its bytes.
    fn frame(&self, _link: &Link, _frame: &Frame<'_>) {}

    /// Bytes have passed that are no frame. On a serial line that is known once the line falls silent.
    fn garbage(&self, _link: &Link, _garbage: &Garbage<'_>) {}

    /// The connection has ended.
    fn closed(&self, _link: &Link, _at: SystemTime) {}
}

impl<T: Sink> Sink for Arc<T> {
    fn opened(&self, link: &Link, at: SystemTime) {
        T::opened(self, link, at);
    }

    fn bytes(&self, link: &Link, bytes: &Passed<'_>) {
        T::bytes(self, link, bytes);
    }

    fn frame(&self, link: &Link, frame: &Frame<'_>) {
        T::frame(self, link, frame);
    }

    fn garbage(&self, link: &Link, garbage: &Garbage<'_>) {
        T::garbage(self, link, garbage);
    }

    fn closed(&self, link: &Link, at: SystemTime) {
        T::closed(self, link, at);
    }
}

impl<A: Sink, B: Sink> Sink for (A, B) {
    fn opened(&self, link: &Link, at: SystemTime) {
        self.0.opened(link, at);
        self.1.opened(link, at);
    }

    fn bytes(&self, link: &Link, bytes: &Passed<'_>) {
        self.0.bytes(link, bytes);
        self.1.bytes(link, bytes);
    }

    fn frame(&self, link: &Link, frame: &Frame<'_>) {
        self.0.frame(link, frame);
        self.1.frame(link, frame);
    }

    fn garbage(&self, link: &Link, garbage: &Garbage<'_>) {
        self.0.garbage(link, garbage);
        self.1.garbage(link, garbage);
    }

    fn closed(&self, link: &Link, at: SystemTime) {
        self.0.closed(link, at);
        self.1.closed(link, at);
    }
}

/// What a program is on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It asks.
    Client,
    /// It answers.
    Server,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// A number that no other connection of this process has; given when the tap is set.
    pub id: u64,
    /// What this program is on it.
    pub role: Role,
    /// Who is at the other end, for people.
    pub peer: Arc<str>,
    /// The peer's address, if it has one that is known.
    pub address: Option<SocketAddr>,
    /// This side's address, if it is known.
    pub local: Option<SocketAddr>,
    /// How frames are laid on the line.
    pub framing: Framing,
    /// How a burst ends.
    pub burst: Burst,
}

impl Link {
    /// A connection with `peer`.
    pub fn new(role: Role, peer: &str, framing: Framing) -> Self {
        Self { id: 0, role, peer: peer.into(), address: None, local: None, framing, burst: Burst::Never }
    }

    /// With the address of the peer.
    #[must_use]
    pub fn with_address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// With the address of this side.
    #[must_use]
    pub fn with_local(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// With another end of bursts than that of TCP.
    #[must_use]
    pub fn with_burst(mut self, burst: Burst) -> Self {
        self.burst = burst;
        self
    }

    /// What goes this way.
    pub(crate) fn kind(&self, direction: Direction) -> Kind {
        match (self.role, direction) {
            (Role::Client, Direction::Sent) => Kind::Request,
            (Role::Server, Direction::Sent) => Kind::Reply,
            // A local echo of requests, and the requests and replies of others on a bus.
            _ if self.framing.is_shared_line() => Kind::Either,
            (Role::Client, Direction::Received) => Kind::Reply,
            (Role::Server, Direction::Received) => Kind::Request,
        }
    }

    pub(super) fn side(&self, direction: Direction) -> Side {
        match self.kind(direction) {
            Kind::Request => Side::Requests,
            Kind::Reply => Side::Replies,
            Kind::Either => Side::Bus,
        }
    }
}

/// Bytes as they passed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Passed<'a> {
    /// When.
    pub at: SystemTime,
    /// Which way.
    pub direction: Direction,
    /// How many have passed this way before.
    pub offset: u64,
    /// At least one.
    pub bytes: &'a [u8],
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It asks.
    Request,
    /// It answers.
    Reply,
    /// It came over a serial line, where it may be either.
    Either,
}

/// A frame that has passed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// When its last byte passed.
    pub at: SystemTime,
    /// Which way.
    pub direction: Direction,
    /// What it is.
    pub kind: Kind,
    /// Unit and PDU, and the transaction on TCP.
    pub adu: Adu<'a>,
    /// The frame as it was on the line.
    pub bytes: &'a [u8],
}

impl Frame<'_> {
    /// The function that is asked for or answered; `None` for the codes 0 and 128.
    pub fn function(&self) -> Option<FunctionCode> {
        FunctionCode::new(self.adu.pdu.first()? & 0x7F)
    }

    /// The exception that it answers with.
    pub fn exception(&self) -> Option<ExceptionCode> {
        match (self.kind, self.adu.pdu) {
            (Kind::Reply | Kind::Either, [function, code]) if function & 0x80 != 0 => Some(ExceptionCode::from(*code)),
            _ => None,
        }
    }

    /// The address that it asks for; the read address of FC 23. Replies to writes have one too.
    pub fn address(&self) -> Option<u16> {
        self.range().map(|(address, _)| address)
    }

    /// How many items it asks for, from [`address`](Self::address) on.
    pub fn count(&self) -> Option<u16> {
        self.range().map(|(_, count)| count)
    }

    fn range(&self) -> Option<(u16, u16)> {
        let field = |at: usize| Some(u16::from_be_bytes([*self.adu.pdu.get(at)?, *self.adu.pdu.get(at + 1)?]));
        match (self.adu.pdu.first()?, self.kind) {
            (5 | 6 | 22, _) | (24, Kind::Request) => Some((field(1)?, 1)),
            (15 | 16, _) | (1..=4 | 23, Kind::Request) => Some((field(1)?, field(3)?)),
            // A read's request has five bytes; a reply with as many would say that two follow its byte count.
            (1..=4, Kind::Either) if self.adu.pdu.len() == 5 && self.adu.pdu[1] != 3 => Some((field(1)?, field(3)?)),
            _ => None,
        }
    }
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Garbage<'a> {
    /// When the last of them passed.
    pub at: SystemTime,
    /// Which way.
    pub direction: Direction,
    /// At least one.
    pub bytes: &'a [u8],
    /// Why they are none.
    pub reason: Discard,
}
