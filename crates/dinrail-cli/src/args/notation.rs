//! How registers are read and shown: a type of the protocol crate, or plain registers in hexadecimal or binary.

use std::fmt;
use std::str::FromStr;

use dinrail::proto::value::{DataType, Value};

/// What `--help` says about types and orders.
pub(crate) const NOTATIONS: &str = "\
Types:
  u16 i16 u32 i32 u64 i64    integers in 1, 2 or 4 registers
  f32 f64                    floats in 2 or 4 registers
  str:N                      text of N bytes, two in a register
  bit:0 to bit:15            one bit of a register, 0 is the lowest
  hex bin                    plain registers in hexadecimal or binary
Orders:
  ABCD  high word first, high byte first, as the specification says
  CDAB  low word first
  BADC  low byte first
  DCBA  low word first and low byte first";

/// What `--type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// A typed value.
    Typed(DataType),
    /// A register as `0x00FF`.
    Hex,
    /// A register as `0b0000000011111111`.
    Binary,
}

impl Notation {
    /// The type that decodes and encodes the registers.
    pub(crate) const fn data_type(self) -> DataType {
        match self {
            Self::Typed(data_type) => data_type,
            Self::Hex | Self::Binary => DataType::U16,
        }
    }

    /// The text of a value that was read in this notation.
    pub(crate) fn show(self, value: &Value) -> String {
        match (self, value) {
            (Self::Hex, Value::U16(register)) => format!("{register:#06X}").replacen('X', "x", 1),
            (Self::Binary, Value::U16(register)) => format!("{register:#018b}"),
            _ => value.to_string(),
        }
    }
}

impl FromStr for Notation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "hex" => Ok(Self::Hex),
            "bin" => Ok(Self::Binary),
            _ => text.parse().map(Self::Typed).map_err(|error| format!("{error}; hex and bin show plain registers")),
        }
    }
}

impl fmt::Display for Notation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Typed(data_type) => data_type.fmt(f),
            Self::Hex => f.write_str("hex"),
            Self::Binary => f.write_str("bin"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_has_a_name_and_shows_values() {
        let table = [
            ("u16", Value::U16(255), "255"),
            ("hex", Value::U16(255), "0x00FF"),
            ("bin", Value::U16(255), "0b0000000011111111"),
            ("f32", Value::F32(21.5), "21.5"),
            ("bit:3", Value::Bit(true), "on"),
        ];
        for (name, value, shown) in table {
            let notation: Notation = name.parse().expect(name);
            assert_eq!(notation.to_string(), name);
            assert_eq!(notation.show(&value), shown);
            assert_eq!(notation.data_type().parse(shown), Ok(value), "what is shown can be written");
        }
        let error = "float".parse::<Notation>().expect_err("no such type");
        assert!(error.starts_with("no such type: take u16, i16,") && error.ends_with("plain registers"), "{error}");
    }
}
