//! One connection as the server sees it: who it is, whether it is idle, and how to end it.
//!
//! A connection marks itself busy while it works on requests, with one atomic step each way. Whoever wants to end it
//! (a stop, the idle limit, the limit on connections) closes it at once when it is idle, and otherwise asks it to end
//! after the replies it owes.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::task::AbortHandle;

use super::rate::Rate;
use crate::service::Peer;

/// Waiting for bytes.
const IDLE: u8 = 0;
/// Working on requests; not to be cut off.
const BUSY: u8 = 1;
/// Waiting for the peer to read replies.
const SENDING: u8 = 2;
/// To end after the replies it owes.
const ENDING: u8 = 3;

pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) peer: Peer,
    pub(super) rate: Option<Arc<Rate>>,
    state: AtomicU8,
    /// When it last asked something, on the server's coarse clock.
    stamp: AtomicU64,
    abort: OnceLock<AbortHandle>,
}

impl Entry {
    pub(super) fn new(id: u64, peer: Peer, rate: Option<Arc<Rate>>, stamp: u64) -> Self {
        Self { id, peer, rate, state: AtomicU8::new(IDLE), stamp: AtomicU64::new(stamp), abort: OnceLock::new() }
    }

    /// Says how the connection's task is ended.
    pub(super) fn set_abort(&self, abort: AbortHandle) {
        // It may have been closed before its task was known.
        if self.abort.set(abort).is_ok()
            && self.state.load(Ordering::Acquire) == ENDING
            && let Some(abort) = self.abort.get()
        {
            abort.abort();
        }
    }

    /// Bytes have come. `false` when the connection is to end instead.
    pub(super) fn begin(&self, stamp: u64) -> bool {
        self.stamp.store(stamp, Ordering::Relaxed);
        self.step(IDLE, BUSY)
    }

    /// The peer must read replies before anything else happens.
    pub(super) fn sending(&self) {
        self.step(BUSY, SENDING);
    }

    /// The peer has read.
    pub(super) fn sent(&self) {
        // As a rule it never had to wait for that.
        if self.state.load(Ordering::Relaxed) == SENDING {
            self.step(SENDING, BUSY);
        }
    }

    /// All replies are sent. `false` when the connection is to end now.
    pub(super) fn end(&self) -> bool {
        self.step(BUSY, IDLE)
    }

    /// As [`end`](Self::end), for a connection that may be idle already.
    pub(super) fn rest(&self) -> bool {
        self.step(BUSY, IDLE) || self.state.load(Ordering::Acquire) == IDLE
    }

    /// Whether it is to end after the replies it owes.
    pub(super) fn is_ending(&self) -> bool {
        self.state.load(Ordering::Acquire) == ENDING
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// When it last asked something, unless a service is at work for it.
    pub(super) fn idle_since(&self) -> Option<u64> {
        let idle = matches!(self.state.load(Ordering::Acquire), IDLE | SENDING);
        idle.then(|| self.stamp.load(Ordering::Relaxed))
    }

    /// Ends it at once if no service is at work for it and, unless `owed_replies_may_be_lost`, no reply is on its way.
    /// Otherwise it ends by itself after the replies it owes.
    pub(super) fn close(&self, owed_replies_may_be_lost: bool) -> bool {
        let before = self.state.swap(ENDING, Ordering::AcqRel);
        let at_once = before == IDLE || (before == SENDING && owed_replies_may_be_lost);
        if at_once {
            self.abort();
        }
        at_once
    }

    /// Ends it at once, whatever it is doing.
    pub(super) fn abort(&self) {
        self.state.store(ENDING, Ordering::Release);
        if let Some(abort) = self.abort.get() {
            abort.abort();
        }
    }
}
