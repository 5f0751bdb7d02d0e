//! Pacing: requests at no more than a rate, evenly, for devices that choke on bursts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// So late a timer may be. What it is late is taken off the next wait, so that the rate is kept.
const LATE: Duration = Duration::from_millis(2);

/// How fast requests may follow each other. Clones share the limit: give one to every handle that asks the same device.
///
/// Turns come one by one, evenly, in the order in which they were asked for; what was not used is not saved up for a
/// burst. Whoever stops waiting leaves its turn to the next.
///
/// ```no_run
/// # async fn example() -> Result<(), dinrail::Error> {
/// use dinrail::Client;
/// use dinrail::client::RateLimit;
///
/// let slow = Client::connect("old-plc").await?.with_rate_limit(RateLimit::per_second(20));
/// for address in 0..20 {
///     slow.read_holding_registers(address, 1).await?; // one each 50 ms
/// }
/// # Ok(()) }
/// ```
///
/// [`Client::with_rate_limit`](super::Client::with_rate_limit) paces a client, and
/// [`Service::paced`](crate::Service::paced) what is asked of any service: a gateway's device.
#[derive(Clone)]
pub struct RateLimit {
    interval: Duration,
    /// When the next turn is; whoever holds the lock waits for it. `None` before the first.
    next: Arc<Mutex<Option<Instant>>>,
}

impl RateLimit {
    /// One turn each `interval`, at most.
    pub fn every(interval: Duration) -> Self {
        Self { interval, next: Arc::default() }
    }

    /// So many turns a second, at most; 0 is taken for 1.
    pub fn per_second(turns: u32) -> Self {
        Self::every(Duration::from_secs(1) / turns.max(1))
    }

    /// The time between two turns, at least.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Waits for its turn.
    pub async fn turn(&self) {
        let mut next = self.next.lock().await;
        if let Some(next) = *next {
            sleep_until(next).await;
        }
        *next = Some(self.after(*next, Instant::now()));
    }

    /// Takes a turn if it can be had without waiting.
    pub fn try_turn(&self) -> bool {
        let Ok(mut next) = self.next.try_lock() else { return false };
        let now = Instant::now();
        let is_due = next.is_none_or(|next| next <= now);
        if is_due {
            *next = Some(self.after(*next, now));
        }
        is_due
    }

    /// When the turn is that follows one that was to be at `due` and is taken now.
    fn after(&self, due: Option<Instant>, now: Instant) -> Instant {
        let taken = due.filter(|due| now.duration_since(*due) <= LATE).unwrap_or(now);
        // An interval of ages is as good as one that does not fit the clock.
        taken.checked_add(self.interval).unwrap_or(taken + Duration::from_secs(u32::MAX.into()))
    }

    /// [`turn`](Self::turn), for futures that are kept.
    pub(super) async fn into_turn(self) {
        self.turn().await;
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("interval", &self.interval).finish_non_exhaustive()
    }
}
