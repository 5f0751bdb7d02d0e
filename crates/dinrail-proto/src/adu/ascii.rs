//! ASCII frames: a colon, two hex digits for each byte, an LRC, CR and a delimiter, usually LF (SL 2.5.2).
//!
//! A colon starts a frame wherever it stands, so there is nothing to guess: what stands before it is dropped.

use super::lrc::lrc;
use super::{Adu, Decoded, Discard, Framing};
use crate::UnitId;

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

/// Makes a frame of the PDU that stands at its index 1.
pub(super) fn complete(unit: UnitId, frame: &mut [u8]) {
    let digits_end = frame.len() - 2;
    let pdu_end = digits_end / 2 - 1;
    let checksum = lrc(&frame[1..pdu_end]).wrapping_sub(unit.0);
    put(&mut frame[digits_end - 2..], checksum);
    // From the end, since the digits of a byte stand behind it: nothing is overwritten before it was read.
    for index in (1..pdu_end).rev() {
        let byte = frame[index];
        put(&mut frame[1 + 2 * index..], byte);
    }
    put(&mut frame[1..], unit.0);
    frame[0] = b':';
    frame[digits_end..].copy_from_slice(&[CR, LF]);
}

/// Writes a byte as two digits.
fn put(out: &mut [u8], byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out[0] = DIGITS[usize::from(byte >> 4)];
    out[1] = DIGITS[usize::from(byte & 0xF)];
}
