//! RTU frames: unit, PDU and CRC, without start, end or length (SL 2.5.1).
//!
//! A frame is taken when the length that its first bytes imply has come and the CRC is right; silence only says that
//! the rest will not come any more. At each offset the answer depends on the bytes from there to the end of the burst
//! and on nothing else, so it does not matter in which pieces they come.

use super::crc::crc16;
use super::length::{CustomLength, Length, request_length_with, response_length_with};
use super::{Adu, Decoded, Discard, Expected, Side};
use crate::UnitId;
use crate::pdu::MAX_PDU;

/// Unit, function code and CRC.
const LEAST: usize = 4;
const MOST: usize = AROUND + MAX_PDU;
/// Bytes of a frame that are not of its PDU.
pub(super) const AROUND: usize = 3;

/// How a line is read.
pub(super) struct Rules {
    pub(super) side: Side,
    pub(super) reserved_units: bool,
    pub(super) custom: &'static [CustomLength],
}

/// What stands at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A frame of so many bytes.
    Frame(usize),
    /// It depends on bytes that have not come.
    Undecided,
    /// It depended on bytes that will not come.
    Cut,
    /// No frame.
    Nothing,
}

/// Looks at the front of the bytes.
pub(super) fn decode<'a>(rules: &Rules, bytes: &'a [u8], at_end: bool) -> Decoded<'a> {
    let mut reason = None;
    for at in 0..bytes.len() {
        let discard = match rules.look(&bytes[at..], at_end) {
            Verdict::Frame(length) if at == 0 => return frame(&bytes[..length]),
            Verdict::Frame(_) | Verdict::Undecided => return skip_or_wait(at, reason),
            Verdict::Cut => Discard::Broken,
            Verdict::Nothing => Discard::Noise,
        };
        reason.get_or_insert(discard);
    }
    skip_or_wait(bytes.len(), reason)
}

/// Where [`decode`] would wait for more bytes, looks further on for the reply that is expected.
pub(super) fn decode_expected<'a>(rules: &Rules, bytes: &'a [u8], at_end: bool, expected: &Expected) -> Decoded<'a> {
    let decoded = decode(rules, bytes, at_end);
    if decoded != Decoded::Incomplete {
        return decoded;
    }
    for at in 0..bytes.len() {
        match rules.look_for(expected, &bytes[at..]) {
            // Only the request tells how long it is: an echo of unusual length.
            Verdict::Frame(length) if at == 0 => return frame(&bytes[..length]),
            Verdict::Frame(_) => return skip_or_wait(at, Some(Discard::Noise)),
            Verdict::Undecided => break,
            Verdict::Cut | Verdict::Nothing => {}
        }
    }
    Decoded::Incomplete
}

fn skip_or_wait<'a>(length: usize, reason: Option<Discard>) -> Decoded<'a> {
    match reason {
        Some(reason) if length > 0 => Decoded::Skip { length, reason },
        _ => Decoded::Incomplete,
    }
}

fn frame(bytes: &[u8]) -> Decoded<'_> {
    let length = bytes.len();
    Decoded::Frame { adu: Adu { transaction: 0, unit: UnitId(bytes[0]), pdu: &bytes[1..length - 2] }, length }
}

impl Rules {
    /// The verdict on a frame that starts with these bytes, of which there is at least one.
    fn look(&self, bytes: &[u8], at_end: bool) -> Verdict {
        if !self.is_plausible(bytes[0]) {
            return Verdict::Nothing;
        }
        let pdu = &bytes[1..];
        let request = || request_length_with(self.custom, pdu);
        let response = || response_length_with(self.custom, pdu);
        let verdict = match self.side {
            Side::Requests => check(bytes, request()),
            Side::Replies => check(bytes, response()),
            // A broadcast is never answered.
            Side::Bus if bytes[0] == 0 && !self.reserved_units => check(bytes, request()),
            Side::Bus => match (request(), response()) {
                (request, response) if request == response => check(bytes, request),
                (request, response) => check(bytes, request).or(check(bytes, response)),
            },
        };
        match verdict {
            // Too short for what it claims to be, or of an unknown length: as a whole it may still be a frame.
            Verdict::Undecided if at_end && self.is_whole(bytes) => Verdict::Frame(bytes.len()),
            Verdict::Undecided if at_end => Verdict::Cut,
            verdict => verdict,
        }
    }

    /// Whether these bytes, up to the end of a burst, are a frame of no known length. One checksum in 65,536 is right by
    /// chance, and noise is tried at each of its offsets: a frame of known length at the very end counts for more. (A frame
    /// that was put into another one does not stand at the end: the checksum of the other does.)
    fn is_whole(&self, bytes: &[u8]) -> bool {
        let stands_at_end = |at| self.look(&bytes[at..], false) == Verdict::Frame(bytes.len() - at);
        (LEAST..=MOST).contains(&bytes.len()) && crc16(bytes) == 0 && !(1..=bytes.len() - LEAST).any(stands_at_end)
    }

    const fn is_plausible(&self, unit: u8) -> bool {
        self.reserved_units || UnitId(unit).is_serial_device() || (unit == 0 && !matches!(self.side, Side::Replies))
    }

    /// The verdict on the expected reply, and no other, starting with these bytes, of which there is at least one.
    fn look_for(&self, expected: &Expected, bytes: &[u8]) -> Verdict {
        let pdu = &bytes[1..];
        let function = expected.function.code();
        if bytes[0] != expected.unit.0 || pdu.first().is_some_and(|byte| byte & 0x7F != function) {
            return Verdict::Nothing;
        }
        let refused = pdu.first().is_some_and(|byte| *byte != function);
        let length = match (response_length_with(self.custom, pdu), expected.length) {
            (Length::Exact(length), Some(expected)) if !refused && length != expected => Length::Impossible,
            (Length::Usually(_) | Length::Silence, Some(expected)) => Length::Exact(expected),
            (length, _) => length,
        };
        check(bytes, length)
    }
}

impl Verdict {
    /// Two readings of the same bytes: the shorter frame wins, and nothing is ruled out before both are.
    ///
    /// A reading that is still undecided is longer than the bytes there are, hence longer than a frame among them.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Frame(length), Self::Frame(other)) => Self::Frame(if length < other { length } else { other }),
            (Self::Frame(length), _) | (_, Self::Frame(length)) => Self::Frame(length),
            (Self::Undecided, _) | (_, Self::Undecided) => Self::Undecided,
            _ => Self::Nothing,
        }
    }
}

/// Whether a frame whose PDU has this length stands at the front.
fn check(bytes: &[u8], length: Length) -> Verdict {
    let whole = |length: usize| match bytes.get(..length) {
        Some(frame) if crc16(frame) == 0 => Verdict::Frame(length),
        Some(_) => Verdict::Nothing,
        None => Verdict::Undecided,
    };
    let exact = |pdu: usize| match pdu {
        1..=MAX_PDU => whole(pdu + AROUND),
        _ => Verdict::Nothing,
    };
    match length {
        Length::Exact(pdu) => exact(pdu),
        Length::Usually(pdu) => match exact(pdu) {
            // No silence within the longest frame there is: it ends there or is none.
            Verdict::Nothing => whole(MOST),
            verdict => verdict,
        },
        Length::Silence => whole(MOST),
        Length::Impossible => Verdict::Nothing,
        Length::More if bytes.len() < MOST => Verdict::Undecided,
        Length::More => Verdict::Nothing,
    }
}

/// Puts the unit before and the CRC behind the PDU, which stands in its place in the frame.
pub(super) fn complete(unit: UnitId, frame: &mut [u8]) {
    frame[0] = unit.0;
    let (body, checksum) = frame.split_at_mut(frame.len() - 2);
    checksum.copy_from_slice(&crc16(body).to_le_bytes());
}
