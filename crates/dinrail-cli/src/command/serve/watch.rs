//! What `-v` says about clients and their requests.

use std::fmt;

use dinrail::UnitId;
use dinrail::proto::Request;
use dinrail::server::Hooks;
use dinrail::service::Peer;
use tracing::field::{DisplayValue, display};
use tracing::{debug, info, trace};

/// Logs everything that happens on the connections of a server.
pub(super) struct Watch;

impl Hooks for Watch {
    fn connected(&self, peer: &Peer) {
        info!(server = server(peer), %peer, "connected");
    }

    fn received(&self, peer: &Peer, bytes: &[u8]) {
        trace!(server = server(peer), %peer, bytes = %Hex(bytes), "received");
    }

    fn request(&self, peer: &Peer, unit: UnitId, pdu: &[u8]) {
        match Request::decode(pdu) {
            Ok(request) => debug!(server = server(peer), %peer, %unit, ?request, "asked"),
            Err(exception) => {
                debug!(server = server(peer), %peer, %unit, pdu = %Hex(pdu), %exception, "asked for what cannot be")
            }
        }
    }

    fn sending(&self, peer: &Peer, bytes: &[u8]) {
        trace!(server = server(peer), %peer, bytes = %Hex(bytes), "sending");
    }

    fn disconnected(&self, peer: &Peer) {
        info!(server = server(peer), %peer, "disconnected");
    }
}

/// The server that a peer asked, as others write its name into the log.
fn server(peer: &Peer) -> Option<DisplayValue<&str>> {
    peer.server.as_deref().map(display)
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
