//! What stands beside the service on a connection whose server has diagnostics: FC 8, 11 and 12, and silence while it only
//! listens (AP 6.8, sub-function 4); and what is told and counted where somebody looks on.
//!
//! Other requests pay a few additions for it, and one lock for each batch of them.

use super::ask::{Asker, completion, completion_of, except, finish_frame};
use super::{HEADER, MAX_FRAME};
use crate::proto::adu::{Decoder, Side};
use crate::proto::server::{After, Completion, Connection, Event, Tally, Units, is_diagnostic};
use crate::proto::{Adu, Framing, UnitId};
use crate::server::options::MissingUnit;
use crate::service::{Reply, Service};

impl<S: Service> Asker<'_, S> {
    /// As [`answer_now`](Self::answer_now), on a server that has diagnostics, or that somebody watches.
    pub(super) fn answer_attended(
        &self,
        request: &Adu<'_>,
        frame: &mut [u8; MAX_FRAME],
        tally: &mut Tally,
    ) -> Option<Option<usize>> {
        let (function, diagnoses) = (request.pdu[0], self.shared.diagnoses());
        let (completion, finished) = if diagnoses && self.is_apart(request.unit, request.pdu) {
            self.shared.diagnostics.take(tally);
            let finished = self.answer_apart(request, frame);
            (completion_of(&frame[HEADER..HEADER + 2], finished), finished)
        } else {
            let reply = self.try_now(request.unit, request.pdu, &mut frame[HEADER..])?;
            let completion = completion(&reply, &frame[HEADER..]);
            if diagnoses {
                tally.received();
                tally.completed(function, completion);
            }
            (completion, finish_frame(reply, request, frame))
        };
        if self.shared.is_watched() {
            self.count(function, completion);
        }
        Some(finished)
    }

    /// Whether a request is not the service's: then it is [answered apart](Self::answer_apart).
    #[inline]
    pub(super) fn is_apart(&self, unit: UnitId, pdu: &[u8]) -> bool {
        is_diagnostic(pdu[0]) || self.shared.diagnostics.listens_only() || self.is_foreign(unit)
    }

    /// Whether a unit is somebody else's, who may answer for it.
    #[inline]
    fn is_foreign(&self, unit: UnitId) -> bool {
        !self.shared.serves(unit) && self.shared.options.missing_units == MissingUnit::Ignore
    }

    /// Answers such a request, if it is answered: the length of the frame.
    #[cold]
    pub(super) fn answer_apart(&self, request: &Adu<'_>, frame: &mut [u8; MAX_FRAME]) -> Option<usize> {
        let diagnostics = &self.shared.diagnostics;
        if self.is_foreign(request.unit) {
            let mut tally = Tally::new();
            tally.foreign();
            diagnostics.take(&mut tally);
            return None;
        }
        let mut bytes = [0; MAX_FRAME];
        let length = Framing::Tcp.encode(request, &mut bytes).ok()?;
        let mut protocol = Connection::with_decoder(Decoder::new(Framing::Tcp, Side::Requests), Units::ALL);
        let Event::Request { adu, to, .. } = diagnostics.step(&mut protocol, &mut bytes[..length], false) else {
            return None; // it only listens
        };
        // It stopped listening only just now: what came before that is ignored.
        let ignored = (Reply::Silent, After::default());
        let (reply, after) = self.diagnose(adu.unit, adu.pdu, &mut frame[HEADER..]).unwrap_or(ignored);
        let completion = completion(&reply, &frame[HEADER..]);
        let length = match reply {
            Reply::Response(written) => Some(written.length()),
            Reply::Exception(code) => Some(except(code, adu.pdu[0], &mut frame[HEADER..])),
            Reply::Silent => {
                protocol.no_reply();
                None
            }
        };
        // There is room for every frame that there can be.
        let length = length.and_then(|length| protocol.reply_in_place(to, length, frame).ok());
        diagnostics.completed(&mut protocol, to, completion, after);
        length.filter(|length| *length > 0)
    }

    /// A request has come that takes its time.
    pub(super) fn note_received(&self) {
        if self.shared.diagnoses() {
            let mut tally = Tally::new();
            tally.received();
            self.shared.diagnostics.take(&mut tally);
        }
    }

    /// That is what became of it.
    pub(super) fn note_completed(&self, function: u8, completion: Completion) {
        if self.shared.diagnoses() {
            let mut tally = Tally::new();
            tally.completed(function, completion);
            self.shared.diagnostics.take(&mut tally);
        }
    }
}
