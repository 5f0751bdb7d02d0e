//! What comes in, and whose it is.

use super::outcome::Mismatch;
use super::slot::{CallId, Stage, verify};
use super::{Connection, Unframeable, bits, lowest};
use crate::adu::{Decoded, Decoder, Expected, MAX_ADU, counted_header, decode_tcp};
use crate::error::ReplyError;
use crate::pdu::MAX_PDU;
use crate::{Adu, Instant, Request, Response};

impl<const N: usize> Connection<N> {
    /// Shows the bytes that have come and were not consumed yet, and returns how many are consumed now. The caller keeps
    /// the rest and shows it again with more behind it; [`Framing::max_adu`](crate::Framing::max_adu) bytes of room
    /// are always enough to get on. Consumed bytes may have been changed.
    ///
    /// # Errors
    /// [`Unframeable`] (never on RTU and ASCII): close the connection.
    pub fn handle_input(&mut self, now: Instant, bytes: &mut [u8]) -> Result<usize, Unframeable> {
        if self.plain {
            return self.consume_tcp(bytes, false);
        }
        if bytes.len() > self.unconsumed {
            self.line.active(now, now, self.options.frame_gap);
        }
        let used = self.consume(bytes, false)?;
        self.unconsumed = bytes.len() - used;
        Ok(used)
    }

    /// The short way of a call that has the line for itself: if `bytes`, all that were not consumed yet, are the response
    /// to `call`, which was started with `request`, and nothing besides, the call has ended, its slot is free, and this is
    /// the response's PDU where it lies.
    ///
    /// `None`, always so on other framings than TCP and for [`Request::Custom`]: nothing has happened. Show the bytes to
    /// [`handle_input`](Self::handle_input), which comes to the same, whatever they are, but keeps a copy of a response.
    #[inline]
    pub fn response_in<'b>(&mut self, call: CallId, request: &Request<'_>, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let slot = &mut self.slots[0];
        // The first slot, which such a call has, holds it; it is unanswered; and there is no other.
        let awaited = call.slot == 0 && slot.generation == call.generation && self.open == 1 && self.used == 1;
        if !awaited || !self.plain || matches!(request, Request::Custom { .. }) {
            return None;
        }
        let (&header, pdu) = bytes.split_first_chunk()?;
        // Held against each other as numbers, in one step.
        let number = |[a, b, c, d, e, f, g]: [u8; 7]| u64::from_be_bytes([0, a, b, c, d, e, f, g]);
        let expected = counted_header(slot.transaction, slot.unit, pdu.len());
        let fits = pdu.len() <= MAX_PDU && number(header) == number(expected);
        if !fits || Response::decode(request, pdu).is_err() {
            return None;
        }
        debug_assert_eq!(verify(&slot.pdu, pdu), Ok(()), "the call was started with another request");
        slot.stage = Stage::Free;
        slot.generation = slot.generation.wrapping_add(1);
        self.used = 0;
        self.open = 0;
        Some(pdu)
    }

    /// The line has fallen silent, or the datagram ends here: `bytes`, shown before and not consumed, are all there
    /// will be. They are consumed, all of them.
    pub fn end_of_burst(&mut self, bytes: &mut [u8]) {
        // What is unframeable at the end of a datagram is no worse than other noise: the next one starts afresh.
        if self.consume(bytes, true).is_err() {
            self.stats.noise += bytes.len() as u64;
        }
        self.unconsumed = 0;
        self.stale = 0;
    }

    /// The line has paused, and more of this burst may come or not: takes what is whole if it does not, and returns how many
    /// of the bytes, shown before and not consumed, that are. The rest is shown again, with more behind it or to
    /// [`end_of_burst`](Self::end_of_burst).
    pub fn pause(&mut self, bytes: &mut [u8]) -> usize {
        let Some(end) = self.present_decoder().whole_until(bytes) else { return 0 };
        // Only RTU has this, and there every byte can be followed by a frame.
        let used = self.consume(&mut bytes[..end], true).unwrap_or(end);
        self.unconsumed = bytes.len() - used;
        used
    }

    /// Takes frames from the front until none is complete, and returns how many bytes were used.
    fn consume(&mut self, bytes: &mut [u8], at_end: bool) -> Result<usize, Unframeable> {
        if self.plain {
            return self.consume_tcp(bytes, at_end);
        }
        // What came before the request is not looked at.
        let mut used = self.stale.min(bytes.len());
        self.stale -= used;
        self.stats.noise += used as u64;
        loop {
            used += self.swallow_echo(&bytes[used..]);
            match self.decode(&mut bytes[used..], at_end) {
                Decoded::Frame { adu, length } => {
                    used += length;
                    self.receive(&adu);
                }
                Decoded::Skip { length, .. } => {
                    used += length;
                    self.stats.noise += length as u64;
                }
                Decoded::Incomplete => return Ok(used),
                Decoded::Unframeable { length } => return Err(Unframeable { length }),
            }
        }
    }

    /// As [`consume`](Self::consume): on TCP there is neither an echo nor anything that one frame says about another.
    fn consume_tcp(&mut self, bytes: &[u8], at_end: bool) -> Result<usize, Unframeable> {
        let mut used = 0;
        loop {
            match decode_tcp(&bytes[used..], at_end) {
                Decoded::Frame { adu, length } => {
                    used += length;
                    self.receive_numbered(&adu);
                }
                Decoded::Skip { length, .. } => {
                    used += length;
                    self.stats.noise += length as u64;
                }
                Decoded::Incomplete => return Ok(used),
                Decoded::Unframeable { length } => return Err(Unframeable { length }),
            }
        }
    }

    /// The decoder for what is awaited now.
    fn present_decoder(&self) -> Decoder {
        match lowest(self.open) {
            // A unit of the reserved range is only heard when it was asked.
            Some(index) if self.options.takes_turns() && !self.slots[index].unit.is_serial_device() => {
                self.decoder.with_reserved_units()
            }
            _ => self.decoder,
        }
    }

    fn decode<'b>(&self, bytes: &'b mut [u8], at_end: bool) -> Decoded<'b> {
        let slot = match lowest(self.open) {
            Some(index) if self.options.takes_turns() => &self.slots[index],
            _ => return self.decoder.decode(bytes, at_end),
        };
        let decoder = self.present_decoder();
        // Without silence nothing but the reply itself shows that what stands before it is noise.
        match Expected::reply_to(slot.unit, slot.pdu.as_bytes()) {
            Some(expected) if self.options.frame_gap.is_zero() => decoder.decode_expected(bytes, at_end, &expected),
            _ => decoder.decode(bytes, at_end),
        }
    }

    fn receive(&mut self, adu: &Adu<'_>) {
        if self.options.takes_turns() {
            return self.receive_in_turn(adu);
        }
        self.receive_numbered(adu);
    }

    /// The transaction id says whose it is.
    fn receive_numbered(&mut self, adu: &Adu<'_>) {
        match bits(self.open).find(|&index| self.slots[index].transaction == adu.transaction) {
            Some(index) => self.hold(index, adu),
            None if self.transactions.answered_late(&mut self.late, adu.transaction) => self.stats.late += 1,
            None => self.stats.orphans += 1,
        }
    }

    fn receive_in_turn(&mut self, adu: &Adu<'_>) {
        let options = &self.options;
        let is_from = |unit| options.addressed(unit) == adu.unit && !options.is_broadcast(unit);
        match lowest(self.open).filter(|&index| is_from(self.slots[index].unit)) {
            Some(index) if self.line.echoed.is_some() && self.slots[index].pdu.as_bytes() == adu.pdu => {
                self.line.echoed = None;
            }
            Some(index) => self.hold(index, adu),
            None if self.line.forgive(adu) => self.stats.late += 1,
            None => self.stats.orphans += 1,
        }
    }

    /// Holds a reply against the call that it claims to be for.
    fn hold(&mut self, index: usize, adu: &Adu<'_>) {
        let slot = &mut self.slots[index];
        let mismatch = if self.options.addressed(slot.unit) != adu.unit {
            Mismatch::Unit { expected: slot.unit, received: adu.unit }
        } else {
            match verify(&slot.pdu, adu.pdu) {
                Ok(()) => {
                    slot.answer(adu.pdu);
                    return self.end(index, Stage::Answered);
                }
                Err(ReplyError::Exception(code)) => return self.end(index, Stage::Excepted(code)),
                Err(error) => Mismatch::Reply(error),
            }
        };
        slot.mismatch = Some(mismatch);
        self.stats.mismatches += 1;
    }

    /// How many bytes at the front are our own request, coming back.
    fn swallow_echo(&mut self, bytes: &[u8]) -> usize {
        let (Some(matched), Some(index)) = (self.line.echoed, lowest(self.open)) else { return 0 };
        let mut frame = [0; MAX_ADU];
        let length = self.options.framing.encode(&self.slots[index].adu(), &mut frame).unwrap_or(matched);
        let rest = &frame[matched..length];
        let common = rest.iter().zip(bytes).take_while(|(sent, came)| sent == came).count();
        if common < rest.len() && common < bytes.len() {
            // Noise lies before it, or it was damaged. The decoder may still find it; see `receive_in_turn`.
            return 0;
        }
        self.line.echoed = (common < rest.len()).then_some(matched + common);
        common
    }
}
