//! Typed values over registers: integers, floats, text and single bits, in every word and byte order.
//!
//! The specification knows 16-bit registers only. What devices put into them is described by a [`DataType`] and an
//! [`Order`]; with these, registers become a [`Value`] and back without a loss:
//!
//! ```
//! use dinrail_proto::pdu::Registers;
//! use dinrail_proto::value::{DataType, Order, Value};
//!
//! let registers = [0x0000, 0x41AC];
//! let value = DataType::F32.decode(Order::Cdab, Registers::from(&registers[..]))?;
//! assert_eq!(value, Value::F32(21.5));
//!
//! let mut out = [0; 2];
//! DataType::F32.encode(&value, Order::Cdab, &mut out)?;
//! assert_eq!(out, registers);
//! # Ok::<(), dinrail_proto::value::ValueError>(())
//! ```

mod error;
mod order;
mod parse;
#[cfg(test)]
mod tests;
mod text;

use core::fmt;

pub use self::error::ValueError;
pub use self::order::Order;
pub use self::text::Text;
use crate::pdu::Registers;

/// What one or more registers hold.
///
/// Written and parsed as `u16`, `i16`, `u32`, `i32`, `u64`, `i64`, `f32`, `f64`, `str:N` and `bit:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// 0 to 65535, in one register.
    U16,
    /// -32768 to 32767, two's complement, in one register.
    I16,
    /// 0 to 4294967295, in two registers.
    U32,
    /// Two's complement, in two registers.
    I32,
    /// 0 to 18446744073709551615, in four registers.
    U64,
    /// Two's complement, in four registers.
    I64,
    /// IEEE 754 single precision, in two registers.
    F32,
    /// IEEE 754 double precision, in four registers.
    F64,
    /// Text of so many bytes, two in a register, filled up with zeros. More than [`MAX_TEXT`] bytes do not fit into one
    /// request.
    Text(u8),
    /// One bit of a register, 0 (lowest) to 15.
    Bit(u8),
}

/// The longest text that one request reads, in bytes: 125 registers.
pub const MAX_TEXT: u8 = 250;

/// A value of a [`DataType`].
///
/// `Display` writes numbers so that [`DataType::parse`] gives the very same number back (floats with the fewest digits
/// that do so), text as it is with control characters and broken UTF-8 as `\xNN`, and bits as `on` and `off`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "text lies in place: there is no allocator to box it")]
pub enum Value {
    /// Of [`DataType::U16`].
    U16(u16),
    /// Of [`DataType::I16`].
    I16(i16),
    /// Of [`DataType::U32`].
    U32(u32),
    /// Of [`DataType::I32`].
    I32(i32),
    /// Of [`DataType::U64`].
    U64(u64),
    /// Of [`DataType::I64`].
    I64(i64),
    /// Of [`DataType::F32`].
    F32(f32),
    /// Of [`DataType::F64`].
    F64(f64),
    /// Of [`DataType::Text`].
    Text(Text),
    /// Of [`DataType::Bit`], and of coils and discrete inputs.
    Bit(bool),
}

impl DataType {
    /// How many registers it takes.
    pub const fn registers(self) -> usize {
        match self {
            Self::U16 | Self::I16 | Self::Bit(_) => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
            Self::Text(bytes) => (bytes as usize).div_ceil(2),
        }
    }

    /// The value in the first of `registers`; further ones are not looked at.
    ///
    /// # Errors
    /// When there are fewer than [`registers`](Self::registers), or the type is a bit above 15.
    pub fn decode(self, order: Order, registers: Registers<'_>) -> Result<Value, ValueError> {
        self.check_room(registers.len())?;
        if let Self::Text(length) = self {
            return Ok(Value::Text(Text::decode(length, order, registers)));
        }
        let raw = order.decode(self.registers(), registers);
        Ok(match self {
            Self::U16 => Value::U16(raw as u16), // `raw` has as many bits as the type, here and below
            Self::I16 => Value::I16(raw as i16),
            Self::U32 => Value::U32(raw as u32),
            Self::I32 => Value::I32(raw as i32),
            Self::U64 => Value::U64(raw),
            Self::I64 => Value::I64(raw as i64),
            Self::F32 => Value::F32(f32::from_bits(raw as u32)),
            Self::F64 => Value::F64(f64::from_bits(raw)),
            Self::Bit(bit) => Value::Bit(raw & mask(bit)? != 0),
            Self::Text(_) => unreachable!("text was decoded above"),
        })
    }

    /// Writes `value` to the first of `out` and returns how many registers it took.
    ///
    /// A [`Bit`](Self::Bit) changes that bit of `out[0]` and leaves the others as they are; text is filled up with zeros.
    ///
    /// # Errors
    /// When `out` is too short, `value` is of another type, or text is longer than the type says. `out` is unchanged then.
    pub fn encode(self, value: &Value, order: Order, out: &mut [u16]) -> Result<usize, ValueError> {
        self.check_room(out.len())?;
        let out = &mut out[..self.registers()];
        let raw = match (self, *value) {
            (Self::U16, Value::U16(value)) => value.into(),
            (Self::I16, Value::I16(value)) => value as u64, // sign-extended; the upper bits are not written
            (Self::U32, Value::U32(value)) => value.into(),
            (Self::I32, Value::I32(value)) => value as u64,
            (Self::U64, Value::U64(value)) => value,
            (Self::I64, Value::I64(value)) => value as u64,
            (Self::F32, Value::F32(value)) => value.to_bits().into(),
            (Self::F64, Value::F64(value)) => value.to_bits(),
            (Self::Bit(bit), Value::Bit(on)) => {
                let others = order.decode(1, Registers::from(&*out)) & !mask(bit)?;
                if on { others | mask(bit)? } else { others }
            }
            (Self::Text(length), Value::Text(text)) => {
                text.encode(length, order, out)?;
                return Ok(out.len());
            }
            _ => return Err(ValueError::Mismatch { expected: self }),
        };
        order.encode(raw, out);
        Ok(out.len())
    }

    fn check_room(self, there: usize) -> Result<(), ValueError> {
        if there < self.registers() {
            return Err(ValueError::TooFewRegisters { data_type: self, there });
        }
        Ok(())
    }
}

fn mask(bit: u8) -> Result<u64, ValueError> {
    if bit < 16 { Ok(1 << bit) } else { Err(ValueError::UnknownType) }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U16 => f.write_str("u16"),
            Self::I16 => f.write_str("i16"),
            Self::U32 => f.write_str("u32"),
            Self::I32 => f.write_str("i32"),
            Self::U64 => f.write_str("u64"),
            Self::I64 => f.write_str("i64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Text(bytes) => write!(f, "str:{bytes}"),
            Self::Bit(bit) => write!(f, "bit:{bit}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U16(value) => fmt::Display::fmt(value, f),
            Self::I16(value) => fmt::Display::fmt(value, f),
            Self::U32(value) => fmt::Display::fmt(value, f),
            Self::I32(value) => fmt::Display::fmt(value, f),
            Self::U64(value) => fmt::Display::fmt(value, f),
            Self::I64(value) => fmt::Display::fmt(value, f),
            // `Debug` of floats is the shortest text that parses back, with an exponent where that is shorter.
            Self::F32(value) => fmt::Debug::fmt(value, f),
            Self::F64(value) => fmt::Debug::fmt(value, f),
            Self::Text(value) => fmt::Display::fmt(value, f),
            Self::Bit(value) => f.write_str(if *value { "on" } else { "off" }),
        }
    }
}

macro_rules! value_from {
    ($($variant:ident($from:ty)),*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

value_from!(U16(u16), I16(i16), U32(u32), I32(i32), U64(u64), I64(i64), F32(f32), F64(f64), Text(Text), Bit(bool));
