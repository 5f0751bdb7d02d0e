//! Text in registers, in place: two bytes a register, filled up with zeros.

use core::fmt::{self, Write};

use super::{Order, ValueError};
use crate::pdu::Registers;

const CAPACITY: usize = 255;

/// Up to 255 bytes of text, in place. Zeros at the end are filling and no part of it.
///
/// Devices are free to hold anything, so these are bytes: [`as_str`](Self::as_str) says whether they are UTF-8, which
/// ASCII always is.
#[derive(Clone, Copy)]
pub struct Text {
    length: u8,
    bytes: [u8; CAPACITY],
}

impl Text {
    /// The bytes of `text`; zeros at its end are dropped.
    ///
    /// # Errors
    /// When it is longer than 255 bytes.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self, ValueError> {
        let text = text.as_ref();
        let mut bytes = [0; CAPACITY];
        let too_long = ValueError::TextTooLong { length: text.len(), max: CAPACITY as u8 };
        bytes.get_mut(..text.len()).ok_or(too_long)?.copy_from_slice(text);
        Ok(Self::trimmed(bytes))
    }

    /// The text in the first `length` bytes of `registers`.
    pub(super) fn decode(length: u8, order: Order, registers: Registers<'_>) -> Self {
        let mut bytes = [0; CAPACITY];
        for (pair, register) in bytes[..length.into()].chunks_mut(2).zip(registers.iter()) {
            pair.copy_from_slice(&order.register(register).to_be_bytes()[..pair.len()]);
        }
        Self::trimmed(bytes)
    }

    /// Fills all of `out`, which holds a text of at most `max` bytes.
    pub(super) fn encode(&self, max: u8, order: Order, out: &mut [u16]) -> Result<(), ValueError> {
        if self.length > max {
            return Err(ValueError::TextTooLong { length: self.length.into(), max });
        }
        for (index, register) in out.iter_mut().enumerate() {
            let byte = |at: usize| self.as_bytes().get(at).copied().unwrap_or_default();
            *register = order.register(u16::from_be_bytes([byte(2 * index), byte(2 * index + 1)]));
        }
        Ok(())
    }

    fn trimmed(bytes: [u8; CAPACITY]) -> Self {
        let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Self { length: length as u8, bytes } // at most CAPACITY, which fits
    }

    /// The bytes, without the zeros at their end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The text, when it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    // A device must not be able to steer the terminal that shows its text.
                    control if control.is_control() => write!(f, "\\x{:02x}", u32::from(control))?,
                    other => f.write_char(other)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}
