//! Values, types and orders from what people type.

use core::num::IntErrorKind;
use core::ops::RangeInclusive;
use core::str::FromStr;

use super::{DataType, MAX_TEXT, Order, Text, Value, ValueError};

impl DataType {
    /// The value that `text` means.
    ///
    /// - Integers: decimal, or after `0x`, `0o` or `0b` in that base; a sign in front is allowed.
    /// - Floats: `21.5`, `-1e3`, `inf`, `-inf`, `NaN`. What lies between two floats becomes the nearer one.
    /// - Text: every character as it is; at most as many bytes as the type has.
    /// - Bits: `on`, `true`, `1`, `off`, `false`, `0`.
    ///
    /// # Errors
    /// When it means no value of this type; the error says what is allowed.
    pub fn parse(self, text: &str) -> Result<Value, ValueError> {
        Ok(match self {
            Self::U16 => Value::U16(self.parse_integer(text)?),
            Self::I16 => Value::I16(self.parse_integer(text)?),
            Self::U32 => Value::U32(self.parse_integer(text)?),
            Self::I32 => Value::I32(self.parse_integer(text)?),
            Self::U64 => Value::U64(self.parse_integer(text)?),
            Self::I64 => Value::I64(self.parse_integer(text)?),
            Self::F32 => Value::F32(self.parse_float(text, f32::is_infinite)?),
            Self::F64 => Value::F64(self.parse_float(text, f64::is_infinite)?),
            Self::Text(max) if text.len() > usize::from(max) => {
                return Err(ValueError::TextTooLong { length: text.len(), max });
            }
            Self::Text(_) => Value::Text(Text::new(text)?),
            Self::Bit(_) => Value::Bit(parse_bit(text)?),
        })
    }

    fn parse_integer<T: TryFrom<i128>>(self, text: &str) -> Result<T, ValueError> {
        let (sign, digits) = match text.split_at_checked(1) {
            Some((sign @ ("-" | "+"), digits)) => (sign, digits),
            _ => ("", text),
        };
        let (radix, digits) = match digits.split_at_checked(2) {
            Some(("0x" | "0X", digits)) => (16, digits),
            Some(("0o" | "0O", digits)) => (8, digits),
            Some(("0b" | "0B", digits)) => (2, digits),
            _ => (10, digits),
        };
        if digits.starts_with(['-', '+']) {
            return Err(ValueError::NoInteger(self)); // `from_str_radix` would take a second sign
        }
        let magnitude = i128::from_str_radix(digits, radix).map_err(|error| match error.kind() {
            IntErrorKind::PosOverflow => ValueError::OutOfRange(self),
            _ => ValueError::NoInteger(self),
        })?;
        let number = if sign == "-" { -magnitude } else { magnitude };
        T::try_from(number).map_err(|_| ValueError::OutOfRange(self))
    }

    fn parse_float<T: FromStr + Copy>(self, text: &str, is_infinite: impl Fn(T) -> bool) -> Result<T, ValueError> {
        let number = text.parse().map_err(|_| ValueError::NoFloat(self))?;
        let is_spelt_out = !text.contains(|char: char| char.is_ascii_digit());
        if is_infinite(number) && !is_spelt_out {
            return Err(ValueError::OutOfRange(self));
        }
        Ok(number)
    }

    /// What an integer type holds; `None` for the others.
    pub(super) fn integer_range(self) -> Option<RangeInclusive<i128>> {
        Some(match self {
            Self::U16 => 0..=u16::MAX.into(),
            Self::I16 => i16::MIN.into()..=i16::MAX.into(),
            Self::U32 => 0..=u32::MAX.into(),
            Self::I32 => i32::MIN.into()..=i32::MAX.into(),
            Self::U64 => 0..=u64::MAX.into(),
            Self::I64 => i64::MIN.into()..=i64::MAX.into(),
            Self::F32 | Self::F64 | Self::Text(_) | Self::Bit(_) => return None,
        })
    }
}

fn parse_bit(text: &str) -> Result<bool, ValueError> {
    let is_one_of = |words: [&str; 3]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(["on", "true", "1"]) {
        Ok(true)
    } else if is_one_of(["off", "false", "0"]) {
        Ok(false)
    } else {
        Err(ValueError::NoBit)
    }
}

impl FromStr for DataType {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Ok(match text {
            "u16" => Self::U16,
            "i16" => Self::I16,
            "u32" => Self::U32,
            "i32" => Self::I32,
            "u64" => Self::U64,
            "i64" => Self::I64,
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => match text.split_once(':') {
                Some(("str", length)) => Self::Text(number_in(length, 1..=MAX_TEXT)?),
                Some(("bit", bit)) => Self::Bit(number_in(bit, 0..=15)?),
                _ => return Err(ValueError::UnknownType),
            },
        })
    }
}

fn number_in(text: &str, range: RangeInclusive<u8>) -> Result<u8, ValueError> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or(ValueError::UnknownType)
}

impl FromStr for Order {
    type Err = ValueError;

    /// Upper or lower case.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let known = [("ABCD", Self::Abcd), ("CDAB", Self::Cdab), ("BADC", Self::Badc), ("DCBA", Self::Dcba)];
        let found = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, order)| order).ok_or(ValueError::UnknownOrder)
    }
}
