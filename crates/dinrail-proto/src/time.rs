//! Time as the caller tells it: the state machines never look at a clock.

use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A moment on the caller's own monotonic clock, in microseconds since a start of the caller's choice.
///
/// Additions saturate, so a "never" deadline cannot wrap into the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the caller's clock.
    pub const ZERO: Self = Self(0);

    /// Later than any moment that comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `micros` microseconds after the start of the caller's clock.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start of the caller's clock.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How much later this is than `earlier`; zero when it is not later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl From<Duration> for Instant {
    fn from(since_start: Duration) -> Self {
        // In 64 bits: `Duration::as_micros` counts in 128, and this is done several times a call.
        let seconds = since_start.as_secs().saturating_mul(1_000_000);
        Self(seconds.saturating_add(since_start.subsec_micros().into()))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(Self::from(rhs).0))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, rhs: Instant) -> Duration {
        self.saturating_duration_since(rhs)
    }
}
