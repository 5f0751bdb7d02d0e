//! The checksum of ASCII frames: the two's complement of the sum of the bytes, carries dropped (SL 2.5.2.2).

/// The LRC of `bytes`, which are the binary ones (unit and PDU), not their hex digits.
///
/// Bytes with their LRC at the end have the LRC 0.
pub fn lrc(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}
