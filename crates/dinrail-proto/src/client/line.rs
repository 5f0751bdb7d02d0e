//! A line without transaction ids: one talks at a time, and nothing tells whose answer a frame is but when it comes.

use core::time::Duration;

use crate::adu::{Adu, Expected};
use crate::pdu::Pdu;
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
    /// What it was asked for; `None` when that was no function.
    reply: Option<Expected>,
    until: Instant,
}

impl Suspect {
    /// Whether this frame is what is awaited, as far as one can tell.
    fn awaits(&self, adu: &Adu<'_>) -> bool {
        let fits = |reply: Expected| match adu.pdu {
            [function, _] if *function == reply.function.exception_byte() => true,
            [function, ..] if *function == reply.function.code() => {
                reply.length.is_none_or(|length| length == adu.pdu.len())
            }
            _ => false,
        };
        self.unit == adu.unit && self.reply.is_none_or(fits)
    }
}

impl Line {
    pub(super) const fn new() -> Self {
        Self { free_at: Instant::ZERO, suspects: [None; MAX_SUSPECTS], blocked_since: None, echoed: None }
    }

    /// Bytes came or went, from `start` to `end`.
    pub(super) fn active(&mut self, start: Instant, end: Instant, gap: Duration) {
        self.settle(start);
        self.free_at = self.free_at.max(end + gap);
    }

    /// A request is sent.
    pub(super) fn sent(&mut self, echo: bool) {
        self.blocked_since = None;
        self.echoed = echo.then_some(0);
    }

    /// `unit` did not answer `request` in time: it is left alone until `until`.
    pub(super) fn suspect(&mut self, unit: UnitId, request: &Pdu, now: Instant, until: Instant) {
        let reply = Expected::reply_to(unit, request.as_bytes());
        let expired = |entry: &Option<Suspect>| entry.is_none_or(|suspect| suspect.until <= now);
        // There is always room: nothing is sent while there is none.
        if let Some(entry) = self.suspects.iter_mut().find(|entry| expired(entry)) {
            *entry = Some(Suspect { unit, reply, until });
        }
    }

    /// A frame has come that no call was waiting for: whether it is the late reply of a suspect, which then is none any
    /// longer.
    pub(super) fn forgive(&mut self, adu: &Adu<'_>) -> bool {
        let mut found = false;
        for entry in &mut self.suspects {
            if entry.is_some_and(|suspect| suspect.awaits(adu)) {
                *entry = None;
                found = true;
            }
        }
        found
    }

    /// When a request to `unit` may be sent, if nothing else happens.
    pub(super) fn ready_at(&self, unit: UnitId) -> Instant {
        let suspects = self.suspects.iter().flatten();
        let own = suspects.clone().filter(|suspect| suspect.unit == unit).map(|suspect| suspect.until).max();
        let full = suspects.clone().count() == MAX_SUSPECTS;
        let room = if full { suspects.map(|suspect| suspect.until).min() } else { None };
        self.free_at.max(own.unwrap_or_default()).max(room.unwrap_or_default())
    }

    /// A call could go out at `now` but for the noise, if there is any: remembers since when it waits for silence.
    pub(super) fn wait_for_silence(&mut self, now: Instant) {
        self.settle(now);
        if now < self.free_at {
            self.blocked_since.get_or_insert(now);
        }
    }

    /// If the line is silent at `now`, nobody waits for silence any longer.
    pub(super) fn settle(&mut self, now: Instant) {
        if now >= self.free_at {
            self.blocked_since = None;
        }
    }

    /// When a call that may wait for silence for `patience` gives up.
    pub(super) fn gives_up_at(&self, patience: Duration) -> Option<Instant> {
        self.blocked_since.map(|since| since + patience)
    }
}
