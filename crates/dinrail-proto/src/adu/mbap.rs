//! The header of Modbus TCP (MG 3.1.3). The length field alone says where a frame ends: not the TCP segments, and not
//! what the PDU seems to imply.

use super::{Adu, Decoded, Discard};
use crate::UnitId;
use crate::pdu::MAX_PDU;

/// Transaction, protocol, length and unit.
pub(super) const HEADER: usize = 7;

/// Looks at the front of a TCP stream.
#[inline]
pub fn decode(bytes: &[u8]) -> Decoded<'_> {
    let Some((header, _)) = bytes.split_first_chunk::<6>() else {
        return Decoded::Incomplete;
    };
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (transaction, protocol, length_field) = (field(0), field(2), field(4));
    if !(2..=MAX_PDU as u16 + 1).contains(&length_field) {
        return Decoded::Unframeable { length: length_field };
    }
    let length = 6 + usize::from(length_field);
    let Some(frame) = bytes.get(..length) else {
        return Decoded::Incomplete;
    };
    if protocol != 0 {
        return Decoded::Skip { length, reason: Discard::Protocol };
    }
    let adu = Adu { transaction, unit: UnitId(frame[HEADER - 1]), pdu: &frame[HEADER..] };
    Decoded::Frame { adu, length }
}

/// The header in front of a PDU of `length` bytes (1 to 253).
pub const fn header(transaction: u16, unit: UnitId, length: usize) -> [u8; HEADER] {
    let [t1, t2] = transaction.to_be_bytes();
    let [l1, l2] = (length as u16 + 1).to_be_bytes();
    [t1, t2, 0, 0, l1, l2, unit.0]
}

/// As [`header`], for a transaction that was counted and not read from a frame just now: a client's.
pub(crate) const fn counted_header(transaction: u16, unit: UnitId, length: usize) -> [u8; HEADER] {
    // In one word, which the processor puts and compares in one step.
    let word = (transaction as u64) << 40 | (length as u64 + 1) << 8 | unit.0 as u64;
    let [_, header @ ..] = word.to_be_bytes();
    header
}
