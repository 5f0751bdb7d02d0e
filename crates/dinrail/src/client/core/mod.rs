//! What the handles of a client and its driver share: the stream, the protocol's state and who waits for what.
//!
//! Whoever holds the lock may *pump*: read, write and hand out replies. Usually that is the driver. But a call that has
//! the line for itself pumps in its own context: the reply then wakes the caller and nobody else, which saves a task
//! switch each call. The driver takes over as soon as there is a second call, when the caller loses interest, and
//! when the timer fires, so nothing depends on the caller's future being polled.
//!
//! The lock is only held for steps that never wait.

mod alone;
mod pump;
mod silence;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use self::silence::Silence;
use super::io::Io;
use super::pace::Pace;
use super::queue::Queue;
use super::{Options, Stats};
use crate::proto::adu::MAX_ADU;
use crate::proto::client::{CallId, Connection};
use crate::proto::{Framing, Instant};
use crate::transport::{Burst, patience};

/// How many calls can be with the protocol at a time; more wait in the [`Queue`].
pub(super) const SLOTS: usize = 16;

/// Room for what comes, in bytes: for any one frame, and one byte.
const ROOM: usize = MAX_ADU + 1;

// A cache line of its own for what every call touches, and none for what others do next to it.
#[repr(C, align(64))]
pub(super) struct Shared {
    core: Mutex<Core>,
    /// Who is at the other end, for errors.
    pub(super) peer: Arc<str>,
}

impl Shared {
    pub(super) fn new(peer: Arc<str>, core: Core) -> Self {
        Self { core: Mutex::new(core), peer }
    }

    /// A panic under the lock would be a defect here, and leaves the state no worse than a lost connection does.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream's state.
pub(super) enum Link {
    Up(Io),
    /// The driver will try to connect.
    Down,
    /// Nobody will.
    Gone,
    /// Nobody ever will: an option is one that cannot be. The sentence names it.
    Refused(&'static str),
    Closed,
}

/// Who reads and writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pump {
    Driver,
    /// The only call there is, in the context of its caller.
    Caller(CallId),
    /// A call that pumped has ended, and nothing is outstanding or queued. The driver comes by when its timer fires.
    Nobody,
}

/// Who waits for the call of a slot.
pub(super) struct Caller {
    /// `None`: nobody.
    call: Option<CallId>,
    /// Whom to wake. Kept when nobody waits any more: the next call is often the same task's, and need not clone it.
    waker: Waker,
}

impl Caller {
    fn nobody() -> Self {
        Self { call: None, waker: Waker::noop().clone() }
    }
}

/// For how long the call of a slot waits for a connection.
#[derive(Clone, Copy)]
struct Wait {
    /// When it is given up, if it cannot be sent.
    give_up: Instant,
    timeout: Duration,
}

// In this order in memory: what every call touches stands together, which spares a busy processor's cache.
#[repr(C)]
pub(super) struct Core {
    pub(super) pump: Pump,
    /// Whether a lone call may pump.
    direct: bool,
    /// Whether requests wait for the line to be free.
    pub(super) is_serial: bool,
    /// Whether anything has come over the present connection, since the last silence was counted.
    heard: bool,
    unflushed: bool,
    /// The driver's task has been woken and not run yet.
    pub(super) driver_woken: bool,
    /// Bytes that have come and are not used yet, at the front of `input`.
    filled: usize,
    /// What of `output` is still to be written.
    pending: std::ops::Range<usize>,
    pub(super) link: Link,
    /// The caller of the first slot, which a lone call has, and below those of the others.
    first: Caller,
    pub(super) pace: Pace,
    pub(super) connection: Connection<SLOTS>,
    input: Box<[u8]>,
    output: Box<[u8]>,
    others: [Caller; SLOTS - 1],
    /// Of the calls that were not sent at once.
    waits: [Wait; SLOTS],
    pub(super) queue: Queue,
    /// When the driver's timer fires.
    pub(super) armed: Option<Instant>,
    epoch: tokio::time::Instant,
    /// How much of `output` may be filled at once.
    send_room: usize,
    burst: Burst,
    /// When what has come so far is looked at as a whole burst: at the first pause, and when nothing more will come.
    burst_end: Option<Instant>,
    burst_over: Instant,
    /// How long the rest of a frame may be in coming.
    patience: Duration,
    /// Bytes of datagrams that were longer than any can be.
    cut: u64,
    pub(super) driver: Waker,
    /// Why there is no connection, or why the last one ended; `None` when the peer closed it.
    pub(super) failure: Option<Arc<io::Error>>,
    pub(super) reconnects: u64,
    silence: Silence,
}

impl Core {
    pub(super) fn new(options: &Options, framing: Framing, burst: Burst, byte_time: Duration, link: Link) -> Self {
        let protocol = options.protocol(framing, burst, byte_time);
        let depth = if framing.has_transactions() { options.depth.clamp(1, SLOTS) } else { 1 };
        // One byte more than all replies at once take: a datagram that fills it was cut.
        let room = (framing.max_adu() * depth + 1).max(ROOM);
        Self {
            link,
            connection: Connection::new(protocol),
            first: Caller::nobody(),
            others: std::array::from_fn(|_| Caller::nobody()),
            waits: [Wait { give_up: Instant::ZERO, timeout: Duration::ZERO }; SLOTS],
            queue: Queue::default(),
            pace: Pace::new(),
            pump: Pump::Driver,
            driver: Waker::noop().clone(),
            driver_woken: false,
            armed: None,
            failure: None,
            reconnects: 0,
            silence: Silence::new(options.give_up_after.filter(|_| burst == Burst::Never)),
            heard: false,
            input: vec![0; room].into_boxed_slice(),
            filled: 0,
            output: vec![0; room].into_boxed_slice(),
            pending: 0..0,
            unflushed: false,
            // A datagram is for one request: devices that look no further than the first frame are many.
            send_room: if burst == Burst::EachRead { framing.max_adu() } else { room },
            burst,
            burst_end: None,
            burst_over: Instant::ZERO,
            patience: patience(framing),
            cut: 0,
            direct: depth == 1 && (burst == Burst::Never || (burst == Burst::EachRead && framing.has_transactions())),
            is_serial: !framing.has_transactions(),
            epoch: tokio::time::Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from(self.epoch.elapsed())
    }

    /// The moment on tokio's clock, rounded up by less than a microsecond.
    pub(super) fn moment(&self, at: Instant) -> tokio::time::Instant {
        self.epoch + Duration::from_micros(at.as_micros()).min(Duration::from_secs(1 << 32))
    }

    pub(super) fn stats(&self) -> Stats {
        let protocol = self.connection.stats();
        Stats {
            timeouts: protocol.timeouts,
            late: protocol.late,
            orphans: protocol.orphans,
            mismatches: protocol.mismatches,
            noise: protocol.noise + self.cut,
            reconnects: self.reconnects,
        }
    }

    pub(super) fn wake_driver(&mut self) {
        if !self.driver_woken {
            self.driver_woken = true;
            self.driver.wake_by_ref();
        }
    }

    /// Whether a call that has just been started has the line for itself and may pump.
    pub(super) fn is_lone(&self) -> bool {
        self.direct && self.connection.room() == SLOTS - 1 && self.pending.is_empty() && self.queue.is_empty()
    }

    #[inline]
    fn caller(&mut self, call: CallId) -> &mut Caller {
        match call.index() {
            0 => &mut self.first,
            index => &mut self.others[index - 1],
        }
    }

    /// `waker` waits for this call; for a connection, should there be none, until `give_up`.
    #[inline]
    pub(super) fn enter(&mut self, call: CallId, waker: &Waker, give_up: Instant, timeout: Duration) {
        let caller = self.caller(call);
        caller.call = Some(call);
        caller.waker.clone_from(waker);
        self.waits[call.index()] = Wait { give_up, timeout };
    }

    /// `waker` waits for the only call, which has been sent: should the connection be lost, so is the call.
    #[inline]
    fn enter_sent(&mut self, call: CallId, waker: &Waker) {
        debug_assert_eq!(call.index(), 0, "the only call has the first slot");
        self.first.call = Some(call);
        self.first.waker.clone_from(waker);
    }

    /// It is `waker` now that waits for this call.
    pub(super) fn stay(&mut self, call: CallId, waker: &Waker) {
        self.caller(call).waker.clone_from(waker);
    }

    /// Nobody waits for this call any more; its slot is free, or will be.
    #[inline]
    pub(super) fn leave(&mut self, call: CallId) {
        self.caller(call).call = None;
        if self.pump == Pump::Caller(call) {
            self.leave_pump();
        }
        self.grant();
    }

    /// Gives free slots to those who wait for one.
    pub(super) fn grant(&mut self) {
        if self.queue.is_waiting() {
            self.queue.grant(self.connection.room());
        }
    }

    fn leave_pump(&mut self) {
        if self.connection.is_idle() {
            self.pump = Pump::Nobody;
        } else {
            self.pump = Pump::Driver;
            self.wake_driver();
        }
    }

    /// A call that was sent must end at `deadline`: has the driver's timer fire by then.
    pub(super) fn arm(&mut self, deadline: Instant) {
        if self.armed.is_none_or(|armed| armed > deadline) {
            self.wake_driver();
        }
    }

    /// When the driver's timer must fire at the latest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.connection.poll_timeout(), self.burst_end, self.pace.next()].into_iter().flatten().min()
    }
}

/// Coming and going of the connection.
impl Core {
    /// The stream is gone; what becomes of calls that were not sent yet depends on whether there will be another.
    pub(super) fn lose(&mut self, failure: Option<io::Error>, now: Instant) {
        self.failure = failure.map(Arc::new);
        self.link = Link::Down;
        self.end_sent();
        for wait in &mut self.waits {
            // They waited for their turn so far; now they wait for a connection.
            wait.give_up = now + wait.timeout;
        }
        self.queue.renew(now);
        if self.burst == Burst::EachRead && !self.has_heard() {
            // Nothing is sent to connect, so this was the try that the calls behind it have waited for.
            self.refuse();
        }
        self.wake_callers();
        self.wake_driver();
    }

    pub(super) fn install(&mut self, stream: Io) {
        self.link = Link::Up(stream);
        self.heard = false;
        self.silence.begin();
        self.pump = Pump::Driver;
        self.failure = None;
    }

    /// Whether anything has come over the present connection.
    pub(super) fn has_heard(&self) -> bool {
        self.heard || self.silence.heard_before()
    }

    /// There is no connection for the calls that wait for one.
    pub(super) fn refuse(&mut self) {
        self.connection.refuse_waiting();
        self.queue.refuse(None);
        self.wake_callers();
    }

    /// Gives up the calls that have waited for a connection for long enough, and says when the next one will have.
    pub(super) fn refuse_impatient(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for caller in std::iter::once(&self.first).chain(&self.others) {
            let Some(call) = caller.call else { continue };
            let give_up = self.waits[call.index()].give_up;
            if give_up <= now {
                self.connection.refuse(call);
            } else {
                next = Some(next.map_or(give_up, |at: Instant| at.min(give_up)));
            }
        }
        self.queue.refuse(Some(now));
        self.wake_callers();
        next.into_iter().chain(self.queue.give_up()).min()
    }

    /// Lets nobody in when an option is one that cannot be, and says whether that is so.
    pub(super) fn refuse_options(&mut self, options: &Options) -> bool {
        let refused = options.check().err();
        if let Some(option) = refused {
            self.link = Link::Refused(option);
        }
        refused.is_some()
    }

    /// No more calls, no more connections; the stream is closed now.
    pub(super) fn close(&mut self) {
        if matches!(self.link, Link::Closed) {
            return;
        }
        self.link = Link::Closed;
        self.end_sent();
        self.refuse();
        self.wake_driver();
        // All calls have ended and been told: nobody is to be kept by a waker.
        for caller in std::iter::once(&mut self.first).chain(&mut self.others) {
            caller.waker = Waker::noop().clone();
        }
    }

    /// Ends the calls that were sent, and tells those apart of which no byte has left.
    fn end_sent(&mut self) {
        if self.pending.start == 0 && !self.pending.is_empty() {
            self.connection.never_left();
        }
        self.drop_buffers();
        self.connection.reset();
    }

    fn drop_buffers(&mut self) {
        self.pump = Pump::Driver;
        self.pace = Pace::new();
        self.filled = 0;
        self.pending = 0..0;
        self.unflushed = false;
        self.burst_end = None;
    }
}
