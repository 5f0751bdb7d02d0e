//! What was seen, in numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Event, Outcome, Seen};

/// Counts what was seen, for each unit of each server.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    units: BTreeMap<(Arc<str>, u8), UnitSummary>,
    garbage: u64,
    missing: u64,
}

/// What was seen of one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnitSummary {
    /// Requests, those that are not to be answered included.
    pub requests: u64,
    /// Replies that are no exceptions, and fit.
    pub answered: u64,
    /// Exceptions.
    pub exceptions: u64,
    /// Requests without a reply.
    pub unanswered: u64,
    /// Replies that do not fit their request, or have none.
    pub strange: u64,
    /// Times that bytes came that are no frame while its reply was due: a broken reply, as a rule.
    pub broken: u64,
    /// How long all replies took together; see [`mean`](Self::mean).
    pub total: Duration,
    /// How long the slowest reply took.
    pub longest: Duration,
    replies: u32,
}

impl UnitSummary {
    /// How long a reply took on average.
    pub fn mean(&self) -> Option<Duration> {
        self.total.checked_div(self.replies)
    }
}

impl Summary {
    /// Counts nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts this.
    pub fn count(&mut self, seen: &Seen) {
        match &seen.event {
            Event::Exchange(exchange) => {
                let unit = self.units.entry((seen.server.clone(), exchange.unit.0)).or_default();
                unit.requests += u64::from(exchange.request.is_some());
                match exchange.outcome {
                    Outcome::Answered => unit.answered += 1,
                    Outcome::Refused(_) => unit.exceptions += 1,
                    Outcome::Unanswered => unit.unanswered += 1,
                    Outcome::Misanswered | Outcome::Unasked => unit.strange += 1,
                    Outcome::NotToBeAnswered => {}
                }
                if let Some(elapsed) = exchange.elapsed {
                    unit.total += elapsed;
                    unit.longest = unit.longest.max(elapsed);
                    unit.replies = unit.replies.saturating_add(1);
                }
            }
            Event::Garbage { bytes, awaited, .. } => {
                if let Some(awaited) = awaited {
                    self.units.entry((seen.server.clone(), awaited.0)).or_default().broken += 1;
                }
                self.garbage += bytes.len() as u64;
            }
            Event::Gap { bytes, .. } => self.missing += u64::from(*bytes),
        }
    }

    /// The units in order, with their server.
    pub fn units(&self) -> impl Iterator<Item = (&str, u8, &UnitSummary)> {
        self.units.iter().map(|((server, unit), summary)| (&**server, *unit, summary))
    }

    /// How many bytes were no frame.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    /// How many bytes of connections a capture does not have.
    pub fn missing(&self) -> u64 {
        self.missing
    }
}
