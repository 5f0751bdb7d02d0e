//! What stands beside the service on a connection whose server has diagnostics: FC 8, 11 and 12, and silence while it only
//! listens (AP 6.8, sub-function 4).
//!
//! Other requests pay a few additions for it, and one lock for each batch of them.

use super::ask::{Asker, completion, except};
use super::{HEADER, MAX_FRAME};
use crate::proto::adu::{Decoder, Side};
use crate::proto::server::{After, Completion, Connection, Event, Tally, Units, is_diagnostic};
use crate::proto::{Adu, Framing, UnitId};
use crate::server::options::MissingUnit;
use crate::service::{Reply, Service};

impl<S: Service> Asker<'_, S> {
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
