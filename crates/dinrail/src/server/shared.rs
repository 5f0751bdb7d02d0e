//! What all connections of a server share: options, the table of connections, counters, a coarse clock, and the way to
//! stop. Nothing here is locked while a request is answered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tracing::{debug, error, info, warn};

use super::counters::{Counters, Statistics};
use super::diagnostics::{Diagnostics, DiagnosticsMode};
use super::entry::Entry;
use super::hooks::Hooks;
use super::metrics::{Counts, LineError, Metrics};
use super::options::{Options, WhenFull};
use super::rate::Rates;
use crate::Error;
use crate::proto::UnitId;
use crate::proto::server::Completion;
use crate::service::Peer;

/// How exactly the coarse clock goes.
const TICK: Duration = Duration::from_millis(250);

pub(super) struct Shared {
    pub(super) options: Options,
    /// The name in the options, for peers.
    name: Arc<str>,
    hooks: Option<Arc<dyn Hooks>>,
    /// Whether hooks are to be told, or metrics to be counted: asked on the request path.
    watched: AtomicBool,
    /// Which units are served; `None` for all.
    units: Option<Box<[bool; 256]>>,
    rates: Option<Rates>,
    pub(super) diagnostics: Diagnostics,
    started: Instant,
    /// Microseconds since `started` when it was last looked at: at each accept, and by the sweeper. Reading it costs the
    /// request path no system call.
    coarse_clock: AtomicU64,
    stopping: watch::Sender<bool>,
    /// Why it has ended by itself, if it has.
    pub(super) failure: OnceLock<Error>,
    table: Mutex<Table>,
    /// Told whenever the table may have become empty.
    closed: Notify,
    has_sweeper: AtomicBool,
    counters: Counters,
}

#[derive(Default)]
struct Table {
    next_id: u64,
    connections: HashMap<u64, Arc<Entry>>,
    /// Accept loops that are running.
    listeners: usize,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections that ended in order: idle ones, and those whose requests were answered in time.
    pub drained: usize,
    /// Connections that were cut off because their requests took longer than the grace time.
    pub aborted: usize,
}

impl Shared {
    pub(super) fn new(options: Options, hooks: Option<Arc<dyn Hooks>>) -> Self {
        let units = options.units.as_ref().map(|units| {
            let mut served = Box::new([false; 256]);
            units.iter().for_each(|unit| served[usize::from(unit.0)] = true);
            served
        });
        Self {
            units,
            name: options.name.as_str().into(),
            watched: AtomicBool::new(hooks.is_some()),
            rates: options.rate.map(Rates::new),
            hooks,
            diagnostics: Diagnostics::in_mode(options.diagnostics),
            options,
            started: Instant::now(),
            coarse_clock: AtomicU64::new(0),
            stopping: watch::Sender::new(false),
            failure: OnceLock::new(),
            table: Mutex::default(),
            closed: Notify::new(),
            has_sweeper: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// With diagnostics that outlive it.
    pub(super) fn with_diagnostics(mut self, diagnostics: &Diagnostics) -> Self {
        diagnostics.begin(self.options.diagnostics);
        self.diagnostics = diagnostics.clone();
        self
    }

    /// To be shared by what it consists of, with its metrics.
    pub(super) fn begun(self) -> Arc<Self> {
        let this = Arc::new(self);
        if let Some(metrics) = this.metrics() {
            metrics.attach(&this);
        }
        this
    }

    /// Tells the hooks, if there are any. One that panics harms nothing but itself.
    #[cold]
    pub(super) fn tell(&self, what: impl FnOnce(&dyn Hooks)) {
        if let Some(hooks) = &self.hooks
            && catch_unwind(AssertUnwindSafe(|| what(&**hooks))).is_err()
        {
            error!(target: "dinrail::server", server = %self.options.name, "a hook panicked");
        }
    }

    /// Whether there is anybody to be told of requests.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Says whether requests are counted; the metrics know where.
    pub(super) fn set_counting(&self, counting: bool) {
        self.watched.store(counting || self.hooks.is_some(), Ordering::Relaxed);
    }

    fn metrics(&self) -> Option<&Metrics> {
        self.options.metrics.as_ref()
    }

    /// Where to count what requests do, if that is wanted. Ask first whether it [is watched](Self::is_watched).
    pub(super) fn counts(&self) -> Option<&Counts> {
        self.metrics()?.counts()
    }

    /// Tells of bytes that came.
    #[cold]
    pub(super) fn tell_received(&self, peer: &Peer, bytes: &[u8]) {
        if let Some(counts) = self.counts() {
            counts.received(bytes.len());
        }
        self.tell(|hooks| hooks.received(peer, bytes));
    }

    /// Tells of replies that are about to be sent.
    #[cold]
    pub(super) fn tell_sending(&self, peer: &Peer, bytes: &[u8]) {
        if let Some(counts) = self.counts() {
            counts.sent(bytes.len());
        }
        self.tell(|hooks| hooks.sending(peer, bytes));
    }

    /// Counts a request of this function, its end, and how long it took since it came.
    #[cold]
    pub(super) fn count_one(&self, function: u8, completion: Completion, came: Instant) {
        if let Some(counts) = self.counts() {
            counts.request(function, completion);
            counts.took(1, came.elapsed());
        }
    }

    /// Counts something that is wrong with what came.
    #[cold]
    pub(super) fn count_line_error(&self, kind: LineError) {
        if let Some(counts) = self.counts() {
            counts.line_error(kind);
        }
    }

    /// A peer of this server.
    pub(super) fn peer(&self, mut peer: Peer) -> Peer {
        peer.server = Some(self.name.clone());
        peer
    }

    #[inline]
    pub(super) fn serves(&self, unit: UnitId) -> bool {
        self.units.as_ref().is_none_or(|units| units[usize::from(unit.0)])
    }

    /// Whether the server answers FC 8, 11 and 12 itself, on a network.
    #[inline]
    pub(super) fn diagnoses(&self) -> bool {
        self.options.diagnostics.is_some_and(|mode| mode != DiagnosticsMode::Off)
    }

    /// Time since the server was started.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The coarse clock, in microseconds.
    pub(super) fn coarse_now(&self) -> u64 {
        self.coarse_clock.load(Ordering::Relaxed)
    }

    /// Sets the coarse clock; it always moves on, so that what comes before an accept differs from what comes after it.
    fn advance_clock(&self) -> u64 {
        let now = u64::try_from(self.now().as_micros()).unwrap_or(u64::MAX);
        now.max(self.coarse_clock.fetch_max(now, Ordering::Relaxed).saturating_add(1))
    }

    pub(super) fn count(&self, requests: u64, exceptions: u64) {
        self.counters.requests.fetch_add(requests, Ordering::Relaxed);
        if exceptions > 0 {
            self.counters.exceptions.fetch_add(exceptions, Ordering::Relaxed);
        }
    }

    /// Counts a datagram that held something else than requests.
    pub(super) fn count_discarded(&self) {
        self.counters.discarded.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this address may ask; counts when it may not.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        let allow = &self.options.allow;
        let allowed = allow.is_empty() || allow.iter().any(|net| net.contains(&address));
        if !allowed {
            self.count_refused();
        }
        allowed
    }

    /// Whether a request of a peer without a connection is within the rate of its address.
    pub(super) fn admits_request(&self, peer: &Peer) -> bool {
        let Some((rates, address)) = self.rates.as_ref().zip(peer.address) else {
            return true;
        };
        rates.admits(address.ip().to_canonical(), self.now())
    }

    /// Whether unit 0 means every unit, on a network.
    pub(super) fn broadcasts(&self) -> bool {
        self.options.broadcast.unwrap_or(self.options.framing.is_shared_line())
    }

    /// Takes requests of a peer without a connection, which take their time, into the table; `None` when there are too
    /// many.
    pub(super) fn begin(&self, peer: &Peer) -> Option<Arc<Entry>> {
        let mut table = self.table();
        if table.connections.len() >= self.options.max_connections {
            return None;
        }
        let id = table.next_id;
        table.next_id += 1;
        let entry = Arc::new(Entry::new(id, peer.clone(), None, self.coarse_now()));
        entry.begin(self.coarse_now());
        table.connections.insert(id, entry.clone());
        self.metrics().inspect(|metrics| metrics.opened());
        Some(entry)
    }

    /// Takes a new connection into the table, making room if need be; the error says why it is refused.
    pub(super) fn admit(&self, peer: Peer) -> Result<Arc<Entry>, &'static str> {
        let address = peer.address.map(|address| address.ip().to_canonical());
        if address.is_some_and(|address| !self.allows(address)) {
            return Err("not on the list of allowed addresses");
        }
        let stamp = self.advance_clock();
        let rate = self.rates.as_ref().zip(address).map(|(rates, address)| rates.of(address));
        let mut table = self.table();
        // A stop first says so, and then takes the table to end whoever is there.
        if self.is_stopping() {
            return Err("the server stops");
        }
        if table.connections.len() >= self.options.max_connections && !self.make_room(&mut table) {
            self.count_refused();
            return Err("too many connections");
        }
        let id = table.next_id;
        table.next_id += 1;
        let entry = Arc::new(Entry::new(id, self.peer(peer), rate, stamp));
        table.connections.insert(id, entry.clone());
        drop(table);
        self.coarse_clock.fetch_max(stamp + 1, Ordering::Relaxed);
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        if let Some(metrics) = self.metrics() {
            metrics.accepted();
            metrics.opened();
        }
        Ok(entry)
    }

    /// Closes the longest idle connection, if that is wanted and there is one.
    fn make_room(&self, table: &mut Table) -> bool {
        if self.options.when_full == WhenFull::Refuse {
            return false;
        }
        let idle = table.connections.values().filter_map(|entry| Some((entry.idle_since()?, entry.id)));
        let Some((_, id)) = idle.min() else {
            return false;
        };
        if let Some(entry) = table.connections.remove(&id) {
            debug!(target: "dinrail::server", server = %self.options.name, peer = %entry.peer(), "closed: room is needed");
            entry.close(true);
            self.count_evicted();
        }
        true
    }

    /// The connection has ended.
    pub(super) fn release(&self, entry: &Entry) {
        self.metrics().inspect(|metrics| metrics.closed());
        let mut table = self.table();
        table.connections.remove(&entry.id);
        if table.connections.is_empty() {
            drop(table);
            self.closed.notify_waiters();
        }
    }

    /// Moves the coarse clock on, and closes connections that have been idle for too long, until the server stops.
    pub(super) async fn sweep(self: Arc<Self>) {
        let limit = self.options.idle_timeout;
        let period = limit.map_or(TICK, |limit| (limit / 8).clamp(Duration::from_millis(5), TICK));
        let limit = limit.map_or(u64::MAX, |limit| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
        let mut stopping = self.stopping.subscribe();
        while tokio::time::timeout(period, stopping.wait_for(|stopping| *stopping)).await.is_err() {
            let now = self.advance_clock();
            if limit == u64::MAX {
                continue;
            }
            for entry in self.table().connections.values() {
                if entry.idle_since().is_some_and(|since| now.saturating_sub(since) > limit) && entry.close(true) {
                    debug!(target: "dinrail::server", server = %self.options.name, peer = %entry.peer(), "closed: idle");
                    self.count_evicted();
                }
            }
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.table().connections.len()
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.counters.statistics()
    }

    #[cfg(feature = "tls")]
    pub(super) fn handshake_failed(&self) {
        self.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
        self.metrics().inspect(|metrics| metrics.handshake_failed());
    }

    fn count_refused(&self) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        self.metrics().inspect(|metrics| metrics.refused());
    }

    fn count_evicted(&self) {
        self.counters.evicted.fetch_add(1, Ordering::Relaxed);
        self.metrics().inspect(|metrics| metrics.evicted());
    }

    /// Starts the sweeper in the runtime that this runs in, unless there is one: one is enough for all loops.
    pub(super) fn start_sweeper(self: &Arc<Self>) {
        if !self.has_sweeper.swap(true, Ordering::Relaxed) {
            tokio::spawn(self.clone().sweep());
        }
    }

    pub(super) fn listener_started(&self) {
        self.table().listeners += 1;
        self.metrics().inspect(|metrics| metrics.listener_started());
    }

    pub(super) fn listener_ended(&self) {
        self.metrics().inspect(|metrics| metrics.listener_ended());
        self.table().listeners -= 1;
        self.closed.notify_waiters();
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the server is told to stop.
    pub(super) async fn until_stopping(&self) {
        // The sender lives as long as `self`, so this ends only with `true`.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Waits until the server has stopped and every connection is closed.
    pub(super) async fn until_stopped(&self) {
        self.until_stopping().await;
        self.until_empty().await;
    }

    async fn until_empty(&self) {
        self.until(|table| table.connections.is_empty() && table.listeners == 0).await;
    }

    /// Waits until the server, which stops, listens no more.
    pub(super) async fn until_deaf(&self) {
        self.until(|table| table.listeners == 0).await;
    }

    async fn until(&self, holds: impl Fn(&Table) -> bool) {
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if holds(&self.table()) {
                return;
            }
            closed.await;
        }
    }

    /// Stops accepting, ends idle connections, and gives the others `grace` to finish, whether or not somebody goes on
    /// waiting for it.
    pub(super) async fn stop(self: &Arc<Self>, grace: Duration) -> Report {
        self.stopping.send_replace(true);
        let entries: Vec<_> = self.table().connections.values().cloned().collect();
        for entry in &entries {
            entry.close(false);
        }
        let all = entries.len();
        let shared = self.clone();
        // It has no end but its own, or that of the runtime, with which connections end anyway.
        tokio::spawn(async move { shared.end_within(grace, all).await }).await.unwrap_or_default()
    }

    /// Waits until all connections, of which there were so many, have ended; cuts off those that are there after `grace`.
    async fn end_within(&self, grace: Duration, all: usize) -> Report {
        let mut aborted = 0;
        if tokio::time::timeout(grace, self.until_empty()).await.is_err() {
            let late: Vec<_> = self.table().connections.values().cloned().collect();
            aborted = late.len();
            warn!(
                target: "dinrail::server",
                server = %self.options.name, connections = aborted,
                "cut off: their requests took longer than the grace time of {grace:?}"
            );
            late.iter().for_each(|entry| entry.abort());
            self.until_empty().await;
        }
        let report = Report { drained: all.saturating_sub(aborted), aborted };
        info!(target: "dinrail::server", server = %self.options.name, drained = report.drained, aborted, "stopped");
        report
    }

    /// Stops at once; for a server that is dropped, or ends by itself.
    pub(super) fn abort(&self) {
        self.stopping.send_replace(true);
        self.table().connections.values().for_each(|entry| entry.abort());
    }

    /// Nothing panics while this is held.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
