//! In which order the bytes of a number lie in its registers.

use core::fmt;

use crate::pdu::Registers;

/// Where the bytes of a number lie, written for the number `0xAABBCCDD` in two registers.
///
/// It is two questions: does the first register hold the high or the low word, and does a register hold its high byte
/// first, as the specification says, or last? The same two answers hold for numbers in one or four registers and for
/// text, where only the second one matters: words of text are never swapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// `AABB CCDD`: high word first, bytes as the specification has them ("big endian").
    #[default]
    Abcd,
    /// `CCDD AABB`: low word first ("word swap").
    Cdab,
    /// `BBAA DDCC`: high word first, each register with its bytes swapped ("byte swap").
    Badc,
    /// `DDCC BBAA`: low word first, bytes swapped ("little endian").
    Dcba,
}

impl Order {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Abcd, Self::Cdab, Self::Badc, Self::Dcba];

    /// Whether the first register holds the low word.
    pub const fn is_word_swapped(self) -> bool {
        matches!(self, Self::Cdab | Self::Dcba)
    }

    /// Whether each register has its low byte first.
    pub const fn is_byte_swapped(self) -> bool {
        matches!(self, Self::Badc | Self::Dcba)
    }

    /// The number in the first `count` registers, at most 4; the caller has checked that they are there.
    pub(super) fn decode(self, count: usize, registers: Registers<'_>) -> u64 {
        (0..count).fold(0, |number, word| {
            let register = registers.get(self.index(word, count)).unwrap_or_default();
            number << 16 | u64::from(self.register(register))
        })
    }

    /// Puts the low `16 * out.len()` bits of `number` into `out`, at most 4 registers.
    pub(super) fn encode(self, number: u64, out: &mut [u16]) {
        let count = out.len();
        for word in 0..count {
            let register = (number >> (16 * (count - 1 - word))) as u16; // the lowest 16 bits
            out[self.index(word, count)] = self.register(register);
        }
    }

    /// A register as the number has it from a register as the wire has it, or the other way round.
    pub(super) const fn register(self, register: u16) -> u16 {
        if self.is_byte_swapped() { register.swap_bytes() } else { register }
    }

    /// Which of `count` registers holds word `word`, counted from the highest.
    const fn index(self, word: usize, count: usize) -> usize {
        if self.is_word_swapped() { count - 1 - word } else { word }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abcd => "ABCD",
            Self::Cdab => "CDAB",
            Self::Badc => "BADC",
            Self::Dcba => "DCBA",
        })
    }
}
