//! What servers count for whoever watches a plant: requests by function and outcome, how long they took, connections,
//! bytes, errors on the line. Nothing here knows how that is shown; the crate `dinrail-gateway` has an endpoint for
//! Prometheus.
//!
//! Counting takes no lock and no memory: every figure is an atomic number. A server that does not count asks one flag,
//! the same that says whether there are [hooks](super::Hooks), and pays nothing else.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::shared::Shared;
use crate::proto::ExceptionCode;
use crate::proto::adu::Discard;
use crate::proto::server::{Completion, Event, Skipped};

/// Upper bounds of the classes of [`Measured::durations`], in microseconds: 10 us to 10 s.
pub const DURATION_BOUNDS: [u64; 19] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Function codes have 7 bits; what is none is counted as 0.
const FUNCTIONS: usize = 128;
/// Done, exceptions up to 0x0B by their codes, other exceptions, no answer.
const OUTCOMES: usize = 14;
const OTHER_EXCEPTION: usize = 12;
const UNANSWERED: usize = 13;

/// The figures of a server, given to it by [`Options::with_metrics`](super::Options::with_metrics). Clones share them, and
/// they go on when the server is started again, or another one takes its place with the same handle. Servers that share
/// a handle are added up.
///
/// ```
/// use dinrail::server::{Metrics, Options};
/// use dinrail::service::Memory;
/// use dinrail::Server;
///
/// let metrics = Metrics::new();
/// let options = Options::default().with_metrics(metrics.clone());
/// let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options);
/// assert_eq!(metrics.measured().accepted, 0);
/// # drop(server);
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Figures>);

struct Figures {
    /// Whether requests are counted; changed while `servers` is locked.
    counting: AtomicBool,
    /// Those that have been started and not dropped.
    servers: Mutex<Vec<Weak<Shared>>>,
    /// Made when they are first wanted: 14 kB.
    counts: OnceLock<Box<Counts>>,
    listeners: AtomicU64,
    open: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    evicted: AtomicU64,
    handshakes_failed: AtomicU64,
}

/// What is counted while requests are answered.
pub(super) struct Counts {
    requests: [[AtomicU64; OUTCOMES]; FUNCTIONS],
    durations: [AtomicU64; DURATION_BOUNDS.len() + 1],
    /// In nanoseconds.
    duration_sum: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    line_errors: [AtomicU64; LineError::ALL.len()],
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused with this exception.
    Exception(ExceptionCode),
    /// It was refused with an exception that the specification does not define.
    OtherException,
    /// It got no answer: a unit that is ignored, a broadcast that reads.
    Unanswered,
}

/// What is wrong with bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LineError {
    /// Bytes that belong to no frame with a right checksum. As FC 8 counts them: garbage without a good frame or a
    /// silence in it is one error.
    Noise,
    /// A frame that was cut short, or an ASCII frame with something else than pairs of hex digits; a datagram that is
    /// empty or too long.
    Broken,
    /// A frame of another protocol than Modbus, as its MBAP header says.
    Protocol,
    /// A length that no frame has; the connection ends.
    Length,
    /// A connection that ended within a frame.
    Cut,
    /// More bytes than a frame has, without a pause, on a line that is strict (SL 2.5.1.1).
    Overrun,
    /// A gap within a frame, on a line that is strict.
    Gap,
}

impl LineError {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Noise, Self::Broken, Self::Protocol, Self::Length, Self::Cut, Self::Overrun, Self::Gap];
}

/// The figures at one moment. They are read one after the other, so those of a server that is at work may differ by what
/// happened meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measured {
    /// Whether a server listens.
    pub listening: bool,
    /// Connections that are open; serial ports that are there; datagrams that are worked on by a service that takes its
    /// time.
    pub open: u64,
    /// Connections accepted, and serial ports opened.
    pub accepted: u64,
    /// Connections closed at once, as [`Statistics::refused`](super::Statistics::refused).
    pub refused: u64,
    /// Connections closed to make room, as [`Statistics::evicted`](super::Statistics::evicted).
    pub evicted: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Bytes received. Over TLS those of Modbus; on a serial line also those that were for others.
    pub received: u64,
    /// Bytes of replies given to the system to be sent.
    pub sent: u64,
    /// How many requests of which function ended how; those that never happened are left out. What is no function code (0,
    /// 128 and above) has function 0.
    pub requests: Vec<(u8, Outcome, u64)>,
    /// How many requests took how long: a count for each of the [`DURATION_BOUNDS`], and one for those beyond. A request's
    /// time begins when it has been read, and ends when its reply is ready to be sent; it includes what it waits behind
    /// other requests of its connection.
    pub durations: Vec<u64>,
    /// How long all of them took together.
    pub duration_sum: Duration,
    /// How often which error was seen.
    pub line_errors: Vec<(LineError, u64)>,
}

impl Metrics {
    /// Figures that are all 0.
    pub fn new() -> Self {
        Self(Arc::new(Figures {
            counting: AtomicBool::new(true),
            servers: Mutex::default(),
            counts: OnceLock::new(),
            listeners: AtomicU64::new(0),
            open: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
        }))
    }

    /// Says whether requests, times, bytes and line errors are counted; they are unless this says otherwise. Connections
    /// always are. It may change while servers run: one that does not count pays nothing for being able to.
    pub fn set_counting(&self, counting: bool) {
        let mut servers = self.servers();
        self.0.counting.store(counting, Ordering::Release);
        servers.retain(|server| server.upgrade().inspect(|shared| shared.set_counting(counting)).is_some());
    }

    /// How everything stands.
    pub fn measured(&self) -> Measured {
        let Figures { listeners, open, accepted, refused, evicted, handshakes_failed, .. } = &*self.0;
        let mut measured = Measured {
            listening: load(listeners) > 0,
            open: load(open),
            accepted: load(accepted),
            refused: load(refused),
            evicted: load(evicted),
            handshakes_failed: load(handshakes_failed),
            durations: vec![0; DURATION_BOUNDS.len() + 1],
            line_errors: LineError::ALL.map(|kind| (kind, 0)).to_vec(),
            ..Measured::default()
        };
        if let Some(counts) = self.0.counts.get() {
            counts.fill(&mut measured);
        }
        measured
    }

    /// A server begins with these figures.
    pub(super) fn attach(&self, shared: &Arc<Shared>) {
        let mut servers = self.servers();
        servers.retain(|server| server.strong_count() > 0);
        servers.push(Arc::downgrade(shared));
        shared.set_counting(self.0.counting.load(Ordering::Relaxed));
    }

    /// Where to count what requests do, if that is wanted.
    pub(super) fn counts(&self) -> Option<&Counts> {
        self.0.counting.load(Ordering::Acquire).then(|| &**self.0.counts.get_or_init(Counts::new))
    }

    pub(super) fn listener_started(&self) {
        add(&self.0.listeners, 1);
    }

    pub(super) fn listener_ended(&self) {
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn opened(&self) {
        add(&self.0.open, 1);
    }

    pub(super) fn closed(&self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn accepted(&self) {
        add(&self.0.accepted, 1);
    }

    pub(super) fn refused(&self) {
        add(&self.0.refused, 1);
    }

    pub(super) fn evicted(&self) {
        add(&self.0.evicted, 1);
    }

    #[cfg(feature = "tls")]
    pub(super) fn handshake_failed(&self) {
        add(&self.0.handshakes_failed, 1);
    }

    /// Nothing panics while this is held.
    fn servers(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.0.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn new() -> Box<Self> {
        Box::new(Self {
            requests: [const { [const { AtomicU64::new(0) }; OUTCOMES] }; FUNCTIONS],
            durations: [const { AtomicU64::new(0) }; DURATION_BOUNDS.len() + 1],
            duration_sum: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            line_errors: [const { AtomicU64::new(0) }; LineError::ALL.len()],
        })
    }

    pub(super) fn request(&self, function: u8, completion: Completion) {
        let row = self.requests.get(usize::from(function)).unwrap_or(&self.requests[0]);
        let outcome = match completion {
            Completion::Done => 0,
            Completion::Refused(code) => match usize::from(code.code()) {
                code @ (1..=8 | 10 | 11) => code,
                _ => OTHER_EXCEPTION,
            },
            Completion::Ignored => UNANSWERED,
        };
        add(&row[outcome], 1);
    }

    /// So many requests took that long, each.
    pub(super) fn took(&self, requests: u64, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let class = DURATION_BOUNDS.partition_point(|bound| bound * 1_000 < nanoseconds);
        add(&self.durations[class], requests);
        add(&self.duration_sum, nanoseconds.saturating_mul(requests));
    }

    pub(super) fn received(&self, bytes: usize) {
        add(&self.received, bytes as u64);
    }

    pub(super) fn sent(&self, bytes: usize) {
        add(&self.sent, bytes as u64);
    }

    pub(super) fn line_error(&self, kind: LineError) {
        add(&self.line_errors[kind as usize], 1);
    }

    fn fill(&self, measured: &mut Measured) {
        for (function, row) in (0..).zip(&self.requests) {
            for (index, count) in row.iter().enumerate() {
                let outcome = match index {
                    0 => Outcome::Done,
                    OTHER_EXCEPTION => Outcome::OtherException,
                    UNANSWERED => Outcome::Unanswered,
                    code => Outcome::Exception(ExceptionCode::from(code as u8)),
                };
                let count = load(count);
                if count > 0 {
                    measured.requests.push((function, outcome, count));
                }
            }
        }
        measured.durations = self.durations.iter().map(load).collect();
        measured.duration_sum = Duration::from_nanos(load(&self.duration_sum));
        measured.received = load(&self.received);
        measured.sent = load(&self.sent);
        measured.line_errors = LineError::ALL.into_iter().zip(self.line_errors.iter().map(load)).collect();
    }
}

/// Finds the errors of a line in what its decoder says. Garbage counts once, as
/// [`Counters::bus_errors`](crate::proto::server::Counters::bus_errors) does.
#[derive(Default)]
pub(super) struct Garbage {
    /// Bytes of no use have come since the last good frame or silence.
    inside: bool,
}

impl Garbage {
    pub(super) fn see(&mut self, counts: &Counts, event: &Event<'_>, at_end: bool) {
        let was_inside = std::mem::replace(&mut self.inside, false);
        match event {
            Event::Skip { what: Skipped::Discarded(Discard::Protocol), .. } => counts.line_error(LineError::Protocol),
            Event::Skip { what: Skipped::Discarded(reason), .. } => {
                self.inside = true;
                let broken = *reason == Discard::Broken;
                match was_inside {
                    true => {}
                    false if broken => counts.line_error(LineError::Broken),
                    false => counts.line_error(LineError::Noise),
                }
            }
            Event::Wait => self.inside = was_inside && !at_end,
            // A length that cannot be is counted where the connection ends for it.
            Event::Request { .. } | Event::Skip { .. } | Event::Close { .. } => {}
        }
    }
}

fn add(figure: &AtomicU64, more: u64) {
    figure.fetch_add(more, Ordering::Relaxed);
}

fn load(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
