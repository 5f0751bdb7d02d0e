//! Application data units: how PDUs are laid on a line and found again.
//!
//! The caller owns the bytes: a [`Decoder`] looks at those that have come and not been used yet, says what stands at
//! their front and how many of them that takes, and is asked again with the rest. It never needs more than
//! [`Framing::max_adu`] bytes to come to a decision, so memory is bounded by that.

mod ascii;
mod bare;
mod binary;
mod crc;
mod decoder;
mod framer;
mod framing;
mod length;
mod lrc;
mod mbap;
mod rtu;
#[cfg(test)]
mod tests;

use core::fmt;

pub use self::crc::crc16;
pub(crate) use self::decoder::decode_tcp;
pub use self::decoder::{Decoder, Expected, Side};
pub use self::framer::{Framer, Reading};
pub use self::framing::{Framing, MAX_ADU};
pub use self::length::{CustomLength, Length, LengthRule, request_length, response_length};
pub use self::lrc::lrc;
pub(crate) use self::mbap::counted_header;
pub use self::mbap::{decode as decode_mbap, header as mbap_header};
use crate::UnitId;

/// One frame: a PDU, whom it is for or from, and on TCP which exchange it belongs to.
///
/// A framing that carries no transaction id or no unit leaves them out, whatever they are; a decoder then says 0 and
/// [`UnitId::DIRECT`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Adu<'a> {
    /// The transaction id of MBAP; 0 on framings that [have none](Framing::has_transactions).
    pub transaction: u16,
    /// The unit that is asked, or that answers; [`UnitId::DIRECT`] on framings that [have none](Framing::has_units).
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
    /// No frame can be found any more, and the connection must be closed: TCP, bare PDUs, and custom framings that say so.
    Unframeable {
        /// The length that cannot be.
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
