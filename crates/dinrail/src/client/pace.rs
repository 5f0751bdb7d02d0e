//! When a call was sent, without a look at the clock for each: that costs as much as all else that is done for a call on
//! the way out.
//!
//! While calls follow one another quickly the driver's timer ticks, eight times a timeout or more often. A call that is
//! sent between two ticks takes the later one for the time at which it was sent. If it is still open when the tick comes,
//! its time counts from then: it is never given up early, and at most an eighth of its timeout late. A call after a pause
//! looks at the clock, and where calls are slow there are no ticks.

use std::time::Duration;

use crate::proto::Instant;
use crate::proto::client::CallId;

/// Ticks in a timeout.
const TICKS: u32 = 8;

/// The shortest and the longest time from tick to tick.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(250);

// In this order in memory: what every call touches stands first.
#[repr(C)]
pub(super) struct Pace {
    /// Calls with a shorter timeout cannot go by the ticks; none can while there are no ticks.
    least_timeout: Duration,
    /// The last call that left its time to the next tick.
    ahead: Option<CallId>,
    /// Microseconds from tick to tick; [`LONGEST`] at most.
    period: u32,
    /// When it ticks, while calls are quick.
    next: Option<Instant>,
    /// When the last call that looked at the clock did.
    looked: Instant,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { least_timeout: Duration::MAX, ahead: None, period: 0, next: None, looked: Instant::ZERO }
    }

    /// Whether a call need not look at the clock when it is sent.
    #[inline]
    pub(super) fn ticks_for(&self, timeout: Duration) -> bool {
        timeout >= self.least_timeout
    }

    /// The call leaves it to the next tick to say when it was sent.
    #[inline]
    pub(super) fn goes_ahead(&mut self, call: CallId) {
        self.ahead = Some(call);
    }

    /// A call looked at the clock. Begins to tick if another did shortly before.
    pub(super) fn looked_at_clock(&mut self, now: Instant, timeout: Duration) {
        let period = (timeout / TICKS).min(LONGEST);
        if self.next.is_none() && period >= SHORTEST && now - self.looked < period {
            self.next = Some(now + period);
            self.period = period.as_micros() as u32;
            self.least_timeout = period * TICKS;
        }
        self.looked = now;
    }

    /// When it ticks next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Ticks if it is time to, and says which call was sent at `now` at the latest. Goes on if there was one since the last
    /// tick.
    pub(super) fn tick(&mut self, now: Instant) -> Option<CallId> {
        self.next.filter(|at| *at <= now)?;
        let ahead = self.ahead.take();
        self.next = ahead.map(|_| now + Duration::from_micros(self.period.into()));
        if self.next.is_none() {
            self.least_timeout = Duration::MAX;
        }
        ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::client::{Connection, Options};
    use crate::proto::pdu::Area;
    use crate::proto::{Framing, Request, UnitId};

    const TIMEOUT: Duration = Duration::from_millis(800);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn a_call() -> CallId {
        let request = Request::Read { area: Area::Coil, address: 0, count: 1 };
        let mut connection = Connection::<1>::new(Options::new(Framing::Tcp));
        connection.start_request(UnitId(1), &request, TIMEOUT).expect("there is room")
    }

    #[test]
    fn ticks_begin_with_quick_calls_and_end_with_them() {
        let mut pace = Pace::new();
        pace.looked_at_clock(at(1000), TIMEOUT);
        assert_eq!(pace.next(), None, "the first call for a while");
        pace.looked_at_clock(at(1100), TIMEOUT);
        assert_eq!(pace.next(), None, "no quicker than a tick");
        pace.looked_at_clock(at(1199), TIMEOUT);
        assert_eq!((pace.next(), pace.ticks_for(TIMEOUT)), (Some(at(1299)), true));
        assert!(!pace.ticks_for(TIMEOUT - Duration::from_millis(1)), "it would be given up too late");
        let call = a_call();
        pace.goes_ahead(call);
        assert_eq!(pace.tick(at(1298)), None);
        assert_eq!(pace.tick(at(1310)), Some(call), "the timer was late");
        assert_eq!(pace.next(), Some(at(1410)));
        assert_eq!(pace.tick(at(1410)), None);
        assert_eq!((pace.next(), pace.ticks_for(TIMEOUT)), (None, false), "no call since");
    }

    #[test]
    fn ticks_are_neither_too_quick_nor_too_slow() {
        for (timeout, tick) in [(79, None), (80, Some(10)), (1000, Some(125)), (60_000, Some(250))] {
            let mut pace = Pace::new();
            pace.looked_at_clock(at(5000), Duration::from_millis(timeout));
            pace.looked_at_clock(at(5001), Duration::from_millis(timeout));
            assert_eq!(pace.next(), tick.map(|tick| at(5001 + tick)), "{timeout} ms");
        }
    }
}
