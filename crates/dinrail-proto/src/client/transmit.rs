//! What goes out, and when.

use core::time::Duration;

use super::slot::{CallId, Slot, Stage};
use super::{Connection, bits, lowest};
use crate::adu::counted_header;
use crate::{Framing, Instant, Request, UnitId};

impl<const N: usize> Connection<N> {
    /// Puts as many frames into `out` as may be sent now, and returns their bytes. They count as sent at `now`.
    ///
    /// A frame is only put when [`Framing::max_adu`](crate::Framing::max_adu) bytes are left in `out`.
    #[inline]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if self.waiting == 0 { None } else { self.transmit(now, out) }
    }

    fn transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let framing = if self.plain { Framing::Tcp } else { self.options.framing };
        let mut length = 0;
        self.given = 0;
        while self.waiting != 0 && self.has_depth() {
            if out.len() - length < framing.max_adu() {
                break;
            }
            let Some(index) = self.next_to_send(now) else { break };
            let Some(sent) = self.send(index, framing, now, &mut out[length..]) else { break };
            length += sent;
        }
        (length > 0).then_some(length)
    }

    /// The short way of a call that has the line for itself: starts it and puts its frame into `out`, as
    /// [`start_request`](Self::start_request) and [`poll_transmit`](Self::poll_transmit) do one after the other. The number
    /// is that of the frame's bytes. A call without a time at which it is sent, `now`, has no deadline before
    /// [`sent_at`](Self::sent_at) tells it.
    ///
    /// `None`: nothing has happened, and those two say why. So it is while there is any other call, on other framings than
    /// TCP, and when `out` has no room for the frame.
    #[inline]
    pub fn start_alone(
        &mut self,
        now: Option<Instant>,
        unit: UnitId,
        request: &Request<'_>,
        timeout: Duration,
        out: &mut [u8],
    ) -> Option<(CallId, usize)> {
        if !self.plain || self.used != 0 {
            return None;
        }
        // Of these alone one may be without an answer.
        if matches!(request, Request::Diagnostics { .. } | Request::Custom { .. }) {
            return None;
        }
        let slot = &mut self.slots[0];
        slot.pdu.refill(|out| request.encode_into(out)).ok()?;
        let (header, behind) = out.split_first_chunk_mut()?;
        let pdu = slot.pdu.as_bytes();
        behind.get_mut(..pdu.len())?.copy_from_slice(pdu);
        let transaction = self.transactions.give(&self.late, |_| false);
        *header = counted_header(transaction, unit, pdu.len());
        let length = header.len() + pdu.len();
        slot.stage = Stage::Open;
        slot.abandoned = false;
        slot.unit = unit;
        slot.transaction = transaction;
        slot.timeout = timeout;
        slot.deadline = now.map_or(Instant::NEVER, |now| now + timeout);
        slot.mismatch = None;
        self.used = 1;
        self.open = 1;
        self.given = 1;
        Some((CallId { slot: 0, generation: slot.generation }, length))
    }

    /// The call was sent at `at`, it turns out: its time counts from then. Nothing, if it has ended.
    pub fn sent_at(&mut self, call: CallId, at: Instant) {
        let slot = self.slots.get_mut(call.index()).filter(|slot| slot.generation == call.generation);
        if let Some(slot) = slot.filter(|slot| slot.stage == Stage::Open) {
            slot.deadline = at + slot.timeout;
        }
    }

    #[inline]
    fn send(&mut self, index: usize, framing: Framing, now: Instant, out: &mut [u8]) -> Option<usize> {
        let turns = !self.plain && self.options.takes_turns();
        let (slots, open) = (&self.slots, self.open);
        let is_open = |id| bits(open).any(|at| slots[at].transaction == id);
        let transaction = if turns { 0 } else { self.transactions.give(&self.late, is_open) };
        let slot = &mut self.slots[index];
        slot.transaction = transaction;
        let length = framing.encode(&slot.adu(), out).ok()?; // cannot fail: a Pdu is legal, and fits
        // At most 1024 bytes.
        let gone = if self.plain { now } else { now + self.options.byte_time.saturating_mul(length as u32) };
        slot.stage = Stage::Open;
        slot.deadline =
            gone + if slot.is_unanswered(&self.options) { self.options.broadcast_delay } else { slot.timeout };
        self.waiting &= !(1 << index);
        self.open |= 1 << index;
        self.given |= 1 << index;
        if turns {
            self.line.active(now, gone, self.options.frame_gap);
            self.line.sent(self.options.local_echo);
            // What has come before the request cannot be its answer.
            self.stale = self.unconsumed;
        }
        Some(length)
    }

    /// The waiting call that came first, among those that the line allows.
    fn next_to_send(&mut self, now: Instant) -> Option<usize> {
        if self.plain || !self.options.takes_turns() {
            // Mostly there is but one.
            let only = self.waiting.is_power_of_two();
            return if only { lowest(self.waiting) } else { self.first_waiting(|_| true) };
        }
        self.line.wait_for_silence(now);
        self.first_waiting(|slot| self.ready_at(slot) <= now)
    }

    /// When the line allows this call, if nothing else happens.
    pub(super) fn ready_at(&self, slot: &Slot) -> Instant {
        self.line.ready_at(self.options.addressed(slot.unit))
    }

    pub(super) fn first_waiting(&self, allowed: impl Fn(&Slot) -> bool) -> Option<usize> {
        let age = |index: &usize| self.next_order.wrapping_sub(self.slots[*index].order);
        bits(self.waiting).filter(|&index| allowed(&self.slots[index])).max_by_key(age)
    }
}
