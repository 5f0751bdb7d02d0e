//! The framings, and what they are: how long their frames are, and what those carry.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::mem::discriminant;

use super::{Adu, Framer, ascii, bare, binary, mbap, rtu};
use crate::UnitId;
use crate::error::EncodeError;
use crate::pdu::MAX_PDU;

/// The most bytes that a frame of any framing takes on the line, custom ones included.
pub const MAX_ADU: usize = 1024;

/// How PDUs are framed. Any framing works on any transport.
///
/// Two custom framings are the same when their [names](Framer::name) are: a framer may have no address of its own.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Framing {
    /// MBAP header: transaction, protocol 0, length, unit (MG 3.1.3).
    Tcp,
    /// Unit, PDU, CRC-16; frames are told apart by their length, their CRC and silence (SL 2.5.1).
    Rtu,
    /// A colon, hex digits with an LRC, CR and LF (SL 2.5.2).
    Ascii,
    /// The PDU and nothing else: what pymodbus up to 3.7 speaks over TLS (`ModbusTlsFramer`), and hardly anybody besides.
    /// SEC asks for [`Tcp`](Self::Tcp) there.
    ///
    /// A frame ends where its bytes say that the PDU does, [custom functions](super::CustomLength) included; one that does
    /// not say ends with the burst, which is one TLS record or one read. There is no checksum and no start to look for:
    /// after bytes that are out of step nothing sound can be found before the burst ends.
    ///
    /// It carries no unit. A request comes as one to [`UnitId::DIRECT`], the server at the other end itself: it is served
    /// whatever units a server has, and is no broadcast. A client may ask any unit, 0 too, and takes the reply by its
    /// function; all calls go to the same device, one at a time.
    Pdu,
    /// A brace, unit, PDU, CRC-16 and a closing brace, braces in the data doubled: pymodbus's `ModbusBinaryFramer` (3.0 to
    /// 3.6), for serial lines and for streams.
    ///
    /// pymodbus itself does not read what it writes: the doubling is never undone there. Everything that it sends is
    /// understood here. Towards it, `{` (7Bh) is sent once where the length of the PDU tells that it was, and so read right;
    /// a frame with `}` (7Dh) in it, be it in unit, data or CRC, is lost on pymodbus, whoever sends it and however, and the
    /// call ends by its timeout. A frame right behind another one is lost on it too. Between two of these there are no such
    /// holes.
    Binary,
    /// One that this crate does not know.
    Custom(&'static dyn Framer),
}

impl Framing {
    /// Whether frames carry a transaction id. Without one, one request is out at a time.
    #[inline]
    pub fn has_transactions(self) -> bool {
        match self {
            Self::Tcp => true,
            Self::Rtu | Self::Ascii | Self::Pdu | Self::Binary => false,
            Self::Custom(framer) => framer.has_transactions(),
        }
    }

    /// Whether frames carry a unit. Without one, there is one device at the other end, and its unit does not matter.
    #[inline]
    pub fn has_units(self) -> bool {
        match self {
            Self::Tcp | Self::Rtu | Self::Ascii | Self::Binary => true,
            Self::Pdu => false,
            Self::Custom(framer) => framer.has_units(),
        }
    }

    /// Whether this is the framing of a line that several devices share, whatever it is used on: unit 0 is a broadcast
    /// (SL 2.1), and a server hears the requests and replies of others (SL 2.2). Otherwise a line has two ends.
    #[inline]
    pub fn is_shared_line(self) -> bool {
        match self {
            Self::Tcp | Self::Pdu => false,
            Self::Rtu | Self::Ascii | Self::Binary => true,
            Self::Custom(framer) => framer.is_shared_line(),
        }
    }

    /// The most bytes that a frame takes on the line.
    #[inline]
    pub fn max_adu(self) -> usize {
        self.adu_length(MAX_PDU)
    }

    /// Where the PDU has to stand in the buffer for [`encode_in_place`](Self::encode_in_place).
    #[inline]
    pub fn pdu_offset(self) -> usize {
        match self {
            Self::Tcp => mbap::HEADER,
            Self::Rtu | Self::Ascii => 1,
            Self::Pdu => 0,
            Self::Binary => binary::PDU_AT,
            Self::Custom(framer) => framer.pdu_offset(),
        }
    }

    /// How many bytes the frame of a PDU of `pdu_length` bytes takes on the line: exactly so many on TCP, RTU, ASCII and
    /// bare PDUs, so many at most on the others.
    #[inline]
    pub fn adu_length(self, pdu_length: usize) -> usize {
        match self {
            Self::Tcp => mbap::HEADER + pdu_length,
            Self::Rtu => rtu::AROUND + pdu_length,
            Self::Ascii => 1 + 2 * (1 + pdu_length + 1) + 2,
            Self::Pdu => pdu_length,
            Self::Binary => binary::most(pdu_length),
            Self::Custom(framer) => framer.adu_length(pdu_length),
        }
    }

    /// Writes `adu` to the front of `out` and returns its length in bytes.
    ///
    /// # Errors
    /// When the PDU is empty or over 253 bytes, or `out` is too short: [`max_adu`](Self::max_adu) bytes are always enough.
    #[inline]
    pub fn encode(self, adu: &Adu<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
        let Self::Tcp = self else { return self.encode_other(adu, out) };
        let frame = self.room(adu.pdu.len(), out)?;
        frame[..mbap::HEADER].copy_from_slice(&mbap::header(adu.transaction, adu.unit, adu.pdu.len()));
        frame[mbap::HEADER..].copy_from_slice(adu.pdu);
        Ok(frame.len())
    }

    fn encode_other(self, adu: &Adu<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
        self.place(adu.pdu, out)?;
        self.encode_in_place(adu.transaction, adu.unit, adu.pdu.len(), out)
    }

    /// Makes a frame of a PDU that stands in `out` already, `pdu_length` bytes long, at
    /// [`pdu_offset`](Self::pdu_offset), and returns the frame's length in bytes. The frame begins at the front of `out`.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    #[inline]
    pub fn encode_in_place(
        self,
        transaction: u16,
        unit: UnitId,
        pdu_length: usize,
        out: &mut [u8],
    ) -> Result<usize, EncodeError> {
        let frame = self.room(pdu_length, out)?;
        match self {
            Self::Tcp => frame[..mbap::HEADER].copy_from_slice(&mbap::header(transaction, unit, pdu_length)),
            Self::Rtu => rtu::complete(unit, frame),
            Self::Ascii => ascii::complete(unit, frame),
            Self::Pdu => bare::complete(frame),
            Self::Binary => return binary::complete(unit, pdu_length, out),
            Self::Custom(framer) => {
                let length = framer.complete(transaction, unit, pdu_length, frame);
                return if (1..=frame.len()).contains(&length) {
                    Ok(length)
                } else {
                    Err(EncodeError::Field("a custom framing made a frame longer than it said"))
                };
            }
        }
        Ok(frame.len())
    }

    /// Copies a PDU to its place in a frame.
    #[inline]
    pub(crate) fn place(self, pdu: &[u8], out: &mut [u8]) -> Result<(), EncodeError> {
        let at = self.pdu_offset();
        let frame = self.room(pdu.len(), out)?;
        let place = frame.get_mut(at..at + pdu.len()).ok_or(EncodeError::Field(TOO_SHORT))?;
        place.copy_from_slice(pdu);
        Ok(())
    }

    /// What the frame of a PDU of this length takes at least, as far as can be told before it is made.
    #[inline]
    fn least_adu(self, pdu_length: usize) -> usize {
        if matches!(self, Self::Binary) { binary::AROUND + pdu_length } else { self.adu_length(pdu_length) }
    }

    /// The room that the frame of a PDU of this length takes at least.
    #[inline]
    fn room(self, pdu_length: usize, out: &mut [u8]) -> Result<&mut [u8], EncodeError> {
        match pdu_length {
            0 => Err(EncodeError::Field("a PDU has at least one byte, its function code")),
            1..=MAX_PDU => match self.least_adu(pdu_length) {
                needed @ 1..=MAX_ADU => out.get_mut(..needed).ok_or(EncodeError::NoRoom { needed }),
                _ => Err(EncodeError::Field("a custom framing's frames have at most 1024 bytes")),
            },
            length => Err(EncodeError::TooLong { length }),
        }
    }
}

const TOO_SHORT: &str = "a custom framing's frame has no room for its PDU";

impl PartialEq for Framing {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Custom(one), Self::Custom(other)) => one.name() == other.name(),
            _ => discriminant(self) == discriminant(other),
        }
    }
}

impl Eq for Framing {}

impl Hash for Framing {
    fn hash<H: Hasher>(&self, state: &mut H) {
        discriminant(self).hash(state);
        if let Self::Custom(framer) = self {
            framer.name().hash(state);
        }
    }
}

impl fmt::Debug for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "Tcp",
            Self::Rtu => "Rtu",
            Self::Ascii => "Ascii",
            Self::Pdu => "Pdu",
            Self::Binary => "Binary",
            Self::Custom(framer) => return f.debug_tuple("Custom").field(&framer.name()).finish(),
        })
    }
}
