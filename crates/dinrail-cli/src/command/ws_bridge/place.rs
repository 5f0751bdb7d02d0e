//! Values of the device: where they are, and what their registers hold.

use std::str::FromStr;

use dinrail::proto::pdu::Registers;
use dinrail::proto::value::{DataType, Order, Value};
use dinrail::{Area, Client, Error};

use crate::args::Reference;
use crate::output::{JsonValue, json_value};

/// Values that one request reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) unit: u8,
    pub(super) start: Reference,
    /// How many values, not registers.
    pub(super) count: u16,
    /// Of registers; bits have none.
    pub(super) data_type: DataType,
    pub(super) order: Order,
}

impl Place {
    /// The first `count` holding registers of unit 1, each a number.
    pub(super) fn first_registers(count: u16) -> Self {
        let start = Reference { area: Area::HoldingRegister, address: 0 };
        Self { unit: 1, start, count, data_type: DataType::U16, order: Order::default() }
    }

    /// Checks that one request of at most `most` registers or bits carries them, up to the last address.
    pub(super) fn checked(self, most: u16) -> Result<Self, String> {
        let items = usize::from(self.count) * self.width();
        let Reference { area, address } = self.start;
        if self.count == 0 {
            return Err("a count of 0 is nothing: take at least 1".to_owned());
        }
        if self.width() == 0 || items > most.into() {
            let kind = if area.is_bits() { "bits" } else { "registers" };
            return Err(format!("one request carries up to {most} {kind}, and these are {items}: ask in parts"));
        }
        if usize::from(address) + items > 0x1_0000 {
            return Err(format!("{items} items from {} end behind the last address, 65535", self.start));
        }
        Ok(self)
    }

    /// Registers or bits a value.
    pub(super) fn width(&self) -> usize {
        if self.start.area.is_bits() { 1 } else { self.data_type.registers() }
    }

    pub(super) async fn read(&self, client: &Client) -> Result<Vec<JsonValue>, Error> {
        let client = client.unit(self.unit);
        let Reference { area, address } = self.start;
        let items = self.count * self.width() as u16; // checked when it was made
        match area {
            Area::Coil => Ok(bits(client.read_coils(address, items).await?)),
            Area::DiscreteInput => Ok(bits(client.read_discrete_inputs(address, items).await?)),
            Area::HoldingRegister => Ok(self.decode(&client.read_holding_registers(address, items).await?)),
            Area::InputRegister => Ok(self.decode(&client.read_input_registers(address, items).await?)),
        }
    }

    fn decode(&self, registers: &[u16]) -> Vec<JsonValue> {
        let decode = |value| self.data_type.decode(self.order, Registers::from(value));
        // A chunk has as many registers as the type; of those that cannot be decoded there is none.
        registers.chunks_exact(self.width()).flat_map(decode).map(|value| json_value(&value)).collect()
    }
}

fn bits(bits: Vec<bool>) -> Vec<JsonValue> {
    bits.into_iter().map(|bit| json_value(&Value::Bit(bit))).collect()
}

/// `hr:0`, `hr:0:10`, `40001:10`, `ir:0:4:f32`; of unit 1 until somebody says otherwise.
impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_number = text.starts_with(|first: char| first.is_ascii_digit());
        let end = text.match_indices(':').nth(if is_number { 0 } else { 1 }).map_or(text.len(), |(at, _)| at);
        let start: Reference = text[..end].parse()?;
        let rest = text[end..].strip_prefix(':').unwrap_or_default();
        let (count, data_type) = rest.split_once(':').unwrap_or((rest, ""));
        let count = match count {
            "" if rest.is_empty() => 1,
            count => count.parse().map_err(|_| format!("{count:?} is no count: write hr:0:10 for ten values"))?,
        };
        let data_type = match (data_type, start.area.is_bits()) {
            ("", _) => DataType::U16,
            (_, true) => return Err(format!("{start} holds bits: leave the type out")),
            (name, false) => name.parse().map_err(|error| format!("{error}"))?,
        };
        Self { unit: 1, start, count, data_type, order: Order::default() }.checked(start.area.max_read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_watched_can_be_typed() {
        let table = [
            ("hr:0", "hr:0", 1, DataType::U16),
            ("hr:10:125", "hr:10", 125, DataType::U16),
            ("40001:10", "hr:0", 10, DataType::U16),
            ("ir:8:2:f32", "ir:8", 2, DataType::F32),
            ("ir:8:2:str:8", "ir:8", 2, DataType::Text(8)),
            ("co:0:2000", "co:0", 2000, DataType::U16),
        ];
        for (text, start, count, data_type) in table {
            let place: Place = text.parse().expect(text);
            assert_eq!((place.start.to_string().as_str(), place.count, place.data_type), (start, count, data_type));
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let table = [
            ("hr:0:x", "\"x\" is no count: write hr:0:10 for ten values"),
            ("hr:0:0", "a count of 0 is nothing: take at least 1"),
            ("hr:0:126", "one request carries up to 125 registers, and these are 126: ask in parts"),
            ("hr:0:63:f32", "one request carries up to 125 registers, and these are 126: ask in parts"),
            ("hr:65535:2", "2 items from hr:65535 end behind the last address, 65535"),
            ("co:0:1:u16", "co:0 holds bits: leave the type out"),
        ];
        for (text, message) in table {
            assert_eq!(text.parse::<Place>().expect_err(text), message);
        }
    }
}
