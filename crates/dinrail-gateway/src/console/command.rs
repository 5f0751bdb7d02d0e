//! What a line asks for. Nothing is done here, and no line makes it panic.

use dinrail::proto::value::{DataType, Order, Value};
use dinrail::{Area, UnitId};

/// What may be asked, for `help`.
pub(super) const HELP: &str = "\
get UNIT AREA ADDR[:TYPE] [COUNT]       read values; COUNT is 1 unless given
set UNIT AREA ADDR[:TYPE] VALUE...      set values from ADDR on, inputs as well
stats                                   what each server has done
servers                                 the names of the servers, * is the chosen one
use NAME                                choose a server; where there is one, it is chosen
help                                    this
quit                                    end the connection
AREA is co (coils), di (discrete inputs), hr (holding registers) or ir (input registers).
ADDR is as on the wire, from 0, in decimal or as 0x1F. TYPE is for registers: u16 unless given, or i16 u32 i32 u64
i64 f32 f64 str:N, high word first; bit:N only for get. VALUE is a number (42, -1, 0x1F), on or off for bits,
and text as it stands up to the end of the line.
Every reply ends with a line that is a single dot. Errors begin with \"error: \".
";

/// A line, understood.
#[derive(Debug, PartialEq)]
pub(super) enum Command<'a> {
    /// An empty line.
    Nothing,
    Help,
    Servers,
    Use(&'a str),
    Stats,
    Get {
        unit: UnitId,
        place: Place,
        /// In registers or bits, at least 1, and up to the last address.
        items: usize,
    },
    Set {
        unit: UnitId,
        place: Place,
        /// Registers, or bits as 0 and 1; at least one, and up to the last address.
        values: Vec<u16>,
    },
    Quit,
}

/// Where values are, and how they are meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) area: Area,
    pub(super) address: u16,
    /// Of registers; bits are what they are.
    pub(super) data_type: DataType,
}

impl Place {
    /// Registers or bits a value.
    pub(super) fn width(&self) -> usize {
        if self.area.is_bits() { 1 } else { self.data_type.registers() }
    }

    /// `hr:10`.
    pub(super) fn name(&self, address: usize) -> String {
        format!("{}:{address}", short_name(self.area))
    }

    fn check_end(&self, items: usize) -> Result<(), String> {
        let address = usize::from(self.address);
        if address + items <= 0x1_0000 {
            return Ok(());
        }
        let what = if self.area.is_bits() { "bits" } else { "registers" };
        let room = (0x1_0000 - address) / self.width();
        let name = self.name(address);
        Err(match room {
            0 => format!("a value of {items} {what} from {name} ends behind the last address, 65535: begin earlier"),
            _ => format!("{items} {what} from {name} end behind the last address, 65535: take {room} values at most"),
        })
    }
}

/// The two letters of an area.
fn short_name(area: Area) -> &'static str {
    match area {
        Area::Coil => "co",
        Area::DiscreteInput => "di",
        Area::HoldingRegister => "hr",
        Area::InputRegister => "ir",
    }
}

const GET: &str = "write get UNIT AREA ADDR [COUNT], such as get 1 hr 0 10";
const SET: &str = "write set UNIT AREA ADDR VALUE..., such as set 1 hr 0 42";

/// Understands a line, or says what to write.
pub(super) fn parse(line: &str) -> Result<Command<'_>, String> {
    let mut rest = line.trim();
    let Some(name) = word(&mut rest) else { return Ok(Command::Nothing) };
    let command = match name.to_ascii_lowercase().as_str() {
        "get" => return get(rest),
        "set" => return set(rest),
        "use" if rest.is_empty() => return Err("which server? write use NAME; servers shows the names".to_owned()),
        "use" => return Ok(Command::Use(rest)),
        "help" => return Ok(Command::Help), // of anything: there is one page
        "stats" => Command::Stats,
        "servers" => Command::Servers,
        "quit" | "exit" => Command::Quit,
        _ => {
            let name: String = name.chars().take(40).collect();
            return Err(format!("there is no command {name:?}: take get, set, stats, servers, use, help or quit"));
        }
    };
    nothing_more(rest, &format!("write {name} alone"))?;
    Ok(command)
}

fn get(mut rest: &str) -> Result<Command<'_>, String> {
    let (unit, place) = target(&mut rest, GET)?;
    let count = match word(&mut rest) {
        None => 1,
        Some(text) => match number(text).filter(|count| (1..=0x1_0000).contains(count)) {
            Some(count) => count as usize,
            None => return Err(format!("{} is no count: take 1 to 65536", quoted(text))),
        },
    };
    nothing_more(rest, GET)?;
    let items = count * place.width();
    place.check_end(items)?;
    Ok(Command::Get { unit, place, items })
}

fn set(mut rest: &str) -> Result<Command<'_>, String> {
    let (unit, place) = target(&mut rest, SET)?;
    let mut values = Vec::new();
    match place.data_type {
        DataType::Bit(_) if !place.area.is_bits() => {
            return Err("a single bit of a register cannot be set: set the whole register".to_owned());
        }
        _ if rest.is_empty() => return Err(format!("there is no value: {SET}")),
        DataType::Text(_) if !place.area.is_bits() => values = encode(place, rest)?,
        _ => {
            while let Some(text) = word(&mut rest) {
                values.extend(encode(place, text)?);
            }
        }
    }
    place.check_end(values.len())?;
    Ok(Command::Set { unit, place, values })
}

/// `UNIT AREA ADDR[:TYPE]`.
fn target(rest: &mut &str, usage: &str) -> Result<(UnitId, Place), String> {
    let mut next = |what: &str| word(rest).ok_or_else(|| format!("{what} is missing: {usage}"));
    let unit = next("UNIT")?;
    let unit = number(unit)
        .and_then(|unit| u8::try_from(unit).ok())
        .ok_or_else(|| format!("{} is no unit: take 0 to 255; {usage}", quoted(unit)))?;
    let area = next("AREA")?;
    let area = Area::ALL
        .into_iter()
        .find(|known| short_name(*known).eq_ignore_ascii_case(area))
        .ok_or_else(|| format!("{} is no area: take co, di, hr or ir; {usage}", quoted(area)))?;
    let place = next("ADDR")?;
    let (address, name) = place.split_once(':').map_or((place, None), |(address, name)| (address, Some(name)));
    let address = number(address)
        .and_then(|address| u16::try_from(address).ok())
        .ok_or_else(|| format!("{} is no address: take 0 to 65535; {usage}", quoted(address)))?;
    let data_type = match (area.is_bits(), name) {
        (true, Some(_)) => return Err(format!("{}:{address} is a bit: leave the type out", short_name(area))),
        (true, None) => DataType::Bit(0),
        (false, None) => DataType::U16,
        (false, Some(name)) => name.parse().map_err(|error| format!("{} is {error}", quoted(name)))?,
    };
    Ok((UnitId(unit), Place { area, address, data_type }))
}

/// The registers, or the bit, that a text means.
fn encode(place: Place, text: &str) -> Result<Vec<u16>, String> {
    let data_type = place.data_type;
    let value = match data_type.parse(text) {
        // A register is what the plant takes it for.
        Err(_) if data_type == DataType::U16 => match DataType::I16.parse(text) {
            Ok(Value::I16(value)) => Ok(Value::U16(value as u16)), // the same bits
            _ => data_type.parse(text),
        },
        parsed => parsed,
    };
    let value = value.map_err(|error| match data_type {
        DataType::U16 => format!("{} is no value of a register: take -32768 to 65535, or 0x0 to 0xFFFF", quoted(text)),
        _ => format!("{} is {error}", quoted(text)),
    })?;
    if let Value::Bit(bit) = value {
        return Ok(vec![bit.into()]);
    }
    let mut registers = vec![0; data_type.registers()];
    data_type.encode(&value, Order::Abcd, &mut registers).map_err(|error| format!("{} is {error}", quoted(text)))?;
    Ok(registers)
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok(),
        _ if text.bytes().all(|digit| digit.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// The next word, which is taken away from the front; `rest` never begins with a space.
fn word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = *rest;
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    *rest = text[end..].trim_start();
    (end > 0).then(|| &text[..end])
}

fn nothing_more(mut rest: &str, usage: &str) -> Result<(), String> {
    match word(&mut rest) {
        Some(extra) => Err(format!("{} is too much: {usage}", quoted(extra))),
        None => Ok(()),
    }
}

/// Shown as it was typed, as far as that is of use.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("{:?}", short + more)
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
