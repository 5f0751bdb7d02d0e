//! Which reply belongs to which request, for somebody who hears both.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::{Event, Exchange, Outcome};
use crate::proto::adu::{Length, request_length};
use crate::proto::error::ReplyError;
use crate::proto::pdu::diagnostics::Diagnostic;
use crate::proto::{Adu, ExceptionCode, Framing, Pdu, Request, Response, UnitId};
use crate::transport::Kind;

/// More requests than this are not outstanding at once; the oldest is given up.
const MAX_OPEN: usize = 256;

/// A request without a reply so far.
struct Open {
    at: SystemTime,
    transaction: u16,
    unit: UnitId,
    request: Pdu,
}

pub(super) struct Pairs {
    /// In the order in which they came.
    open: VecDeque<Open>,
    framing: Framing,
    timeout: Duration,
}

impl Pairs {
    pub(super) fn new(framing: Framing, timeout: Duration) -> Self {
        Self { open: VecDeque::new(), framing, timeout }
    }

    /// The unit whose reply is due.
    pub(super) fn awaited(&self) -> Option<UnitId> {
        self.open.front().filter(|_| !self.framing.has_transactions()).map(|open| open.unit)
    }

    /// A frame that has come, `kind` as far as is known.
    pub(super) fn frame(&mut self, at: SystemTime, kind: Kind, adu: &Adu<'_>, out: &mut Vec<Event>) {
        self.advance(at, out);
        // A frame has a PDU of 1 to 253 bytes.
        let Ok(pdu) = Pdu::new(adu.pdu) else { return };
        let answered = match kind {
            Kind::Request => None,
            Kind::Reply => self.position(adu),
            // On a shared line a reply follows its request at once; what does not fit that is a request, if it can be.
            Kind::Either => self.position(adu).filter(|at| self.open[*at].outcome(adu.pdu) != Outcome::Misanswered),
        };
        match (answered, kind) {
            (Some(index), _) => self.answer(index, at, pdu, out),
            (None, Kind::Request) => self.ask(at, adu, pdu, out),
            (None, Kind::Either) if is_request(adu.pdu) => self.ask(at, adu, pdu, out),
            (None, Kind::Either) => match self.position(adu) {
                Some(index) => self.answer(index, at, pdu, out),
                None => self.unasked(at, adu, pdu, out),
            },
            (None, Kind::Reply) => self.unasked(at, adu, pdu, out),
        }
    }

    /// Gives up what has waited too long at `now`.
    pub(super) fn advance(&mut self, now: SystemTime, out: &mut Vec<Event>) {
        while self.open.front().is_some_and(|open| elapsed(open.at, now) > self.timeout) {
            self.give_up(0, out);
        }
    }

    /// There will be no more frames.
    pub(super) fn finish(&mut self, out: &mut Vec<Event>) {
        while !self.open.is_empty() {
            self.give_up(0, out);
        }
    }

    /// The oldest request that a reply can belong to, going by what every reply repeats.
    fn position(&self, adu: &Adu<'_>) -> Option<usize> {
        let function = adu.pdu.first()? & 0x7F;
        self.open.iter().position(|open| {
            open.request.function_byte() == function
                && (open.unit == adu.unit || !self.framing.has_units())
                && (open.transaction == adu.transaction || !self.framing.has_transactions())
        })
    }

    fn ask(&mut self, at: SystemTime, adu: &Adu<'_>, request: Pdu, out: &mut Vec<Event>) {
        if !self.framing.has_transactions() {
            // Whoever asks again has given up.
            self.finish(out);
        } else if let Some(index) = self.open.iter().position(|open| open.transaction == adu.transaction) {
            self.give_up(index, out);
        } else if self.open.len() >= MAX_OPEN {
            self.give_up(0, out);
        }
        let Adu { transaction, unit, .. } = *adu;
        let listen_only = [8, 0, Diagnostic::FORCE_LISTEN_ONLY.0 as u8];
        let is_broadcast = self.framing.is_shared_line() && unit.is_broadcast();
        let open = Open { at, transaction, unit, request };
        if is_broadcast || request.as_bytes().starts_with(&listen_only) {
            out.push(self.event(open, None, None, Outcome::NotToBeAnswered));
        } else {
            self.open.push_back(open);
        }
    }

    fn answer(&mut self, index: usize, at: SystemTime, reply: Pdu, out: &mut Vec<Event>) {
        if let Some(open) = self.open.remove(index) {
            let outcome = open.outcome(reply.as_bytes());
            let took = elapsed(open.at, at);
            out.push(self.event(open, Some(reply), Some(took), outcome));
        }
    }

    fn give_up(&mut self, index: usize, out: &mut Vec<Event>) {
        if let Some(open) = self.open.remove(index) {
            out.push(self.event(open, None, None, Outcome::Unanswered));
        }
    }

    fn event(&self, open: Open, reply: Option<Pdu>, elapsed: Option<Duration>, outcome: Outcome) -> Event {
        let transaction = self.framing.has_transactions().then_some(open.transaction);
        Event::Exchange(Exchange {
            at: open.at,
            unit: open.unit,
            transaction,
            request: Some(open.request),
            reply,
            elapsed,
            outcome,
        })
    }

    fn unasked(&self, at: SystemTime, adu: &Adu<'_>, reply: Pdu, out: &mut Vec<Event>) {
        let transaction = self.framing.has_transactions().then_some(adu.transaction);
        out.push(Event::Exchange(Exchange {
            at,
            unit: adu.unit,
            transaction,
            request: None,
            reply: Some(reply),
            elapsed: None,
            outcome: Outcome::Unasked,
        }));
    }
}

impl Open {
    /// What a reply with the same function means.
    fn outcome(&self, reply: &[u8]) -> Outcome {
        let function = self.request.function_byte();
        match (Request::decode(self.request.as_bytes()), reply) {
            (_, &[refused, code]) if refused == function | 0x80 => Outcome::Refused(ExceptionCode::from(code)),
            (Ok(request), reply) => match Response::decode(&request, reply) {
                Ok(_) => Outcome::Answered,
                Err(ReplyError::Exception(code)) => Outcome::Refused(code),
                Err(_) => Outcome::Misanswered,
            },
            // A device of its own ways may answer what the specification does not allow.
            (Err(_), &[answered, ..]) if answered == function => Outcome::Answered,
            (Err(_), _) => Outcome::Misanswered,
        }
    }
}

/// Whether the bytes can be a request, going by their number; what it asks for need not be allowed.
fn is_request(pdu: &[u8]) -> bool {
    match request_length(pdu) {
        Length::Exact(length) => length == pdu.len(),
        Length::Usually(_) | Length::Silence => pdu.first().is_some_and(|function| *function < 0x80),
        _ => false,
    }
}

/// Clocks of captures may go back.
fn elapsed(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}
