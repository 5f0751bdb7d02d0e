//! One connection as the server sees it: who it is, whether it is idle, and how to end it.
//!
//! A connection marks itself busy while it works on requests, with one atomic step each way. Whoever wants to end it
//! (a stop, the idle limit, the limit on connections) closes it at once when it is idle, and otherwise asks it to end
//! after the replies it owes.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::event_loop::Remote;
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
/// To end at once.
const CUT: u8 = 4;

pub(super) struct Entry {
    pub(super) id: u64,
    peer: Peer,
    /// The peer with its role, once a handshake has told it. Apart, since most connections have none.
    identified: OnceLock<Box<Peer>>,
    pub(super) rate: Option<Arc<Rate>>,
    state: AtomicU8,
    /// When it last asked something, on the server's coarse clock.
    stamp: AtomicU64,
    /// How it is ended from outside; locked only when its keeper changes and when it ends.
    keeper: Mutex<Option<Keeper>>,
}

/// What keeps a connection going.
pub(super) enum Keeper {
    /// A task of a runtime.
    Task(AbortHandle),
    /// An event loop, which knows it by this key.
    Loop(Remote, usize),
    /// Whoever waits for it, and stops waiting when told.
    Caller(Arc<Notify>),
}

impl Keeper {
    fn end(&self) {
        match self {
            Self::Task(task) => task.abort(),
            Self::Loop(remote, key) => remote.close(*key),
            Self::Caller(told) => told.notify_one(),
        }
    }
}

impl Entry {
    pub(super) fn new(id: u64, peer: Peer, rate: Option<Arc<Rate>>, stamp: u64) -> Self {
        Self {
            id,
            peer,
            identified: OnceLock::new(),
            rate,
            state: AtomicU8::new(IDLE),
            stamp: AtomicU64::new(stamp),
            keeper: Mutex::new(None),
        }
    }

    /// Who it is, as far as is known.
    #[inline]
    pub(super) fn peer(&self) -> &Peer {
        match self.identified.get() {
            None => &self.peer,
            Some(peer) => peer,
        }
    }

    /// A handshake has told the peer's role.
    #[cfg(feature = "tls")]
    pub(super) fn identify(&self, role: Arc<str>) {
        let mut peer = Box::new(self.peer.clone());
        peer.role = Some(role);
        // There is one handshake a connection.
        let _ = self.identified.set(peer);
    }

    /// Says what keeps the connection going from now on.
    pub(super) fn set_keeper(&self, keeper: Keeper) {
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        // It may have been cut off before this keeper was known. One that only is to end does so by itself.
        if self.is_cut() {
            self.end_now();
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

    /// Whether it is to end, after the replies it owes or at once.
    pub(super) fn is_ending(&self) -> bool {
        self.state.load(Ordering::Acquire) >= ENDING
    }

    /// Whether it is to end at once.
    pub(super) fn is_cut(&self) -> bool {
        self.state.load(Ordering::Acquire) == CUT
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
        let before = self.state.fetch_max(ENDING, Ordering::AcqRel);
        let at_once = before == IDLE || (before == SENDING && owed_replies_may_be_lost);
        if at_once {
            self.abort();
        }
        at_once
    }

    /// Ends it at once, whatever it is doing.
    pub(super) fn abort(&self) {
        self.state.store(CUT, Ordering::Release);
        self.end_now();
    }

    fn end_now(&self) {
        if let Some(keeper) = &*self.keeper.lock().unwrap_or_else(PoisonError::into_inner) {
            keeper.end();
        }
    }
}
