//! What `-v` says about clients and their requests.

use std::fmt;

use dinrail::UnitId;
use dinrail::proto::Request;
use dinrail::server::Hooks;
use dinrail::service::Peer;
use tracing::field::display;
use tracing::{debug, info, trace};

/// Logs everything that happens on the connections of a server.
pub(super) struct Watch;

impl Hooks for Watch {
    fn connected(&self, peer: &Peer) {
        info!(server = peer.server.as_deref().map(display), %peer, "connected");
    }

    fn received(&self, peer: &Peer, bytes: &[u8]) {
        trace!(server = peer.server.as_deref().map(display), %peer, bytes = %Hex(bytes), "received");
    }

    fn request(&self, peer: &Peer, unit: UnitId, pdu: &[u8]) {
        match Request::decode(pdu) {
            Ok(request) => debug!(server = peer.server.as_deref().map(display), %peer, %unit, ?request, "asked"),
            Err(exception) => {
                debug!(server = peer.server.as_deref().map(display), %peer, %unit, pdu = %Hex(pdu), %exception, "asked for what cannot be")
            }
        }
    }

    fn sending(&self, peer: &Peer, bytes: &[u8]) {
        trace!(server = peer.server.as_deref().map(display), %peer, bytes = %Hex(bytes), "sending");
    }

    fn disconnected(&self, peer: &Peer) {
        info!(server = peer.server.as_deref().map(display), %peer, "disconnected");
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
