//! ASCII frames: a colon, two hex digits for each byte, an LRC, CR and a delimiter, usually LF (SL 2.5.2).
//!
//! A colon starts a frame wherever it stands, so there is nothing to guess: what stands before it is dropped.

use super::lrc::lrc;
use super::{Adu, Decoded, Discard, Framing};
use crate::UnitId;
use crate::error::EncodeError;

/// Ends a frame, behind CR, unless FC 8 sub-function 3 has changed it.
pub(super) const LF: u8 = b'\n';
const CR: u8 = b'\r';
/// Hex digits of the shortest frame: unit, function code and LRC.
const LEAST_DIGITS: usize = 6;

/// What the text at the front is.
enum Text {
    /// A frame of so many characters, its digits right and its LRC too.
    Frame(usize),
    /// So many characters of no use.
    Skip(usize, Discard),
    /// A frame that has not ended yet.
    Unfinished,
}

/// Looks at the front of the bytes; a frame's digits are replaced by the bytes they mean.
pub(super) fn decode(bytes: &mut [u8], at_end: bool, delimiter: u8) -> Decoded<'_> {
    match scan(bytes, delimiter) {
        Text::Frame(length) => {
            let binary = (length - 3) / 2;
            for index in 0..binary {
                // Reads at or behind 1 + 2 * index, so nothing is overwritten before it was read.
                bytes[index] = pair(&bytes[1 + 2 * index..]).unwrap_or_default();
            }
            let adu = Adu { transaction: 0, unit: UnitId(bytes[0]), pdu: &bytes[1..binary - 1] };
            Decoded::Frame { adu, length }
        }
        Text::Skip(length, reason) => Decoded::Skip { length, reason },
        Text::Unfinished if at_end && !bytes.is_empty() => {
            Decoded::Skip { length: bytes.len(), reason: Discard::Broken }
        }
        Text::Unfinished => Decoded::Incomplete,
    }
}

fn scan(bytes: &[u8], delimiter: u8) -> Text {
    let skip_from = |at: usize, reason| {
        let rest = bytes.get(at..).unwrap_or_default();
        Text::Skip(at + rest.iter().position(|byte| *byte == b':').unwrap_or(rest.len()), reason)
    };
    match bytes.first() {
        None => return Text::Unfinished,
        Some(b':') => {}
        Some(_) => return skip_from(1, Discard::Noise),
    }
    let digits = bytes[1..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let end = 1 + digits;
    if end > Framing::Ascii.max_adu() - 2 {
        return skip_from(end, Discard::Broken);
    }
    match bytes[end..] {
        [] | [CR] => Text::Unfinished,
        [CR, last, ..] if last == delimiter => {
            let length = end + 2;
            if digits < LEAST_DIGITS || digits % 2 == 1 {
                Text::Skip(length, Discard::Broken)
            } else if !has_right_lrc(&bytes[1..end]) {
                Text::Skip(length, Discard::Noise)
            } else {
                Text::Frame(length)
            }
        }
        _ => skip_from(end, Discard::Broken),
    }
}

fn has_right_lrc(digits: &[u8]) -> bool {
    digits.chunks_exact(2).fold(0u8, |sum, digits| sum.wrapping_add(pair(digits).unwrap_or_default())) == 0
}

/// The byte that two digits mean.
fn pair(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    Some((digit(0)? << 4 | digit(1)?) as u8) // two digits fill a byte
}

/// Writes a frame; the PDU's length has been checked.
pub(super) fn encode(adu: &Adu<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let length = 1 + 2 * (1 + adu.pdu.len() + 1) + 2;
    let out = out.get_mut(..length).ok_or(EncodeError::TooLong { length })?;
    let checksum = lrc(adu.pdu).wrapping_sub(adu.unit.0);
    let binary = [adu.unit.0].into_iter().chain(adu.pdu.iter().copied()).chain([checksum]);
    out[0] = b':';
    for (digits, byte) in out[1..].chunks_exact_mut(2).zip(binary) {
        digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xF)]]);
    }
    out[length - 2..].copy_from_slice(&[CR, LF]);
    Ok(length)
}
