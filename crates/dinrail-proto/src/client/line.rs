//! A serial line: one talks at a time, and nothing tells whose answer a frame is but when it comes.

use core::time::Duration;

use crate::{Instant, UnitId};

/// How many units can be in quarantine at a time; with more, nothing is sent until one is free again.
const MAX_SUSPECTS: usize = 8;

/// When the line may be used, and for whom.
#[derive(Debug)]
pub(super) struct Line {
    /// t3.5 after the last byte in either direction.
    free_at: Instant,
    /// Units that did not answer in time and may yet; `None` is a free entry.
    suspects: [Option<Suspect>; MAX_SUSPECTS],
    /// Since when a call has been kept waiting by a line that is not silent.
    blocked_since: Option<Instant>,
    /// How many bytes of the last request have come back, while it is being echoed.
    pub(super) echoed: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    unit: UnitId,
    until: Instant,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self { free_at: Instant::ZERO, suspects: [None; MAX_SUSPECTS], blocked_since: None, echoed: None }
    }

    /// Bytes came or went; the last one is on the line at `end`.
    pub(super) fn active(&mut self, end: Instant, gap: Duration) {
        self.free_at = self.free_at.max(end + gap);
    }

    /// A request is sent.
    pub(super) fn sent(&mut self, echo: bool) {
        self.blocked_since = None;
        self.echoed = echo.then_some(0);
    }

    /// `unit` did not answer in time: it is left alone until `until`.
    pub(super) fn suspect(&mut self, unit: UnitId, now: Instant, until: Instant) {
        self.forgive(unit);
        let expired = |entry: &Option<Suspect>| entry.is_none_or(|suspect| suspect.until <= now);
        // There is always room: nothing is sent while there is none.
        if let Some(entry) = self.suspects.iter_mut().find(|entry| expired(entry)) {
            *entry = Some(Suspect { unit, until });
        }
    }

    /// A frame of `unit` has come that no call was waiting for: if it is suspect, then this was its late reply.
    pub(super) fn forgive(&mut self, unit: UnitId) -> bool {
        match self.suspects.iter_mut().find(|entry| entry.is_some_and(|suspect| suspect.unit == unit)) {
            Some(entry) => entry.take().is_some(),
            None => false,
        }
    }

    /// When a request to `unit` may be sent, if nothing else happens.
    pub(super) fn ready_at(&self, unit: UnitId) -> Instant {
        let suspects = self.suspects.iter().flatten();
        let own = suspects.clone().filter(|suspect| suspect.unit == unit).map(|suspect| suspect.until).max();
        let full = suspects.clone().count() == MAX_SUSPECTS;
        let room = if full { suspects.map(|suspect| suspect.until).min() } else { None };
        self.free_at.max(own.unwrap_or_default()).max(room.unwrap_or_default())
    }

    /// Looks at whether the line is silent at `now`, and remembers since when it is not.
    pub(super) fn watch(&mut self, now: Instant) {
        let silent = now >= self.free_at;
        self.blocked_since = if silent { None } else { self.blocked_since.or(Some(now)) };
    }

    /// When a call that may wait for silence for `patience` gives up.
    pub(super) fn gives_up_at(&self, patience: Duration) -> Option<Instant> {
        self.blocked_since.map(|since| since + patience)
    }
}
