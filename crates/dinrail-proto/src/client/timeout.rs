//! What ends without an answer: calls whose time is up, and connections.

use super::line::Line;
use super::outcome::Failure;
use super::slot::{CallId, Stage};
use super::{Connection, bits};
use crate::Instant;

impl<const N: usize> Connection<N> {
    /// When [`handle_timeout`](Self::handle_timeout) or [`poll_transmit`](Self::poll_transmit) has something to do,
    /// if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = bits(self.open).map(|index| self.slots[index].deadline).min();
        if !self.options.takes_turns() {
            return deadline;
        }
        let idle = self.open == 0;
        let ready = bits(if idle { self.waiting } else { 0 }).map(|index| self.ready_at(&self.slots[index])).min();
        let given_up = if idle { self.silence_given_up_at() } else { None };
        [deadline, ready, given_up].into_iter().flatten().min()
    }

    /// Ends the calls whose time is up. Says when the last of them was sent, of those that were to be answered: a driver that
    /// hears nothing from its peer for several calls in a row may take the connection for dead.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Instant> {
        let mut unanswered = None;
        for index in bits(self.open) {
            if self.slots[index].deadline <= now {
                unanswered = self.give_up(index, now).max(unanswered);
            }
        }
        self.line.settle(now);
        // A line that is never silent (a device that jabbers) must not keep calls for ever.
        while self.open == 0 && self.silence_given_up_at().is_some_and(|at| at <= now) {
            let Some(index) = self.first_waiting(|_| true) else { break };
            self.end(index, Stage::Failed(Failure::NotSent));
        }
        unanswered
    }

    fn silence_given_up_at(&self) -> Option<Instant> {
        let first = self.first_waiting(|_| true)?;
        self.line.gives_up_at(self.slots[first].timeout)
    }

    /// Ends a call; says when it was sent if it was to be answered.
    fn give_up(&mut self, index: usize, now: Instant) -> Option<Instant> {
        let slot = &self.slots[index];
        if slot.is_unanswered(&self.options) {
            self.end(index, Stage::Sent);
            return None;
        }
        let (mismatch, sent) = (slot.mismatch, slot.sent());
        if self.options.takes_turns() {
            let until = now + self.options.quarantine.unwrap_or(slot.timeout);
            self.line.echoed = None;
            self.line.suspect(self.options.addressed(slot.unit), &slot.pdu, now, until);
        } else {
            self.transactions.timed_out(&mut self.late, slot.transaction);
        }
        self.stats.timeouts += 1;
        self.end(index, Stage::Failed(Failure::Timeout { mismatch }));
        Some(sent)
    }

    /// Not one byte has left of what [`poll_transmit`](Self::poll_transmit) or [`start_alone`](Self::start_alone) gave last,
    /// and none ever will: the connection is gone. Its calls end with [`Failure::NotSent`]. To be said before
    /// [`reset`](Self::reset).
    pub fn never_left(&mut self) {
        for index in bits(self.given & self.open) {
            self.end(index, Stage::Failed(Failure::NotSent));
        }
    }

    /// The connection is gone: calls that were sent end with [`Failure::Lost`], the others wait for a new connection.
    /// Nothing of the old one can come any more.
    pub fn reset(&mut self) {
        for index in bits(self.open) {
            self.end(index, Stage::Failed(Failure::Lost));
        }
        self.transactions.reset();
        self.line = Line::new();
        self.unconsumed = 0;
        self.stale = 0;
    }

    /// There is no connection for this call, and nobody waits any longer for one: if it was not sent it ends with
    /// [`Failure::NotSent`].
    pub fn refuse(&mut self, call: CallId) {
        let known = self.slots.get(call.index()).is_some_and(|slot| slot.generation == call.generation);
        if known && self.waiting & 1 << call.index() != 0 {
            self.end(call.index(), Stage::Failed(Failure::NotSent));
        }
    }

    /// There will be no connection for them: calls that were not sent end with [`Failure::NotSent`].
    pub fn refuse_waiting(&mut self) {
        for index in bits(self.waiting) {
            self.end(index, Stage::Failed(Failure::NotSent));
        }
    }
}
