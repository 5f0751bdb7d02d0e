//! Values in place: what callbacks are given to write, and may return from a read, without a heap allocation.

use std::fmt;

use super::Failure;
use crate::proto::pdu::{Bits, BitsMut, Registers, RegistersMut};

/// The most bytes of values in one PDU: 2000 bits, or 125 registers.
const MAX_BYTES: usize = 250;

/// Registers or bits, as many as one request may carry, in place.
#[derive(Clone)]
pub struct Values {
    bits: bool,
    count: u16,
    bytes: [u8; MAX_BYTES],
}

impl Values {
    /// Registers, at most 125; what is beyond is left out.
    pub fn registers(values: impl IntoIterator<Item = u16>) -> Self {
        let mut this = Self { bits: false, count: 0, bytes: [0; MAX_BYTES] };
        for (pair, value) in this.bytes.chunks_exact_mut(2).zip(values) {
            pair.copy_from_slice(&value.to_be_bytes());
            this.count += 1;
        }
        this
    }

    /// Bits, at most 2000; what is beyond is left out.
    pub fn bits(values: impl IntoIterator<Item = bool>) -> Self {
        let mut this = Self { bits: true, count: 0, bytes: [0; MAX_BYTES] };
        for value in values.into_iter().take(MAX_BYTES * 8) {
            let index = usize::from(this.count);
            this.bytes[index / 8] |= u8::from(value) << (index % 8);
            this.count += 1;
        }
        this
    }

    /// No values yet, to be filled in place.
    #[inline]
    pub(super) const fn none() -> Self {
        Self { bits: false, count: 0, bytes: [0; MAX_BYTES] }
    }

    /// At most 125 of them.
    #[inline]
    pub(super) fn set_registers(&mut self, values: Registers<'_>) {
        self.bits = false;
        self.count = RegistersMut::over(&mut self.bytes).copy_from_registers(values) as u16;
    }

    /// At most 2000 of them.
    pub(super) fn set_bits(&mut self, values: Bits<'_>) {
        let count = values.len().min(MAX_BYTES * 8);
        self.bits = true;
        self.count = count as u16;
        BitsMut::over(&mut self.bytes, count).copy_from_bits(values);
    }

    /// How many registers or bits.
    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The registers; `None` when these are bits.
    pub fn as_registers(&self) -> Option<Registers<'_>> {
        (!self.bits).then(|| Registers::from_wire(&self.bytes[..2 * self.len()]))
    }

    /// The bits; `None` when these are registers.
    pub fn as_bits(&self) -> Option<Bits<'_>> {
        self.bits.then(|| Bits::from_packed(&self.bytes, self.len()))
    }

    /// The values as numbers: registers as they are, bits as 0 and 1.
    pub fn to_vec(&self) -> Vec<u16> {
        match self.as_bits() {
            Some(bits) => bits.iter().map(u16::from).collect(),
            None => Registers::from_wire(&self.bytes[..2 * self.len()]).iter().collect(),
        }
    }
}

impl From<&[u16]> for Values {
    /// As [`Values::registers`].
    fn from(values: &[u16]) -> Self {
        let mut this = Self { bits: false, count: 0, bytes: [0; MAX_BYTES] };
        this.count = RegistersMut::over(&mut this.bytes).copy_from(values) as u16; // at most 125
        this
    }
}

impl From<&[bool]> for Values {
    /// As [`Values::bits`].
    fn from(values: &[bool]) -> Self {
        Self::bits(values.iter().copied())
    }
}

impl From<Registers<'_>> for Values {
    #[inline]
    fn from(values: Registers<'_>) -> Self {
        let mut this = Self::none();
        this.set_registers(values);
        this
    }
}

impl From<Bits<'_>> for Values {
    fn from(values: Bits<'_>) -> Self {
        let mut this = Self::none();
        this.set_bits(values);
        this
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits && self.count == other.count && self.bytes == other.bytes
    }
}

impl Eq for Values {}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_bits() {
            Some(bits) => fmt::Debug::fmt(&bits, f),
            None => f.debug_list().entries(self.to_vec()).finish(),
        }
    }
}

/// The values of a reply that is being written: bits that start as off, or registers that start as zeros.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    /// Of coils or discrete inputs.
    Bits(BitsMut<'a>),
    /// Of holding or input registers.
    Registers(RegistersMut<'a>),
}

impl ValuesMut<'_> {
    /// How many were asked for.
    pub fn len(&self) -> usize {
        match self {
            Self::Bits(bits) => bits.len(),
            Self::Registers(registers) => registers.len(),
        }
    }

    /// Whether none were asked for; that never happens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets all values: registers by a `[u16]`, bits by a `[bool]`, either by [`Values`].
    ///
    /// # Errors
    /// When there are more or fewer than were asked for, or bits for registers: the client is told 0x04, the log why.
    #[inline]
    pub fn set(&mut self, values: &(impl IntoValues + ?Sized)) -> Result<(), Failure> {
        match self {
            Self::Bits(bits) => values.write_bits(bits),
            Self::Registers(registers) => values.write_registers(registers),
        }
        .map_err(|found| self.wrong_shape(found))
    }

    /// A callback that returns the wrong number or kind of values must not make a malformed frame.
    #[cold]
    fn wrong_shape(&self, found: Option<usize>) -> Failure {
        let kind = if matches!(self, Self::Bits(_)) { "bits" } else { "registers" };
        let asked = self.len();
        Failure::message(match found {
            Some(found) => format!("the callback gave {found} {kind}, asked for were {asked}"),
            None => format!("the callback gave values that are no {kind}, asked for were {asked} {kind}"),
        })
    }
}

/// What a read callback may return: `Vec<u16>`, `Vec<bool>`, arrays of either, or [`Values`].
pub trait IntoValues {
    /// Writes registers; the error is how many there were instead of `out.len()`, or `None` when these are bits.
    fn write_registers(&self, out: &mut RegistersMut<'_>) -> Result<(), Option<usize>>;
    /// Writes bits; the error is how many there were instead of `out.len()`, or `None` when these are registers.
    fn write_bits(&self, out: &mut BitsMut<'_>) -> Result<(), Option<usize>>;
}

impl IntoValues for [u16] {
    #[inline]
    fn write_registers(&self, out: &mut RegistersMut<'_>) -> Result<(), Option<usize>> {
        if self.len() != out.len() {
            return Err(Some(self.len()));
        }
        out.copy_from(self);
        Ok(())
    }

    fn write_bits(&self, _: &mut BitsMut<'_>) -> Result<(), Option<usize>> {
        Err(None)
    }
}

impl IntoValues for [bool] {
    fn write_registers(&self, _: &mut RegistersMut<'_>) -> Result<(), Option<usize>> {
        Err(None)
    }

    fn write_bits(&self, out: &mut BitsMut<'_>) -> Result<(), Option<usize>> {
        if self.len() != out.len() {
            return Err(Some(self.len()));
        }
        out.copy_from(self);
        Ok(())
    }
}

impl IntoValues for Values {
    fn write_registers(&self, out: &mut RegistersMut<'_>) -> Result<(), Option<usize>> {
        if self.bits {
            return Err(None);
        }
        if self.len() != out.len() {
            return Err(Some(self.len()));
        }
        out.copy_from_wire(&self.bytes[..2 * self.len()]);
        Ok(())
    }

    fn write_bits(&self, out: &mut BitsMut<'_>) -> Result<(), Option<usize>> {
        if !self.bits {
            return Err(None);
        }
        if self.len() != out.len() {
            return Err(Some(self.len()));
        }
        out.copy_from_packed(&self.bytes);
        Ok(())
    }
}

macro_rules! delegate_to_slice {
    ($([$($generics:tt)*] $type:ty;)*) => {
        $(impl<$($generics)*> IntoValues for $type {
            #[inline]
            fn write_registers(&self, out: &mut RegistersMut<'_>) -> Result<(), Option<usize>> {
                self.as_slice().write_registers(out)
            }

            fn write_bits(&self, out: &mut BitsMut<'_>) -> Result<(), Option<usize>> {
                self.as_slice().write_bits(out)
            }
        })*
    };
}

delegate_to_slice! {
    [] Vec<u16>;
    [] Vec<bool>;
    [const N: usize] [u16; N];
    [const N: usize] [bool; N];
}
