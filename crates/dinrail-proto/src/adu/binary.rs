//! Binary frames: RTU between braces, from jamod by way of pymodbus (`ModbusBinaryFramer`, 3.0 to 3.6).
//!
//! `{`, unit, function, data, CRC, `}`. Braces in the data are doubled; unit, function and CRC stay as they are, and the
//! CRC covers the doubled bytes. pymodbus doubles what it sends, and takes what it receives as it stands:
//! - It ends a frame at the first `}`. No frame with that byte inside reaches it, doubled or not.
//! - It drops the byte behind each frame, and with it the frame that starts there.
//! - It does not undo the doubling: behind a doubled `{` it reads every value a byte too early, and says nothing.
//!
//! So an opening brace is sent once, which pymodbus reads right; nothing is gained by doubling it, since a frame starts
//! where the frame before it ends. Of what comes, the length of the PDU tells which of the two was meant. Where it does
//! not (a function without a known length) braces are doubled, as they should be.
//!
//! A frame ends at the first closing brace before which the CRC is right: one in its data passes for the end once in 65536
//! times. A closing brace that is neither doubled nor part of unit, function or CRC can only be the end. So that a frame is
//! damaged is known at the latest two bytes behind it.

use super::crc::{self, crc16};
use super::length::{Length, request_length, response_length};
use super::{Adu, Decoded, Discard, Expected};
use crate::UnitId;
use crate::error::EncodeError;
use crate::pdu::MAX_PDU;

const OPEN: u8 = b'{';
const CLOSE: u8 = b'}';
/// Bytes of a frame that are not of its PDU: braces, unit and CRC.
pub(super) const AROUND: usize = 5;
/// Where the PDU stands while a frame is made.
pub(super) const PDU_AT: usize = 2;
const MOST: usize = most(MAX_PDU);

/// The length of a frame whose data is nothing but closing braces.
pub(super) const fn most(pdu_length: usize) -> usize {
    AROUND + 2 * pdu_length - 1
}

/// What opening braces in the data mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Two are one.
    Doubled,
    /// Each is one.
    Single,
}

/// What stands at an offset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// A frame of so many bytes.
    Frame(usize),
    /// It depends on bytes that have not come.
    Undecided,
    /// No frame.
    Nothing,
}

/// Looks at the front of the bytes; the data of a frame is replaced by what it means.
pub(super) fn decode(bytes: &mut [u8], at_end: bool) -> Decoded<'_> {
    let mut at = 0;
    let mut reason = Discard::Noise;
    while at < bytes.len() {
        match look(&bytes[at..]) {
            Verdict::Frame(length) if at == 0 => return frame(bytes, length),
            Verdict::Frame(_) => break,
            Verdict::Undecided if !at_end => break,
            Verdict::Undecided if at == 0 => reason = Discard::Broken,
            _ => {}
        }
        at += 1;
        at += bytes[at..].iter().position(|byte| *byte == OPEN).unwrap_or(bytes.len() - at);
    }
    if at > 0 { Decoded::Skip { length: at, reason } } else { Decoded::Incomplete }
}

/// Where [`decode`] would wait for more bytes, looks further on for the reply that is expected.
pub(super) fn decode_expected<'a>(bytes: &'a mut [u8], at_end: bool, expected: &Expected) -> Decoded<'a> {
    if look(bytes) == Verdict::Undecided && !at_end {
        for at in 1..bytes.len() {
            let function = |rest: &[u8]| rest.get(2).map(|function| function & 0x7F);
            let rest = &bytes[at..];
            let ours = rest.get(1) == Some(&expected.unit.0) && function(rest) == Some(expected.function.code());
            match if ours { look(rest) } else { Verdict::Nothing } {
                Verdict::Frame(_) => return Decoded::Skip { length: at, reason: Discard::Noise },
                Verdict::Undecided => break,
                Verdict::Nothing => {}
            }
        }
    }
    decode(bytes, at_end)
}

/// The verdict on a frame that starts with these bytes.
fn look(bytes: &[u8]) -> Verdict {
    /// What came last, as far as the end of the frame depends on it.
    enum Last {
        Other,
        /// A closing brace, which another one must follow; the CRC of what stands before it.
        Half(u16),
        /// The CRC, its first byte a closing brace: there is only the end left.
        Crc,
    }
    match bytes.first() {
        None => return Verdict::Undecided,
        Some(&OPEN) => {}
        Some(_) => return Verdict::Nothing,
    }
    let (mut crc, mut last) = (crc::START, Last::Other);
    for (at, &byte) in bytes.iter().enumerate().take(MOST).skip(1) {
        if byte == CLOSE && at >= AROUND && crc == 0 {
            let content = &bytes[PDU_AT..at - 2];
            return match form(content) {
                Some(_) => Verdict::Frame(at + 1),
                None => Verdict::Nothing,
            };
        }
        last = match last {
            _ if at <= PDU_AT => Last::Other,
            Last::Half(before) if byte != CLOSE && before.to_le_bytes() == [CLOSE, byte] => Last::Crc,
            Last::Half(_) if byte != CLOSE => return Verdict::Nothing,
            Last::Crc => return Verdict::Nothing,
            Last::Other if byte == CLOSE => Last::Half(crc),
            _ => Last::Other,
        };
        crc = crc::add(crc, byte);
    }
    if bytes.len() < MOST { Verdict::Undecided } else { Verdict::Nothing }
}

/// The frame of `length` bytes at the front.
fn frame(bytes: &mut [u8], length: usize) -> Decoded<'_> {
    let content = &mut bytes[PDU_AT..length - 3];
    let form = form(content).unwrap_or(Form::Doubled); // looked at before
    let (mut from, mut to) = (1, 1);
    while from < content.len() {
        content[to] = content[from];
        from += width(&content[from..], form);
        to += 1;
    }
    let adu = Adu { transaction: 0, unit: UnitId(bytes[1]), pdu: &bytes[PDU_AT..PDU_AT + to] };
    Decoded::Frame { adu, length }
}

/// How many bytes of the line the first byte of the data takes.
fn width(data: &[u8], form: Form) -> usize {
    match *data {
        [CLOSE, CLOSE, ..] => 2,
        [OPEN, OPEN, ..] if form == Form::Doubled => 2,
        _ => 1,
    }
}

/// How opening braces in this content of a frame (function and data, as on the line) were meant; `None` when it is longer
/// than a PDU whatever they mean.
fn form(content: &[u8]) -> Option<Form> {
    let mut pdu = [0; MAX_PDU];
    let mut read = |form| {
        let (mut from, mut length, mut alone) = (1, 1, false);
        pdu[0] = content[0];
        while from < content.len() {
            let width = width(&content[from..], form);
            alone |= content[from] == OPEN && width == 1;
            *pdu.get_mut(length)? = content[from];
            from += width;
            length += 1;
        }
        let pdu = &pdu[..length];
        let says = |said| matches!(said, Length::Exact(said) | Length::Usually(said) if said == length);
        Some((alone, says(request_length(pdu)) || says(response_length(pdu))))
    };
    if !content[1..].contains(&OPEN) {
        return read(Form::Doubled).map(|_| Form::Doubled);
    }
    match (read(Form::Doubled), read(Form::Single)) {
        (None, None) => None,
        (Some((false, fits)), single) if fits || !matches!(single, Some((_, true))) => Some(Form::Doubled),
        (_, Some(_)) => Some(Form::Single),
        (Some(_), None) => Some(Form::Doubled),
    }
}

/// Makes a frame of the PDU that stands at [`PDU_AT`], and returns its length.
pub(super) fn complete(unit: UnitId, pdu_length: usize, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut content = PDU_AT + pdu_length;
    double(CLOSE, &mut content, out)?;
    if out[PDU_AT + 1..content].contains(&OPEN) && form(&out[PDU_AT..content]) != Some(Form::Single) {
        double(OPEN, &mut content, out)?;
    }
    let length = content + 3;
    let frame = out.get_mut(..length).ok_or(EncodeError::NoRoom { needed: length })?;
    frame[0] = OPEN;
    frame[1] = unit.0;
    let checksum = crc16(&frame[1..content]).to_le_bytes();
    frame[content..length - 1].copy_from_slice(&checksum);
    frame[length - 1] = CLOSE;
    Ok(length)
}

/// Doubles this byte in the data, which ends at `end`.
fn double(byte: u8, end: &mut usize, out: &mut [u8]) -> Result<(), EncodeError> {
    let data = PDU_AT + 1..*end;
    let more = out.get(data.clone()).unwrap_or_default().iter().filter(|other| **other == byte).count();
    let needed = *end + more;
    let room = out.get_mut(..needed).ok_or(EncodeError::NoRoom { needed: needed + 3 })?;
    *end = needed;
    let mut to = needed;
    // From the end: nothing is overwritten before it was read.
    for from in data.rev() {
        let moved = room[from];
        to -= 1;
        room[to] = moved;
        if moved == byte {
            to -= 1;
            room[to] = moved;
        }
    }
    Ok(())
}
