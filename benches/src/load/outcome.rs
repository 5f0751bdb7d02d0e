//! What a run of the load came to.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Requests by their fate, and how long the right ones took.
pub struct Outcome {
    /// Answered, and right in every byte that was checked.
    pub requests: u64,
    /// Answered, but wrong.
    pub wrong: u64,
    /// Never answered, or open when the server closed.
    pub lost: u64,
    /// Replies to nothing that was open.
    pub unasked: u64,
    /// From the first request to the last reply.
    pub seconds: f64,
    latency: Histogram<u64>,
}

impl Outcome {
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are constants in range");
        Self { requests: 0, wrong: 0, lost: 0, unasked: 0, seconds: 0.0, latency }
    }

    pub(super) fn right(&mut self, took: Duration) {
        self.requests += 1;
        self.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Requests whose fate is known.
    pub(super) fn settled(&self) -> u64 {
        self.requests + self.wrong + self.lost
    }

    /// Whether every request got its right reply, and nothing else came.
    pub fn is_clean(&self) -> bool {
        self.wrong + self.lost + self.unasked == 0
    }

    /// The latency in nanoseconds that `percent` of the requests did not exceed.
    pub fn latency_ns(&self, percent: f64) -> u64 {
        self.latency.value_at_percentile(percent)
    }

    /// What went wrong, in words; empty when nothing did.
    pub fn faults(&self) -> String {
        let of = [(self.lost, "lost"), (self.wrong, "wrong"), (self.unasked, "unasked for")];
        let some = of.iter().filter(|(count, _)| *count > 0);
        some.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }
}
