//! Waits between tries: those of a client for its server, and of a server for its serial port.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// Waits that double from a least to a most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The first wait.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
    /// Whether each wait is shortened at random, by up to half, so that many who have failed at once do not all come back
    /// at once.
    pub jitter: bool,
}

impl Backoff {
    /// Waits from `min`, doubling, to `max`.
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, jitter: false }
    }

    /// Sets [`jitter`](Self::jitter).
    #[must_use]
    pub const fn with_jitter(mut self) -> Self {
        self.jitter = true;
        self
    }

    /// The wait before try number `tries` (0 is the first one after a failure).
    pub(crate) fn wait(&self, tries: u32) -> Duration {
        let wait = self.min.saturating_mul(2u32.saturating_pow(tries)).min(self.max);
        if self.jitter { wait - wait.mul_f64(random() / 2.0) } else { wait }
    }
}

/// From 0 to 1. What the standard library keys its hash maps with is random enough here.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(30)).with_jitter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_takes_up_to_half() {
        let exact = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        let waits: Vec<u128> = (0..5).map(|tries| exact.wait(tries).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 300, 300]);
        assert_eq!(exact.wait(u32::MAX), exact.max);
        let waits: Vec<Duration> = (0..1000).map(|_| exact.with_jitter().wait(1)).collect();
        let (least, most) = (waits.iter().min().expect("a thousand"), waits.iter().max().expect("a thousand"));
        assert!(*least >= Duration::from_millis(50) && *least < Duration::from_millis(60), "{least:?}");
        assert!(*most <= Duration::from_millis(100) && *most > Duration::from_millis(90), "{most:?}");
    }
}
