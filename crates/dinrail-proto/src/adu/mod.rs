//! Application data units: how PDUs are laid on a line and found again.
//!
//! The caller owns the bytes: a [`Decoder`] looks at those that have come and not been used yet, says what stands at
//! their front and how many of them that takes, and is asked again with the rest. It never needs more than
//! [`Framing::max_adu`] bytes to come to a decision, so memory is bounded by that.

mod ascii;
mod crc;
mod decoder;
mod length;
mod lrc;
mod mbap;
mod rtu;
#[cfg(test)]
mod tests;

use core::fmt;

pub use self::crc::crc16;
pub use self::decoder::{Decoder, Expected, Side};
pub use self::length::{CustomLength, Length, LengthRule, request_length, response_length};
pub use self::lrc::lrc;
pub use self::mbap::{decode as decode_mbap, header as mbap_header};
use crate::UnitId;
use crate::error::EncodeError;
use crate::pdu::MAX_PDU;

/// How PDUs are framed. Any framing works on any transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// MBAP header: transaction, protocol 0, length, unit (MG 3.1.3).
    Tcp,
    /// Unit, PDU, CRC-16; frames are told apart by their length, their CRC and silence (SL 2.5.1).
    Rtu,
    /// A colon, hex digits with an LRC, CR and LF (SL 2.5.2).
    Ascii,
}

impl Framing {
    /// The most bytes that a frame takes on the line.
    pub const fn max_adu(self) -> usize {
        self.adu_length(MAX_PDU)
    }

    /// Where the PDU has to stand in the buffer for [`encode_in_place`](Self::encode_in_place).
    pub const fn pdu_offset(self) -> usize {
        match self {
            Self::Tcp => mbap::HEADER,
            Self::Rtu | Self::Ascii => 1,
        }
    }

    /// How many bytes the frame of a PDU of `pdu_length` bytes takes on the line.
    pub const fn adu_length(self, pdu_length: usize) -> usize {
        match self {
            Self::Tcp => mbap::HEADER + pdu_length,
            Self::Rtu => 1 + pdu_length + 2,
            Self::Ascii => 1 + 2 * (1 + pdu_length + 1) + 2,
        }
    }

    /// Writes `adu` to the front of `out` and returns its length in bytes.
    ///
    /// # Errors
    /// When the PDU is empty or over 253 bytes, or `out` is too short.
    #[inline]
    pub fn encode(self, adu: &Adu<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
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
        }
        Ok(frame.len())
    }

    /// Copies a PDU to its place in a frame.
    #[inline]
    pub(crate) fn place(self, pdu: &[u8], out: &mut [u8]) -> Result<(), EncodeError> {
        let at = self.pdu_offset();
        self.room(pdu.len(), out)?[at..at + pdu.len()].copy_from_slice(pdu);
        Ok(())
    }

    /// The room that the frame of a PDU of this length takes.
    #[inline]
    fn room(self, pdu_length: usize, out: &mut [u8]) -> Result<&mut [u8], EncodeError> {
        match pdu_length {
            0 => Err(EncodeError::Field("a PDU has at least one byte, its function code")),
            1..=MAX_PDU => {
                let needed = self.adu_length(pdu_length);
                out.get_mut(..needed).ok_or(EncodeError::NoRoom { needed })
            }
            length => Err(EncodeError::TooLong { length }),
        }
    }
}

/// One frame: a PDU, whom it is for or from, and on TCP which exchange it belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Adu<'a> {
    /// The transaction id of MBAP; 0 on serial framings, which have none.
    pub transaction: u16,
    /// The unit that is asked, or that answers.
    pub unit: UnitId,
    /// Function code and data, 1 to 253 bytes.
    pub pdu: &'a [u8],
}

impl fmt::Debug for Adu<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Adu(transaction {}, unit {}, pdu ", self.transaction, self.unit)?;
        for byte in self.pdu {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// What stands at the front of the bytes that a decoder was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole frame, which takes the first `length` bytes (garbage before it is skipped separately).
    Frame {
        /// The frame; it borrows from the bytes shown.
        adu: Adu<'a>,
        /// How many bytes it takes.
        length: usize,
    },
    /// The first `length` bytes are no frame for anybody: drop them and ask again.
    Skip {
        /// How many bytes to drop.
        length: usize,
        /// Why.
        reason: Discard,
    },
    /// No decision before more bytes come; at the end of a burst only when there are no bytes at all.
    Incomplete,
    /// No frame can be found any more, and the connection must be closed (TCP only).
    Unframeable {
        /// The length field that cannot be.
        length: u16,
    },
}

/// Why bytes were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Discard {
    /// An MBAP frame of a protocol other than Modbus.
    Protocol,
    /// Bytes that belong to no frame with a right checksum.
    Noise,
    /// A frame that was cut short, or an ASCII frame with something else than pairs of hex digits.
    Broken,
}
