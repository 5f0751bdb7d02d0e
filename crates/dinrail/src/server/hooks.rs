//! Looking over a server's shoulder.

use std::sync::Arc;

use crate::proto::UnitId;
use crate::service::Peer;

/// Told of what happens on a server's connections, in the order in which it happens. Every method does nothing unless
/// it is implemented, and runs on the thread that serves the connection, so it must not block.
pub trait Hooks: Send + Sync + 'static {
    /// A connection was accepted.
    fn connected(&self, _peer: &Peer) {}

    /// Bytes have come; frames may be cut anywhere.
    fn received(&self, _peer: &Peer, _bytes: &[u8]) {}

    /// A request is about to be given to the service: its unit, and its PDU, function code first.
    fn request(&self, _peer: &Peer, _unit: UnitId, _pdu: &[u8]) {}

    /// Replies are about to be sent; one or more whole frames.
    fn sending(&self, _peer: &Peer, _bytes: &[u8]) {}

    /// The connection has ended, for whatever reason.
    fn disconnected(&self, _peer: &Peer) {}
}

impl<H: Hooks + ?Sized> Hooks for Arc<H> {
    fn connected(&self, peer: &Peer) {
        (**self).connected(peer);
    }

    fn received(&self, peer: &Peer, bytes: &[u8]) {
        (**self).received(peer, bytes);
    }

    fn request(&self, peer: &Peer, unit: UnitId, pdu: &[u8]) {
        (**self).request(peer, unit, pdu);
    }

    fn sending(&self, peer: &Peer, bytes: &[u8]) {
        (**self).sending(peer, bytes);
    }

    fn disconnected(&self, peer: &Peer) {
        (**self).disconnected(peer);
    }
}
