//! The decoder of any framing: bytes of a line in, frames out.

use super::length::{CustomLength, Length, expected_response, request_length_with, response_length_with};
use super::{Adu, Decoded, Discard, Framer, Framing, Reading, ascii, bare, binary, decode_mbap, rtu};
use crate::UnitId;
use crate::pdu::{FunctionCode, MAX_PDU};

/// Which side's frames may stand on a line. RTU and bare PDUs need to know: requests and replies of one function have
/// different lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Requests only: a server that has the line for itself.
    Requests,
    /// Replies only: a client.
    Replies,
    /// Both: a server among others on a bus, or an observer. Where the two readings differ, the right checksum tells
    /// which one it is; where both could be right the shorter one is taken.
    Bus,
}

/// Finds the frames in the bytes of a line.
///
/// A decoder keeps no bytes: the caller has a window of those that came and were not used yet, shows it, drops as many
/// bytes as the answer says, and asks again until the answer is [`Decoded::Incomplete`]. Then it reads more. A window of
/// [`Framing::max_adu`] bytes is enough.
///
/// `at_end` tells that no more bytes of this burst will come: a serial line has fallen silent, a datagram is at its
/// end. Then everything in the window is decided.
///
/// # What is accepted
/// - TCP: what the length field of MBAP says, and nothing else.
/// - RTU: at the front of the window, frames with the length that unit, function and counts imply, and a right CRC.
///   When no reading of the bytes can be right, one byte is dropped and the next is the new front; while a reading is
///   still incomplete the decoder waits, and what is inside a frame is never looked at for other frames. So the frames
///   do not depend on the pieces in which the bytes come. Garbage that looks like the start of a frame can hold up the
///   good frame behind it until as many bytes have come or the burst ends; then that frame is found. At the end of a
///   burst, what is left is also a frame when its CRC is right as a whole: that frames functions without a known length.
///   Unless a frame of known length stands at the very end: then the rest was noise, right by chance.
/// - ASCII: from a colon to CR and the delimiter, digits of either case, right LRC.
/// - Bare PDUs: as many bytes as function and counts imply, or the burst; see [`Framing::Pdu`].
/// - Binary: from a brace to a closing one, with a right CRC, and anything that pymodbus sends; see [`Framing::Binary`].
///   What starts with a brace and has not ended is waited for, at most as long as a frame can be.
/// - Custom framings: what the [`Framer`] takes.
///
/// # Work
/// It is bounded for each call and for each byte dropped, so garbage cannot make it grow with what came before. RTU: up
/// to five passes of the CRC over at most 256 bytes each, one or two for most functions; with an [expected](Expected)
/// reply, or a frame of no known length at the end of a burst, a look at each byte of the window besides. ASCII: at most
/// 513 bytes are looked at for each call, and those that are dropped. Binary: one pass of the CRC over at most 510 bytes
/// for each opening brace that is dropped. TCP: the header.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    framing: Framing,
    side: Side,
    delimiter: u8,
    reserved_units: bool,
    custom: &'static [CustomLength],
}

impl Decoder {
    /// A decoder of this framing for the functions of the specification.
    pub const fn new(framing: Framing, side: Side) -> Self {
        Self { framing, side, delimiter: ascii::LF, reserved_units: false, custom: &[] }
    }

    /// Takes these lengths into account as well, before those of the specification. RTU and bare PDUs need them.
    #[must_use]
    pub const fn with_custom_lengths(mut self, custom: &'static [CustomLength]) -> Self {
        self.custom = custom;
        self
    }

    /// Takes RTU frames of the units 248 to 255 too, which the specification reserves, and replies of unit 0. Some
    /// devices and gateways use them. Without this they are noise.
    #[must_use]
    pub const fn with_reserved_units(mut self) -> Self {
        self.reserved_units = true;
        self
    }

    /// The framing.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Which side's frames are looked for.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// The character that ends an ASCII frame, behind CR: LF unless changed.
    pub const fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Changes the character that ends an ASCII frame (FC 8, sub-function 3).
    pub const fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// What stands at the front of `bytes`.
    ///
    /// An ASCII, binary or custom frame may be decoded in place: a frame that is returned must be dropped from the window, not shown again.
    /// Nothing else changes the bytes.
    #[inline]
    pub fn decode<'a>(&self, bytes: &'a mut [u8], at_end: bool) -> Decoded<'a> {
        match self.framing {
            Framing::Tcp => decode_tcp(bytes, at_end),
            Framing::Rtu => rtu::decode(&self.rtu_rules(), bytes, at_end),
            Framing::Ascii => ascii::decode(bytes, at_end, self.delimiter),
            Framing::Binary => binary::decode(bytes, at_end),
            Framing::Pdu => bare::decode(self.side, self.custom, bytes, at_end),
            Framing::Custom(framer) => self.decode_custom(framer, bytes, at_end),
        }
    }

    /// Does not trust the answer: nothing that a framer says may upset those who use it.
    fn decode_custom<'a>(&self, framer: &dyn Framer, bytes: &'a mut [u8], at_end: bool) -> Decoded<'a> {
        let shown = bytes.len();
        let broken = Decoded::Skip { length: shown, reason: Discard::Broken };
        let decided = at_end || shown >= self.framing.max_adu();
        match framer.decode(bytes, &Reading { side: self.side, at_end, custom: self.custom }) {
            Decoded::Frame { adu, length } => {
                let sound = (1..=shown).contains(&length) && (1..=MAX_PDU).contains(&adu.pdu.len());
                let transaction = if framer.has_transactions() { adu.transaction } else { 0 };
                let unit = if framer.has_units() { adu.unit } else { UnitId::DIRECT };
                let adu = Adu { transaction, unit, pdu: adu.pdu };
                if sound { Decoded::Frame { adu, length } } else { broken }
            }
            Decoded::Skip { length, .. } if !(1..=shown).contains(&length) && shown > 0 => broken,
            Decoded::Incomplete if shown > 0 && decided => broken,
            Decoded::Skip { .. } if shown == 0 => Decoded::Incomplete,
            decoded => decoded,
        }
    }

    /// As [`decode`](Self::decode), for a client that waits for one reply: finds it behind garbage without waiting
    /// for silence.
    ///
    /// On RTU and binary lines, where [`decode`](Self::decode) would wait and the window does not begin as the expected reply does, the
    /// rest of the window is searched for that reply: its unit, its function or its exception, its exact length if it is
    /// known, and a right CRC. What stands before it is dropped as noise. Where the expected reply has begun and is not
    /// complete the search ends, so that nothing inside it is taken for it.
    ///
    /// The price: if another device's late reply carries, as its data, the very bytes of the expected reply, and is
    /// looked at before it is complete, they are taken for it. Use [`decode`](Self::decode) where that matters more than
    /// the wait for silence.
    ///
    /// A bare PDU that does not say how long it is has the expected length.
    pub fn decode_expected<'a>(&self, bytes: &'a mut [u8], at_end: bool, expected: &Expected) -> Decoded<'a> {
        match self.framing {
            Framing::Rtu => rtu::decode_expected(&self.rtu_rules(), bytes, at_end, expected),
            Framing::Binary => binary::decode_expected(bytes, at_end, expected),
            Framing::Pdu => bare::decode_expected(self.custom, bytes, at_end, expected),
            Framing::Tcp | Framing::Ascii | Framing::Custom(_) => self.decode(bytes, at_end),
        }
    }

    /// Where the last whole frame ends in `bytes`, if the pause that a line makes is the end of a burst; `None` when there
    /// is none. For lines whose drivers hand out one burst in pieces: what is whole can be [decoded](Self::decode) up to
    /// there, `at_end`, and the rest given more time. Only RTU needs that; other framings say where a frame ends.
    pub fn whole_until(&self, bytes: &[u8]) -> Option<usize> {
        if self.framing != Framing::Rtu {
            return None;
        }
        let rules = self.rtu_rules();
        let (mut at, mut end) = (0, None);
        loop {
            match rtu::decode(&rules, &bytes[at..], true) {
                Decoded::Frame { length, .. } => {
                    at += length;
                    end = Some(at);
                }
                Decoded::Skip { length, .. } => at += length,
                Decoded::Incomplete | Decoded::Unframeable { .. } => return end,
            }
        }
    }

    /// Whether a pause of a stream, whose pieces come when they come, may end the frame that begins `bytes`. Not where nothing
    /// but its length says where a frame ends, and that is known: the rest of a bare PDU, taken for one of its own, could
    /// ask for anything. Of framings of one's own nobody knows what else they have: a pause ends what is a frame by then.
    ///
    /// It may change the bytes, as [`decode`](Self::decode) does.
    pub fn may_pause_end(&self, bytes: &mut [u8]) -> bool {
        match self.framing {
            Framing::Pdu => {
                let pdu = &bytes[..bytes.len().min(MAX_PDU)];
                let length = match self.side {
                    Side::Requests | Side::Bus => request_length_with(self.custom, pdu),
                    Side::Replies => response_length_with(self.custom, pdu),
                };
                !matches!(length, Length::Exact(_) | Length::More)
            }
            Framing::Custom(framer) => {
                let reading = Reading { side: self.side, at_end: true, custom: self.custom };
                matches!(framer.decode(bytes, &reading), Decoded::Frame { .. })
            }
            _ => true,
        }
    }

    /// Whether a request may have these bytes, as far as their number goes.
    pub(crate) fn is_request(&self, pdu: &[u8]) -> bool {
        request_length_with(self.custom, pdu).allows(pdu.len())
    }

    /// Whether a reply may have these bytes, as far as their number goes.
    pub(crate) fn is_response(&self, pdu: &[u8]) -> bool {
        response_length_with(self.custom, pdu).allows(pdu.len())
    }

    /// Whether these bytes say themselves that they are a whole request, or a whole reply.
    pub(crate) fn is_told(&self, pdu: &[u8]) -> bool {
        let told = |length| matches!(length, Length::Exact(length) | Length::Usually(length) if length == pdu.len());
        told(request_length_with(self.custom, pdu)) || told(response_length_with(self.custom, pdu))
    }

    const fn rtu_rules(&self) -> rtu::Rules {
        rtu::Rules { side: self.side, reserved_units: self.reserved_units, custom: self.custom }
    }
}

/// At its end a datagram must not leave a part of a frame behind.
#[inline]
pub(crate) fn decode_tcp(bytes: &[u8], at_end: bool) -> Decoded<'_> {
    match decode_mbap(bytes) {
        Decoded::Incomplete if at_end && !bytes.is_empty() => {
            Decoded::Skip { length: bytes.len(), reason: Discard::Broken }
        }
        decoded => decoded,
    }
}

/// The reply that a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Who answers.
    pub unit: UnitId,
    /// The function that was asked for; its exception is expected too.
    pub function: FunctionCode,
    /// The length of the reply's PDU in bytes, when the request settles it; exceptions aside.
    pub length: Option<usize>,
}

impl Expected {
    /// The reply of `unit` to the request with this PDU; `None` when that begins with no function code.
    pub fn reply_to(unit: UnitId, request: &[u8]) -> Option<Self> {
        let function = FunctionCode::new(*request.first()?)?;
        Some(Self { unit, function, length: expected_response(request) })
    }
}
