//! The four areas, and their contents as they stand in a PDU: bits packed low bit first, registers high byte first.

use core::fmt;

use super::blocks::in_blocks;

/// One of the four tables of the Modbus data model (AP 4.3). Addresses are 0-based, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// Bits that are read and written (FC 1, 5, 15).
    Coil,
    /// Bits that are only read (FC 2).
    DiscreteInput,
    /// 16-bit registers that are read and written (FC 3, 6, 16, 22, 23).
    HoldingRegister,
    /// 16-bit registers that are only read (FC 4).
    InputRegister,
}

impl Area {
    /// All four, in the order of the function codes that read them.
    pub const ALL: [Self; 4] = [Self::Coil, Self::DiscreteInput, Self::HoldingRegister, Self::InputRegister];

    /// Whether its items are bits; else they are registers.
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::DiscreteInput)
    }

    /// Whether a client may write to it.
    pub const fn is_writable(self) -> bool {
        matches!(self, Self::Coil | Self::HoldingRegister)
    }

    /// How many items one request may read: 2000 bits or 125 registers (AP 6.1 to 6.4).
    pub const fn max_read(self) -> u16 {
        if self.is_bits() { 2000 } else { 125 }
    }

    /// How many items one request may write: 1968 bits or 123 registers (AP 6.11, 6.12).
    pub const fn max_write(self) -> u16 {
        if self.is_bits() { 1968 } else { 123 }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coil => "coil",
            Self::DiscreteInput => "discrete input",
            Self::HoldingRegister => "holding register",
            Self::InputRegister => "input register",
        })
    }
}

/// Registers, either as they came in a PDU or as a slice of the caller's.
#[derive(Clone, Copy)]
pub struct Registers<'a>(RegistersRepr<'a>);

#[derive(Clone, Copy)]
enum RegistersRepr<'a> {
    /// High byte first; an even number of bytes.
    Wire(&'a [u8]),
    Native(&'a [u16]),
}

impl<'a> Registers<'a> {
    /// Registers as they stand in a PDU, high byte first. An odd last byte is left out.
    pub const fn from_wire(bytes: &'a [u8]) -> Self {
        let (even, _) = bytes.split_at(bytes.len() & !1);
        Self(RegistersRepr::Wire(even))
    }

    /// How many registers.
    pub const fn len(&self) -> usize {
        match self.0 {
            RegistersRepr::Wire(bytes) => bytes.len() / 2,
            RegistersRepr::Native(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The register at `index`, counted from the first of these.
    pub fn get(&self, index: usize) -> Option<u16> {
        match self.0 {
            RegistersRepr::Wire(bytes) => {
                let pair = bytes.get(index.checked_mul(2)?..)?.first_chunk::<2>()?;
                Some(u16::from_be_bytes(*pair))
            }
            RegistersRepr::Native(values) => values.get(index).copied(),
        }
    }

    /// All of them in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u16> + use<'a> {
        let this = *self;
        (0..this.len()).map(move |index| this.get(index).unwrap_or_default())
    }

    /// Copies them into `out` and returns how many fitted.
    #[inline]
    pub fn copy_to(&self, out: &mut [u16]) -> usize {
        let count = self.len().min(out.len());
        match self.0 {
            RegistersRepr::Wire(bytes) => {
                let (pairs, _) = bytes.as_chunks();
                in_blocks(&pairs[..count], &mut out[..count], |pair| u16::from_be_bytes(*pair));
            }
            RegistersRepr::Native(values) => out[..count].copy_from_slice(&values[..count]),
        }
        count
    }

    /// Writes them high byte first into `out`, which must hold `2 * len()` bytes.
    pub(crate) fn write_wire(&self, out: &mut [u8]) {
        match self.0 {
            RegistersRepr::Wire(bytes) => out[..bytes.len()].copy_from_slice(bytes),
            RegistersRepr::Native(values) => to_wire(values, out),
        }
    }
}

/// Writes registers high byte first to the front of `out`, which must have room for them.
#[inline(always)]
fn to_wire(values: &[u16], out: &mut [u8]) {
    let (pairs, _) = out[..2 * values.len()].as_chunks_mut();
    in_blocks(values, pairs, |value| value.to_be_bytes());
}

impl<'a> From<&'a [u16]> for Registers<'a> {
    fn from(values: &'a [u16]) -> Self {
        Self(RegistersRepr::Native(values))
    }
}

impl PartialEq for Registers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Registers<'_> {}

impl fmt::Debug for Registers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Bits, either packed as they came in a PDU (first bit lowest) or as a slice of the caller's.
#[derive(Clone, Copy)]
pub struct Bits<'a>(BitsRepr<'a>);

#[derive(Clone, Copy)]
enum BitsRepr<'a> {
    /// `count` is at most 8 times the length.
    Packed {
        bytes: &'a [u8],
        count: usize,
    },
    Bools(&'a [bool]),
}

/// How many bytes hold `count` packed bits.
pub const fn bytes_for_bits(count: usize) -> usize {
    count.div_ceil(8)
}

impl<'a> Bits<'a> {
    /// The first `count` bits of packed bytes, first bit lowest; fewer when there are not so many.
    pub const fn from_packed(bytes: &'a [u8], count: usize) -> Self {
        let there = bytes.len() * 8;
        Self(BitsRepr::Packed { bytes, count: if count < there { count } else { there } })
    }

    /// How many bits.
    pub const fn len(&self) -> usize {
        match self.0 {
            BitsRepr::Packed { count, .. } => count,
            BitsRepr::Bools(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bit at `index`, counted from the first of these.
    pub fn get(&self, index: usize) -> Option<bool> {
        match self.0 {
            BitsRepr::Packed { bytes, count } if index < count => Some(bytes[index / 8] >> (index % 8) & 1 == 1),
            BitsRepr::Packed { .. } => None,
            BitsRepr::Bools(values) => values.get(index).copied(),
        }
    }

    /// All of them in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = bool> + use<'a> {
        let this = *self;
        (0..this.len()).map(move |index| this.get(index).unwrap_or_default())
    }

    /// Copies them into `out` and returns how many fitted.
    pub fn copy_to(&self, out: &mut [bool]) -> usize {
        let count = self.len().min(out.len());
        for (bit, value) in out.iter_mut().zip(self.iter()) {
            *bit = value;
        }
        count
    }

    /// Packs them into `out`, which must hold `bytes_for_bits(len())` bytes; unused high bits become zero.
    pub(crate) fn write_wire(&self, out: &mut [u8]) {
        let out = &mut out[..bytes_for_bits(self.len())];
        match self.0 {
            BitsRepr::Packed { bytes, count } => {
                out.copy_from_slice(&bytes[..out.len()]);
                clear_unused(out, count);
            }
            BitsRepr::Bools(values) => {
                for (byte, bits) in out.iter_mut().zip(values.chunks(8)) {
                    *byte = bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
                }
            }
        }
    }
}

/// Clears the bits of the last byte that lie behind `count`.
fn clear_unused(bytes: &mut [u8], count: usize) {
    if let (Some(last), used @ 1..) = (bytes.last_mut(), count % 8) {
        *last &= (1 << used) - 1;
    }
}

impl<'a> From<&'a [bool]> for Bits<'a> {
    fn from(values: &'a [bool]) -> Self {
        Self(BitsRepr::Bools(values))
    }
}

impl PartialEq for Bits<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Bits<'_> {}

impl fmt::Debug for Bits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(u8::from)).finish()
    }
}

/// Registers of a reply that is being written; they start as zeros.
#[derive(Debug)]
pub struct RegistersMut<'a>(&'a mut [u8]);

impl<'a> RegistersMut<'a> {
    /// Registers over the bytes of a PDU, high byte first. An odd last byte is left out.
    #[inline]
    pub fn over(bytes: &'a mut [u8]) -> Self {
        let even = bytes.len() & !1;
        Self(&mut bytes[..even])
    }

    /// The same registers, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> RegistersMut<'_> {
        RegistersMut(self.0)
    }

    /// How many registers were asked for.
    pub const fn len(&self) -> usize {
        self.0.len() / 2
    }

    /// Whether none were asked for.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the register at `index`, counted from the first that was asked for; beyond the end nothing happens.
    pub fn set(&mut self, index: usize, value: u16) {
        if let Some(pair) = self.0.chunks_exact_mut(2).nth(index) {
            pair.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Sets registers from the first on and returns how many of `values` fitted.
    #[inline]
    pub fn copy_from(&mut self, values: &[u16]) -> usize {
        let count = values.len().min(self.len());
        to_wire(&values[..count], self.0);
        count
    }

    /// Sets registers from bytes that are high byte first already, and returns how many fitted.
    #[inline]
    pub fn copy_from_wire(&mut self, bytes: &[u8]) -> usize {
        let length = (bytes.len() & !1).min(self.0.len());
        self.0[..length].copy_from_slice(&bytes[..length]);
        length / 2
    }

    /// Sets registers from others and returns how many fitted.
    #[inline]
    pub fn copy_from_registers(&mut self, values: Registers<'_>) -> usize {
        match values.0 {
            RegistersRepr::Wire(bytes) => self.copy_from_wire(bytes),
            // Short code, so that it is inlined.
            RegistersRepr::Native(values) => {
                let count = values.len().min(self.len());
                self.0.as_chunks_mut().0.iter_mut().zip(values).for_each(|(pair, value)| *pair = value.to_be_bytes());
                count
            }
        }
    }

    /// Sets each register to what `value` gives for its index.
    pub fn fill_with(&mut self, mut value: impl FnMut(usize) -> u16) {
        for (index, pair) in self.0.chunks_exact_mut(2).enumerate() {
            pair.copy_from_slice(&value(index).to_be_bytes());
        }
    }

    /// What has been set so far.
    pub const fn as_registers(&self) -> Registers<'_> {
        Registers(RegistersRepr::Wire(self.0))
    }
}

/// Bits of a reply that is being written; they start as off.
#[derive(Debug)]
pub struct BitsMut<'a> {
    bytes: &'a mut [u8],
    count: usize,
}

impl<'a> BitsMut<'a> {
    /// The first `count` bits over packed bytes of a PDU; fewer when there are not so many.
    pub fn over(bytes: &'a mut [u8], count: usize) -> Self {
        let count = count.min(bytes.len() * 8);
        Self { bytes: &mut bytes[..bytes_for_bits(count)], count }
    }

    /// The same bits, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> BitsMut<'_> {
        BitsMut { bytes: self.bytes, count: self.count }
    }

    /// How many bits were asked for.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether none were asked for.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sets the bit at `index`, counted from the first that was asked for; beyond the end nothing happens.
    pub fn set(&mut self, index: usize, value: bool) {
        if index < self.count {
            let mask = 1 << (index % 8);
            let byte = &mut self.bytes[index / 8];
            *byte = if value { *byte | mask } else { *byte & !mask };
        }
    }

    /// Sets bits from the first on and returns how many of `values` fitted.
    pub fn copy_from(&mut self, values: &[bool]) -> usize {
        let count = values.len().min(self.count);
        for (index, value) in values[..count].iter().enumerate() {
            self.set(index, *value);
        }
        count
    }

    /// Sets bits from packed bytes, first bit lowest, and returns how many bits fitted.
    pub fn copy_from_packed(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(self.bytes.len());
        self.bytes[..length].copy_from_slice(&bytes[..length]);
        clear_unused(self.bytes, self.count);
        (length * 8).min(self.count)
    }

    /// Sets bits from others and returns how many fitted.
    pub fn copy_from_bits(&mut self, values: Bits<'_>) -> usize {
        match values.0 {
            BitsRepr::Packed { bytes, count } if count >= self.count => self.copy_from_packed(bytes),
            // What lies behind the last bit is not theirs.
            BitsRepr::Packed { count, .. } => {
                (0..count).zip(values.iter()).for_each(|(index, value)| self.set(index, value));
                count
            }
            BitsRepr::Bools(values) => self.copy_from(values),
        }
    }

    /// Sets each bit to what `value` gives for its index.
    pub fn fill_with(&mut self, mut value: impl FnMut(usize) -> bool) {
        for index in 0..self.count {
            self.set(index, value(index));
        }
    }

    /// What has been set so far.
    pub const fn as_bits(&self) -> Bits<'_> {
        Bits::from_packed(self.bytes, self.count)
    }
}
