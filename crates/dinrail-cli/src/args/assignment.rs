//! What `serve --set` says: `hr:0=1,2,3`, `co:0=on,off`, `hr:10:f32=21.5`.

use std::str::FromStr;

use dinrail::proto::value::{DataType, Order, Value};

use super::Reference;

/// Values to start with, from one address on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) start: Reference,
    /// Registers; bits as 0 and 1.
    pub(crate) values: Vec<u16>,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, values) =
            text.split_once('=').ok_or("an equals sign is missing: write hr:0=1,2,3 or co:0=on,off")?;
        let (reference, data_type) = split_type(place);
        let start: Reference = reference.parse()?;
        let values = match (start.area.is_bits(), data_type) {
            (true, None) => parse_bits(values)?,
            (true, Some(_)) => return Err(format!("{start} holds bits: leave the type out")),
            (false, name) => parse_registers(parse_type(name)?, values)?,
        };
        if usize::from(start.address) + values.len() > 0x1_0000 {
            return Err(format!("{} items from {start} end behind the last address, 65535", values.len()));
        }
        Ok(Self { start, values })
    }
}

/// `hr:10:f32` is `hr:10` and `f32`; `40011:f32` is `40011` and `f32`.
pub(crate) fn split_type(place: &str) -> (&str, Option<&str>) {
    let is_number = place.starts_with(|first: char| first.is_ascii_digit());
    let colons_of_reference = if is_number { 0 } else { 1 };
    match place.match_indices(':').nth(colons_of_reference) {
        Some((at, _)) => (&place[..at], Some(&place[at + 1..])),
        None => (place, None),
    }
}

fn parse_type(name: Option<&str>) -> Result<DataType, String> {
    match name.unwrap_or("u16").parse().map_err(|error| format!("{error}"))? {
        DataType::Bit(_) => Err("a single bit of a register cannot be set: set the whole register".to_owned()),
        data_type => Ok(data_type),
    }
}

fn parse_bits(values: &str) -> Result<Vec<u16>, String> {
    let each = values.split(',').map(|value| parse(DataType::Bit(0), value.trim()));
    each.map(|bit| Ok((bit? == Value::Bit(true)).into())).collect()
}

fn parse_registers(data_type: DataType, values: &str) -> Result<Vec<u16>, String> {
    match data_type {
        DataType::Text(_) => encode(data_type, values), // a comma is part of the text
        _ => {
            let each = values.split(',').map(|value| encode(data_type, value.trim()));
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
    }
}

fn encode(data_type: DataType, text: &str) -> Result<Vec<u16>, String> {
    let mut registers = vec![0; data_type.registers()];
    data_type.encode(&parse(data_type, text)?, Order::Abcd, &mut registers).map_err(|error| error.to_string())?;
    Ok(registers)
}

/// A value, or a sentence that names the text and says what is allowed.
pub(crate) fn parse(data_type: DataType, text: &str) -> Result<Value, String> {
    data_type.parse(text).map_err(|error| format!("{text:?} is {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        let table: &[(&str, &str, &[u16])] = &[
            ("hr:0=1,2,3", "hr:0", &[1, 2, 3]),
            ("hr:0=1, 0x2", "hr:0", &[1, 2]),
            ("40001=7", "hr:0", &[7]),
            ("ir:10:f32=21.5,1", "ir:10", &[0x41AC, 0, 0x3F80, 0]),
            ("40011:i16=-1", "hr:10", &[0xFFFF]),
            ("hr:0:str:6=a,=b", "hr:0", &[0x612C, 0x3D62, 0]),
            ("co:5=on,off,1", "co:5", &[1, 0, 1]),
            ("hr:65535=1", "hr:65535", &[1]),
        ];
        for (input, start, values) in table {
            let assignment: Assignment = input.parse().expect(input);
            assert_eq!(assignment.start.to_string(), *start);
            assert_eq!(assignment.values, *values, "{input}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let table = [
            ("hr:0", "an equals sign is missing: write hr:0=1,2,3 or co:0=on,off"),
            ("hr:0=70000", "\"70000\" is out of range: u16 takes 0 to 65535"),
            ("co:0=2", "\"2\" is neither on nor off: write on, true or 1, or off, false or 0"),
            ("co:0:u16=1", "co:0 holds bits: leave the type out"),
            ("hr:0:bit:3=on", "a single bit of a register cannot be set: set the whole register"),
            ("hr:65535=1,2", "2 items from hr:65535 end behind the last address, 65535"),
        ];
        for (input, message) in table {
            assert_eq!(input.parse::<Assignment>().expect_err(input), message);
        }
        let empty = "hr:0=".parse::<Assignment>().expect_err("no value");
        assert!(empty.starts_with("\"\" is no whole number"), "{empty}");
    }
}
