//! Why something is no value of a type. The texts say what is allowed; the caller says which input was meant.

use core::fmt;

use super::{DataType, MAX_TEXT};

/// Why a value, a type or an order is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// The type takes more registers than there are.
    TooFewRegisters {
        /// What was to be read or written.
        data_type: DataType,
        /// How many registers there are.
        there: usize,
    },
    /// The value is of another type.
    Mismatch {
        /// The type that was asked for.
        expected: DataType,
    },
    /// No whole number.
    NoInteger(DataType),
    /// No number.
    NoFloat(DataType),
    /// A number that the type does not hold.
    OutOfRange(DataType),
    /// Neither on nor off.
    NoBit,
    /// More text than there is room for.
    TextTooLong {
        /// Its length in bytes.
        length: usize,
        /// The room in bytes.
        max: u8,
    },
    /// No such type, or its number is out of range.
    UnknownType,
    /// No such order.
    UnknownOrder,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewRegisters { data_type, there } => {
                write!(f, "{data_type} takes {} registers, and there are {there}", data_type.registers())
            }
            Self::Mismatch { expected } => write!(f, "the value is of another type than {expected}"),
            Self::NoInteger(data_type) => {
                write!(f, "no whole number: {data_type} takes ")?;
                write_range(f, *data_type)?;
                f.write_str(", in decimal or with 0x, 0o or 0b in front")
            }
            Self::NoFloat(data_type) => {
                write!(f, "no number: {data_type} takes numbers such as 21.5 and -1e3, and inf, -inf and NaN")
            }
            Self::OutOfRange(data_type) => {
                write!(f, "out of range: {data_type} takes ")?;
                write_range(f, *data_type)
            }
            Self::NoBit => f.write_str("neither on nor off: write on, true or 1, or off, false or 0"),
            Self::TextTooLong { length, max } => {
                write!(f, "text of {length} bytes: there is room for {max}")
            }
            Self::UnknownType => write!(
                f,
                "no such type: take u16, i16, u32, i32, u64, i64, f32, f64, str:N with 1 to {MAX_TEXT} bytes, or bit:N \
                 with bit 0 (lowest) to 15"
            ),
            Self::UnknownOrder => f.write_str("no such order: take ABCD, CDAB, BADC or DCBA"),
        }
    }
}

fn write_range(f: &mut fmt::Formatter<'_>, data_type: DataType) -> fmt::Result {
    match data_type.integer_range() {
        Some(range) => write!(f, "{} to {}", range.start(), range.end()),
        None if data_type == DataType::F32 => write!(f, "{:?} to {:?}, inf, -inf and NaN", f32::MIN, f32::MAX),
        None => write!(f, "{:?} to {:?}, inf, -inf and NaN", f64::MIN, f64::MAX),
    }
}

impl core::error::Error for ValueError {}
