//! What a server counts for its application, whether or not somebody looks on. More is counted for [metrics](super::metrics).

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) exceptions: AtomicU64,
    pub(super) discarded: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
}

/// What a server has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed at once: not on the list of allowed addresses, or one too many.
    pub refused: u64,
    /// Connections closed because they were idle for too long, or the longest idle when room was needed.
    pub evicted: u64,
    /// Requests answered or silently dropped.
    pub requests: u64,
    /// Requests answered with an exception.
    pub exceptions: u64,
    /// Datagrams that held something else than requests: broken, cut, replies, of another protocol (UDP).
    pub discarded: u64,
    /// Connections closed because their TLS handshake failed, or was not done in time.
    pub handshakes_failed: u64,
}

impl Counters {
    pub(super) fn statistics(&self) -> Statistics {
        let Self { accepted, refused, evicted, requests, exceptions, discarded, handshakes_failed } = self;
        let [accepted, refused, evicted, requests, exceptions, discarded, handshakes_failed] =
            [accepted, refused, evicted, requests, exceptions, discarded, handshakes_failed]
                .map(|counter| counter.load(Ordering::Relaxed));
        Statistics { accepted, refused, evicted, requests, exceptions, discarded, handshakes_failed }
    }
}
