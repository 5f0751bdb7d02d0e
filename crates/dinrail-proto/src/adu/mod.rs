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
        match self {
            Self::Tcp => 7 + MAX_PDU,
            Self::Rtu => 1 + MAX_PDU + 2,
            Self::Ascii => 1 + 2 * (1 + MAX_PDU + 1) + 2,
        }
    }

    /// Writes `adu` to the front of `out` and returns its length in bytes.
    ///
    /// # Errors
    /// When the PDU is empty or over 253 bytes, or `out` is too short.
    pub fn encode(self, adu: &Adu<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
        if adu.pdu.is_empty() {
            return Err(EncodeError::Field("a PDU has at least one byte, its function code"));
        }
        if adu.pdu.len() > MAX_PDU {
            return Err(EncodeError::TooLong { length: adu.pdu.len() });
        }
        match self {
            Self::Tcp => mbap::encode(adu, out),
            Self::Rtu => rtu::encode(adu, out),
            Self::Ascii => ascii::encode(adu, out),
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
