//! Where in a device: `hr:0` with an address as on the wire, or the 5- and 6-digit numbers of PLC documentation.

use std::fmt;
use std::str::FromStr;

use dinrail::proto::Area;

/// An area and a 0-based address in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) area: Area,
    pub(crate) address: u16,
}

/// What may be typed, for error messages.
const HOW: &str = "write co:, di:, ir: or hr: and an address from 0 to 65535 (hr:0), or a 5- or 6-digit number (40001)";

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((area, address)) => Ok(Self { area: parse_area(area)?, address: parse_address(address)? }),
            None => parse_number(text),
        }
    }
}

/// The area of `co`, `di`, `ir` or `hr`.
pub(crate) fn parse_area(text: &str) -> Result<Area, String> {
    let found = Area::ALL.into_iter().find(|area| short_name(*area).eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("there is no area {text:?}: {HOW}"))
}

/// The two letters of an area.
pub(crate) const fn short_name(area: Area) -> &'static str {
    match area {
        Area::Coil => "co",
        Area::DiscreteInput => "di",
        Area::InputRegister => "ir",
        Area::HoldingRegister => "hr",
    }
}

fn parse_address(text: &str) -> Result<u16, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is no address: take 0 to 65535, or 0x0 to 0xFFFF"))
}

/// `40001` and `400001`: the first digit is the area, the others count from 1.
fn parse_number(text: &str) -> Result<Reference, String> {
    let is_number = matches!(text.len(), 5 | 6) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (area, number) = match text.split_at_checked(1) {
        Some((area, number)) if is_number => (area, number),
        _ => return Err(format!("{text:?} does not say which area is meant: {HOW}")),
    };
    let area = match area {
        "0" => Area::Coil,
        "1" => Area::DiscreteInput,
        "3" => Area::InputRegister,
        "4" => Area::HoldingRegister,
        _ => return Err(format!("{text:?} names no area: such numbers begin with 0, 1, 3 or 4, or write hr:0")),
    };
    let number: u32 = number.parse().map_err(|_| format!("{text:?} is no number"))?;
    let address = number.checked_sub(1).and_then(|address| u16::try_from(address).ok());
    let address = address.ok_or_else(|| {
        let first = &text[..1];
        format!(
            "{text:?} is no address: such numbers go from {first}0001 to {first}9999 or {first}00001 to {first}65536"
        )
    })?;
    Ok(Reference { area, address })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", short_name(self.area), self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        let table = [
            ("hr:0", "hr:0"),
            ("HR:65535", "hr:65535"),
            ("co:0x10", "co:16"),
            ("di:7", "di:7"),
            ("ir:007", "ir:7"),
            ("40001", "hr:0"),
            ("400001", "hr:0"),
            ("49999", "hr:9998"),
            ("465536", "hr:65535"),
            ("30001", "ir:0"),
            ("10001", "di:0"),
            ("00001", "co:0"),
            ("000100", "co:99"),
        ];
        for (input, meant) in table {
            let reference: Reference = input.parse().expect(input);
            assert_eq!(reference.to_string(), meant);
            assert_eq!(meant.parse(), Ok(reference));
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let how = "write co:, di:, ir: or hr: and an address from 0 to 65535 (hr:0), or a 5- or 6-digit number (40001)";
        let table = [
            ("xx:0", format!("there is no area \"xx\": {how}")),
            ("0", format!("\"0\" does not say which area is meant: {how}")),
            ("4001", format!("\"4001\" does not say which area is meant: {how}")),
            ("4000001", format!("\"4000001\" does not say which area is meant: {how}")),
            ("hr:65536", "\"65536\" is no address: take 0 to 65535, or 0x0 to 0xFFFF".to_owned()),
            ("hr:", "\"\" is no address: take 0 to 65535, or 0x0 to 0xFFFF".to_owned()),
            ("20001", "\"20001\" names no area: such numbers begin with 0, 1, 3 or 4, or write hr:0".to_owned()),
            ("40000", "\"40000\" is no address: such numbers go from 40001 to 49999 or 400001 to 465536".to_owned()),
            ("465537", "\"465537\" is no address: such numbers go from 40001 to 49999 or 400001 to 465536".to_owned()),
        ];
        for (input, message) in table {
            assert_eq!(input.parse::<Reference>().expect_err(input), message);
        }
    }
}
