//! What the handles of a client and its driver share: the stream, the protocol's state and who waits for what.
//!
//! Whoever holds the lock may *pump*: read, write and hand out replies. Usually that is the driver. But a call that has
//! the line for itself pumps in its own context: the reply then wakes the caller and nobody else, which saves a task
//! switch each call. The driver takes over as soon as there is a second call, when the caller loses interest, and
//! when the timer fires, so nothing depends on the caller's future being polled.
//!
//! The lock is only held for steps that never wait.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::ReadBuf;

use super::io::Io;
use super::queue::Queue;
use super::{Options, Stats};
use crate::proto::client::{CallId, Connection};
use crate::proto::{Framing, Instant, Request, UnitId};
use crate::transport::{Burst, patience};

/// How many calls can be with the protocol at a time; more wait in the [`Queue`].
pub(super) const SLOTS: usize = 16;

/// Reads in one go, before others get a turn.
const MAX_ROUNDS: usize = 32;

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
    Closed,
}

/// Who reads and writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pump {
    Driver,
    /// The only call there is, in the context of its caller.
    Caller(CallId),
    /// A call that pumped has ended, and nothing is outstanding. The driver comes by when its timer fires.
    Nobody,
}

/// Who waits for the call of a slot.
pub(super) struct Caller {
    /// `None`: nobody.
    call: Option<CallId>,
    /// Whom to wake. Kept when nobody waits any more: the next call is often the same task's, and need not clone it.
    waker: Waker,
    /// When a call that cannot be sent for want of a connection is given up.
    give_up: Instant,
    timeout: Duration,
}

impl Caller {
    fn nobody() -> Self {
        Self { call: None, waker: Waker::noop().clone(), give_up: Instant::ZERO, timeout: Duration::ZERO }
    }
}

pub(super) struct Core {
    pub(super) link: Link,
    pub(super) pump: Pump,
    /// Whether a lone call may pump.
    direct: bool,
    /// Whether requests wait for the line to be free.
    pub(super) is_serial: bool,
    /// Whether anything has come over the present connection.
    pub(super) heard: bool,
    unflushed: bool,
    /// The driver's task has been woken and not run yet.
    pub(super) driver_woken: bool,
    /// When the driver's timer fires.
    pub(super) armed: Option<Instant>,
    epoch: tokio::time::Instant,
    /// Bytes that have come and are not used yet, at the front of `input`.
    filled: usize,
    /// What of `output` is still to be written.
    pending: std::ops::Range<usize>,
    /// How much of `output` may be filled at once.
    send_room: usize,
    input: Box<[u8]>,
    output: Box<[u8]>,
    pub(super) queue: Queue,
    callers: [Caller; SLOTS],
    pub(super) connection: Connection<SLOTS>,
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
}

impl Core {
    pub(super) fn new(options: &Options, framing: Framing, burst: Burst, byte_time: Duration, link: Link) -> Self {
        let protocol = options.protocol(framing, burst, byte_time);
        let depth = if framing.has_transactions() { options.depth.clamp(1, SLOTS) } else { 1 };
        // One byte more than all replies at once take: a datagram that fills it was cut.
        let room = (framing.max_adu() * depth).max(1024) + 1;
        Self {
            link,
            connection: Connection::new(protocol),
            callers: std::array::from_fn(|_| Caller::nobody()),
            queue: Queue::default(),
            pump: Pump::Driver,
            driver: Waker::noop().clone(),
            driver_woken: false,
            armed: None,
            failure: None,
            reconnects: 0,
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
        self.direct && self.connection.room() == SLOTS - 1 && self.pending.is_empty()
    }

    /// `waker` waits for this call; for a connection, should there be none, until `give_up`.
    #[inline]
    pub(super) fn enter(&mut self, call: CallId, waker: &Waker, give_up: Instant, timeout: Duration) {
        let caller = &mut self.callers[call.index()];
        caller.call = Some(call);
        caller.waker.clone_from(waker);
        caller.give_up = give_up;
        caller.timeout = timeout;
    }

    /// It is `waker` now that waits for this call.
    pub(super) fn stay(&mut self, call: CallId, waker: &Waker) {
        self.callers[call.index()].waker.clone_from(waker);
    }

    /// Nobody waits for this call any more; its slot is free, or will be.
    #[inline]
    pub(super) fn leave(&mut self, call: CallId) {
        self.callers[call.index()].call = None;
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
        [self.connection.poll_timeout(), self.burst_end].into_iter().flatten().min()
    }
}

/// Pumping.
impl Core {
    /// Reads and writes as far as the stream allows, in the context of whoever is woken when it allows more. An error
    /// is the end of the connection; `None` when the peer closed it. Stops when the call `until` has ended.
    pub(super) fn pump(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        until: Option<CallId>,
    ) -> Result<(), Option<io::Error>> {
        for _ in 0..MAX_ROUNDS {
            // Reading comes first: what is sent must not go into a connection that the peer has closed already.
            match self.read(cx, now) {
                Poll::Ready(read) => read?,
                Poll::Pending => return self.write(cx, now),
            }
            if until.is_some_and(|call| self.connection.has_ended(call)) {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        self.write(cx, now)
    }

    #[inline]
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), Option<io::Error>> {
        let Link::Up(stream) = &mut self.link else { return Ok(()) };
        loop {
            if self.pending.is_empty() {
                match self.connection.poll_transmit(now, &mut self.output[..self.send_room]) {
                    Some(length) => self.pending = 0..length,
                    None => break,
                }
            }
            match stream.poll_write(cx, &self.output[self.pending.clone()]) {
                Poll::Ready(Ok(0)) => return Err(Some(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.pending.start += written,
                Poll::Ready(Err(error)) => return Err(Some(error)),
                Poll::Pending => return Ok(()),
            }
            self.unflushed = true;
        }
        if self.unflushed {
            match stream.poll_flush(cx) {
                Poll::Ready(flushed) => flushed.map_err(Some)?,
                Poll::Pending => return Ok(()),
            }
            self.unflushed = false;
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), Option<io::Error>>> {
        let read = ready!(self.fill(cx))?;
        Poll::Ready(self.take_in(read, now))
    }

    /// Sends a request that has the line for itself, and says which call it is. `None` when it has not, or when anything
    /// else is out of the ordinary: then the request is not started.
    #[inline]
    pub(super) fn send_alone(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        unit: UnitId,
        request: &Request<'_>,
        timeout: Duration,
    ) -> Option<CallId> {
        let is_up = matches!(self.link, Link::Up(_));
        // While there is another call it is the driver who is to be woken when something comes, not this caller.
        if !is_up || !self.direct || !self.connection.is_unused() || !self.queue.is_empty() || !self.pending.is_empty()
        {
            return None;
        }
        // Reading comes first: what is sent must not go into a connection that the peer has closed already.
        if let Poll::Ready(came) = self.fill(cx) {
            if let Err(failure) = came.and_then(|read| self.take_in(read, now)) {
                self.lose(failure, now);
            }
            return None;
        }
        let (call, length) = self.connection.start_alone(now, unit, request, timeout, &mut self.output)?;
        let deadline = now + timeout;
        self.enter(call, cx.waker(), deadline, timeout);
        self.arm(deadline);
        self.pump = Pump::Caller(call);
        self.pending = 0..length;
        if let Err(failure) = self.write(cx, now) {
            self.lose(failure, now);
        }
        Some(call)
    }

    /// Reads for the call that has been [sent alone](Self::send_alone) and pumps, and has `take` make something of its
    /// response where it lies; with that the call is over. `None` when it does not pump any more, or when something else
    /// has come, or nothing.
    #[inline]
    pub(super) fn read_alone<T>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        call: CallId,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        if self.pump != Pump::Caller(call) || self.is_serial || self.connection.has_ended(call) {
            return None;
        }
        let came = match self.fill(cx) {
            Poll::Ready(came) => came,
            Poll::Pending => return None,
        };
        if self.filled == 0
            && let Ok(read) = came
            && let Some(response) = self.connection.response_in(call, &self.input[..read])
        {
            let taken = take(response);
            self.leave(call);
            return Some(taken);
        }
        if let Err(failure) = came.and_then(|read| self.take_in(read, now)) {
            self.lose(failure, now);
        }
        None
    }

    /// Takes in what has come while nobody read, the end of the connection among it.
    pub(super) fn look(&mut self) {
        if matches!(self.pump, Pump::Caller(_)) {
            return;
        }
        // What comes later is the driver's to read, as it was.
        let driver = self.driver.clone();
        let now = self.now();
        if let Err(failure) = self.pump(&mut Context::from_waker(&driver), now, None) {
            self.lose(failure, now);
        }
        self.wake_callers();
    }

    /// Reads behind what is in the input already, and returns how many bytes have come.
    #[inline]
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Option<io::Error>>> {
        let Link::Up(stream) = &mut self.link else { return Poll::Pending };
        let mut buffer = ReadBuf::new(&mut self.input[self.filled..]);
        ready!(stream.poll_read(cx, &mut buffer)).map_err(Some)?;
        let read = buffer.filled().len();
        self.heard |= read > 0;
        Poll::Ready(if read > 0 { Ok(read) } else { Err(None) })
    }

    /// Shows so many new bytes to the protocol.
    fn take_in(&mut self, read: usize, now: Instant) -> Result<(), Option<io::Error>> {
        let end = self.filled + read;
        if self.burst == Burst::EachRead {
            // Whatever is wrong with a datagram ends with it.
            if end == self.input.len() {
                self.cut += read as u64;
            } else {
                self.connection.end_of_burst(&mut self.input[..end]);
            }
            return Ok(());
        }
        let used = self
            .connection
            .handle_input(now, &mut self.input[..end])
            .map_err(|unframeable| Some(io::Error::new(io::ErrorKind::InvalidData, unframeable)))?;
        self.input.copy_within(used..end, 0);
        self.filled = end - used;
        self.burst_end = match self.burst {
            Burst::Silence(gap) if self.filled > 0 => {
                self.burst_over = now + gap.max(self.patience);
                Some(now + gap)
            }
            _ => None,
        };
        Ok(())
    }

    /// Ends what is due at `now`: calls, and a burst that has been followed by silence.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.burst_end.is_some_and(|end| end <= now) {
            self.end_burst(now);
        }
        self.connection.handle_timeout(now);
    }

    /// The line has been silent for a while: a part of a frame is kept for as long as its rest may come.
    fn end_burst(&mut self, now: Instant) {
        let filled = self.filled;
        self.burst_end = None;
        if now >= self.burst_over {
            self.filled = 0;
            return self.connection.end_of_burst(&mut self.input[..filled]);
        }
        let used = self.connection.pause(&mut self.input[..filled]);
        self.input.copy_within(used..filled, 0);
        self.filled = filled - used;
        if self.filled > 0 {
            self.burst_end = Some(self.burst_over);
        }
    }

    /// Wakes those whose calls have ended, and those for whom there is a slot now.
    pub(super) fn wake_callers(&mut self) {
        while let Some(call) = self.connection.poll() {
            let caller = &self.callers[call.index()];
            if caller.call == Some(call) {
                caller.waker.wake_by_ref();
            }
        }
        self.grant();
    }
}

/// Coming and going of the connection.
impl Core {
    /// The stream is gone; what becomes of calls that were not sent yet depends on whether there will be another.
    pub(super) fn lose(&mut self, failure: Option<io::Error>, now: Instant) {
        self.failure = failure.map(Arc::new);
        self.link = Link::Down;
        self.drop_buffers();
        self.connection.reset();
        for caller in &mut self.callers {
            // They waited for their turn so far; now they wait for a connection.
            caller.give_up = now + caller.timeout;
        }
        self.queue.renew(now);
        if self.burst == Burst::EachRead && !self.heard {
            // Nothing is sent to connect, so this was the try that the calls behind it have waited for.
            self.refuse();
        }
        self.wake_callers();
        self.wake_driver();
    }

    pub(super) fn install(&mut self, stream: Io) {
        self.link = Link::Up(stream);
        self.heard = false;
        self.pump = Pump::Driver;
        self.failure = None;
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
        for caller in &self.callers {
            let Some(call) = caller.call else { continue };
            if caller.give_up <= now {
                self.connection.refuse(call);
            } else {
                next = Some(next.map_or(caller.give_up, |at: Instant| at.min(caller.give_up)));
            }
        }
        self.queue.refuse(Some(now));
        self.wake_callers();
        next.into_iter().chain(self.queue.give_up()).min()
    }

    /// No more calls, no more connections; the stream is closed now.
    pub(super) fn close(&mut self) {
        if matches!(self.link, Link::Closed) {
            return;
        }
        self.link = Link::Closed;
        self.drop_buffers();
        self.connection.reset();
        self.refuse();
        self.wake_driver();
        // All calls have ended and been told: nobody is to be kept by a waker.
        for caller in &mut self.callers {
            caller.waker = Waker::noop().clone();
        }
    }

    fn drop_buffers(&mut self) {
        self.pump = Pump::Driver;
        self.filled = 0;
        self.pending = 0..0;
        self.unflushed = false;
        self.burst_end = None;
    }
}
