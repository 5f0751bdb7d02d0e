//! One request on its way through a service, and what the service says happened.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::proto::error::EncodeError;
use crate::proto::pdu::MAX_PDU;
use crate::proto::{ExceptionCode, Pdu, Request, Response, UnitId};

/// Who asks, and whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// The address the request came from; `None` on serial lines and in-process streams.
    pub address: Option<SocketAddr>,
    /// The role in the client's certificate (Modbus Security); `None` without one.
    pub role: Option<Arc<str>>,
    /// The line it asked on, when that is no network; `None` otherwise.
    pub line: Option<Arc<str>>,
    /// The [name](crate::server::Options::name) of the server that it asked; `None` where there is no server, and in what
    /// [callbacks](super::callbacks) are given.
    pub server: Option<Arc<str>>,
}

impl Peer {
    /// A peer at a network address.
    pub fn at(address: SocketAddr) -> Self {
        Self { address: Some(address), ..Self::default() }
    }

    /// Whoever is on a line of this name.
    pub fn on(line: &str) -> Self {
        Self { line: Some(line.into()), ..Self::default() }
    }

    /// Who asks, without whom: a name that all threads share is not to be held, and let go, for every request.
    #[inline]
    pub(super) fn alone(&self) -> Self {
        let Self { address, role, line, server: _ } = self;
        Self { address: *address, role: role.clone(), line: line.clone(), server: None }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, &self.line) {
            (Some(address), _) => fmt::Display::fmt(&address, f),
            (None, Some(line)) => f.write_str(line),
            (None, None) => f.write_str("local"),
        }
    }
}

/// One request, and the place for its response. The response is written where it is sent from; nothing is copied.
pub struct Call<'a> {
    unit: UnitId,
    peer: &'a Peer,
    pdu: &'a [u8],
    response: &'a mut [u8],
    broadcast: bool,
}

impl<'a> Call<'a> {
    /// A call for `pdu`, whose response goes to the front of `response`.
    ///
    /// # Panics
    /// When `pdu` is empty or `response` is shorter than a PDU can be (253 bytes): a fault of the caller.
    pub fn new(unit: UnitId, peer: &'a Peer, pdu: &'a [u8], response: &'a mut [u8]) -> Self {
        assert!(!pdu.is_empty() && response.len() >= MAX_PDU, "a call needs a PDU and room for the longest response");
        Self { unit, peer, pdu, response, broadcast: false }
    }

    /// The unit that is asked.
    pub fn unit(&self) -> UnitId {
        self.unit
    }

    /// Whether every unit is asked at once, and nobody will see the reply (SL 2.1).
    pub fn is_broadcast(&self) -> bool {
        self.broadcast
    }

    /// Says whether every unit is asked at once.
    #[inline]
    #[must_use]
    pub fn as_broadcast(mut self, broadcast: bool) -> Self {
        self.broadcast = broadcast;
        self
    }

    /// The same call for another unit.
    pub fn with_unit(mut self, unit: UnitId) -> Self {
        self.unit = unit;
        self
    }

    /// The same call with another request.
    pub fn with_pdu(mut self, pdu: &'a Pdu) -> Self {
        self.pdu = pdu.as_bytes();
        self
    }

    /// Who asks.
    pub fn peer(&self) -> &'a Peer {
        self.peer
    }

    /// The request's bytes, function code first; never empty, not checked.
    pub fn pdu(&self) -> &'a [u8] {
        self.pdu
    }

    /// The request, checked against the specification; the error is the exception to answer.
    pub fn request(&self) -> Result<Request<'a>, ExceptionCode> {
        Request::decode(self.pdu)
    }

    /// Answers with `response`.
    ///
    /// # Errors
    /// When the response holds more than a PDU may carry.
    pub fn respond(&mut self, response: &Response<'_>) -> Result<Reply, EncodeError> {
        response.encode_into(self.response).map(Reply::written)
    }

    /// Answers with the bytes of a PDU as they are; an exception reply may be among them.
    pub fn respond_pdu(&mut self, pdu: &Pdu) -> Reply {
        let bytes = pdu.as_bytes();
        self.response[..bytes.len()].copy_from_slice(bytes);
        Reply::written(bytes.len())
    }

    /// Answers with what `write` puts into the 253 bytes of a PDU; it returns the PDU's length in bytes.
    ///
    /// # Panics
    /// When the length is 0 or over 253.
    pub fn respond_with(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> Reply {
        let length = write(&mut self.response[..MAX_PDU]);
        assert!((1..=MAX_PDU).contains(&length), "a PDU has 1 to 253 bytes, not {length}");
        Reply::written(length)
    }

    /// The request and the place for its response, for code that fills it while it waits.
    pub(super) fn parts(&mut self) -> (&'a [u8], &mut [u8]) {
        (self.pdu, self.response)
    }

    /// A call like this one that borrows it, for services that ask another service first.
    pub fn reborrow(&mut self) -> Call<'_> {
        Call { unit: self.unit, peer: self.peer, pdu: self.pdu, response: self.response, broadcast: self.broadcast }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("unit", &self.unit).field("peer", &self.peer).field("pdu", &self.pdu).finish()
    }
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was done; the response stands in the call's place for it.
    Response(Written),
    /// It was refused, and nothing was done.
    Exception(ExceptionCode),
    /// The client gets no answer: a unit that is to be ignored, a broadcast.
    Silent,
}

impl Reply {
    /// A response of `length` bytes, at most 253.
    pub(super) fn written(length: usize) -> Self {
        Self::Response(Written(length as u8))
    }
}

impl From<ExceptionCode> for Reply {
    fn from(code: ExceptionCode) -> Self {
        Self::Exception(code)
    }
}

/// Proof that a response was written into the call: [`Call::respond`] and its like return it.
#[derive(Debug, PartialEq, Eq)]
pub struct Written(u8);

impl Written {
    /// The response's length in bytes, 1 to 253.
    pub fn length(&self) -> usize {
        self.0.into()
    }
}
