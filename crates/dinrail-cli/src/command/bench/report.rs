//! What a measurement gave: numbers for a person, or one JSON object.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::failure::Failure;

/// The longest time that is told apart from longer ones, in nanoseconds: a minute.
const LONGEST: u64 = 60_000_000_000;

/// What one worker, or all of them, counted.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Nanoseconds from a request to its answer; requests that failed are not in it.
    latencies: Histogram<u64>,
    /// How often each thing went wrong.
    errors: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn new() -> Result<Self, Failure> {
        // Three digits are exact; the bounds are constants that the histogram accepts.
        let latencies =
            Histogram::new_with_bounds(1, LONGEST, 3).map_err(|error| Failure::Refused(error.to_string()))?;
        Ok(Self { latencies, errors: BTreeMap::new() })
    }

    pub(super) fn answered(&mut self, latency: Duration) {
        self.latencies.saturating_record(latency.as_nanos().min(LONGEST.into()) as u64);
    }

    pub(super) fn failed(&mut self, error: String) {
        *self.errors.entry(error).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so that nothing can be out of them.
        let _ = self.latencies.add(&other.latencies);
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
    }

    /// What it says after `elapsed`.
    pub(super) fn report(&self, elapsed: Duration) -> Report {
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let at = |quantile| micros(self.latencies.value_at_quantile(quantile));
        let requests = self.latencies.len();
        Report {
            requests,
            seconds: elapsed.as_secs_f64(),
            requests_per_second: requests as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            latency_us: Latency {
                min: micros(self.latencies.min()),
                mean: self.latencies.mean() / 1000.0,
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: micros(self.latencies.max()),
            },
            errors: self.errors.clone(),
        }
    }
}

/// The result, as `--json` writes it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Requests that were answered.
    pub(super) requests: u64,
    seconds: f64,
    requests_per_second: f64,
    /// Microseconds.
    latency_us: Latency,
    pub(super) errors: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Latency {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p999: f64,
    max: f64,
}

impl Report {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")) + "\n"
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} requests in {:.2} s: {:.0} requests/s, {} errors",
            self.requests,
            self.seconds,
            self.requests_per_second,
            self.errors.values().sum::<u64>()
        );
        let Latency { min, mean, p50, p90, p99, p999, max } = self.latency_us;
        let rows =
            [("min", min), ("mean", mean), ("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)];
        for (name, micros) in rows.into_iter().filter(|_| self.requests > 0) {
            let _ = writeln!(text, "  {name:<6}{micros:>12.1} us");
        }
        for (error, count) in &self.errors {
            let _ = writeln!(text, "  {count} x {error}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_adds_up_what_the_workers_counted() {
        let mut all = Tally::new().expect("bounds");
        for micros in [100, 200] {
            let mut worker = Tally::new().expect("bounds");
            (0..50).for_each(|_| worker.answered(Duration::from_micros(micros)));
            worker.failed("no answer".to_owned());
            all.add(&worker);
        }
        let report = all.report(Duration::from_secs(2));
        assert_eq!((report.requests, report.errors["no answer"]), (100, 2));
        let text = report.to_text();
        assert!(text.starts_with("100 requests in 2.00 s: 50 requests/s, 2 errors\n"), "{text}");
        assert!(text.contains("  p50          100.1 us\n") || text.contains("  p50          100.0 us\n"), "{text}");
        assert!(text.ends_with("  2 x no answer\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(json["requests_per_second"], 50.0);
        assert!((199.0..201.0).contains(&json["latency_us"]["max"].as_f64().expect("a number")));
    }

    #[test]
    fn nothing_measured_is_no_division_by_zero() {
        let report = Tally::new().expect("bounds").report(Duration::ZERO);
        assert_eq!(report.to_text(), "0 requests in 0.00 s: 0 requests/s, 0 errors\n");
        assert!(!report.to_json().contains("NaN"), "{}", report.to_json());
    }
}
