//! What a write sends: one request, made and checked before anybody is connected to.

use dinrail::Client;
use dinrail::proto::pdu::Registers;
use dinrail::proto::value::{DataType, Order, Value};
use dinrail::proto::{Area, Request};

use crate::args::{Notation, Reference, parse};
use crate::failure::Failure;

/// Values in their places.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    start: Reference,
    notation: Notation,
    order: Order,
    values: Vec<Value>,
    content: Content,
}

/// The same as it goes over the line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Coils(Vec<bool>),
    Registers(Vec<u16>),
    /// One bit of a register.
    Mask {
        and: u16,
        or: u16,
    },
}

impl Plan {
    pub(super) fn new(
        start: Reference,
        notation: Option<Notation>,
        order: Order,
        texts: &[String],
    ) -> Result<Self, String> {
        let notation = match (start.area, notation) {
            (Area::Coil, None) => Notation::Typed(DataType::Bit(0)),
            (Area::Coil, Some(_)) => return Err(format!("{start} is a bit: leave --type out, it is for hr:")),
            (Area::HoldingRegister, notation) => notation.unwrap_or(Notation::Typed(DataType::U16)),
            (area @ (Area::DiscreteInput | Area::InputRegister), _) => {
                return Err(format!("{start}: {area}s cannot be written, only co: and hr: can"));
            }
        };
        let values = texts.iter().map(|text| parse(notation.data_type(), text));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let content = match (start.area, notation.data_type()) {
            (Area::Coil, _) => Content::Coils(values.iter().map(|value| *value == Value::Bit(true)).collect()),
            (_, bit @ DataType::Bit(_)) => mask(bit, order, &values)?,
            (_, data_type) => Content::Registers(registers(data_type, order, &values)?),
        };
        Ok(Self { start, notation, order, values, content })
    }

    /// The request: that for a single item where there is one, unless `multiple` is wanted.
    pub(super) fn request(&self, multiple: bool) -> Request<'_> {
        let address = self.start.address;
        match &self.content {
            Content::Coils(values) => match values[..] {
                [value] if !multiple => Request::WriteSingleCoil { address, value },
                _ => Request::WriteMultipleCoils { address, values: values[..].into() },
            },
            Content::Registers(values) => match values[..] {
                [value] if !multiple => Request::WriteSingleRegister { address, value },
                _ => Request::WriteMultipleRegisters { address, values: values[..].into() },
            },
            Content::Mask { and, or } => Request::MaskWriteRegister { address, and_mask: *and, or_mask: *or },
        }
    }

    /// Each value's place and text.
    pub(super) fn rows(&self) -> impl Iterator<Item = (String, String)> {
        let rows = self.values.iter().enumerate();
        rows.map(|(index, value)| (self.place(index), self.notation.show(value)))
    }

    /// Where the value at `index` begins; of a register's bit, which bit.
    fn place(&self, index: usize) -> String {
        match self.content {
            Content::Mask { .. } => format!("{} {}", self.reference(index), self.notation),
            Content::Coils(_) | Content::Registers(_) => self.reference(index).to_string(),
        }
    }

    /// Reads all values back and compares them, bit by bit: a NaN is the NaN that was written.
    pub(super) async fn verify(&self, client: &Client) -> Result<(), Failure> {
        let address = self.start.address;
        let failed = |error| Failure::of_read(format!("written, but not verified: {}", self.start), &error);
        // The request that wrote them was one, so there are no more of them than fit a `u16`, and fit one reading.
        let wrong = match &self.content {
            Content::Coils(wanted) => {
                let there = client.read_coils(address, wanted.len() as u16).await.map_err(failed)?;
                let there: Vec<u16> = there.into_iter().map(u16::from).collect();
                let wanted: Vec<u16> = wanted.iter().copied().map(u16::from).collect();
                self.difference(&there, &wanted, 1)
            }
            Content::Registers(wanted) => {
                let there = client.read_holding_registers(address, wanted.len() as u16).await.map_err(failed)?;
                self.difference(&there, wanted, self.notation.data_type().registers())
            }
            Content::Mask { and, or } => {
                let there = client.read_holding_registers(address, 1).await.map_err(failed)?;
                let wanted: Vec<u16> = there.iter().map(|register| register & and | or & !and).collect();
                self.difference(&there, &wanted, 1)
            }
        };
        wrong.map_or(Ok(()), |sentence| Err(Failure::Refused(sentence)))
    }

    /// The first value, of so many items each, that is not what was wanted.
    fn difference(&self, there: &[u16], wanted: &[u16], width: usize) -> Option<String> {
        let index = there.chunks(width).zip(wanted.chunks(width)).position(|(there, wanted)| there != wanted)?;
        let value = match self.content {
            Content::Coils(_) => Value::Bit(there[index] != 0),
            _ => {
                let registers = Registers::from(&there[index * width..]);
                let data_type = self.notation.data_type();
                data_type.decode(self.order, registers).expect("as many registers as were written")
            }
        };
        let (held, written) = (self.notation.show(&value), self.notation.show(&self.values[index]));
        Some(format!("{} holds {held}, and {written} was written", self.place(index)))
    }

    fn reference(&self, index: usize) -> Reference {
        let width = if self.start.area.is_bits() { 1 } else { self.notation.data_type().registers() };
        // The request has been checked to end at address 65535 or before.
        Reference { address: self.start.address + (index * width) as u16, ..self.start }
    }
}

fn registers(data_type: DataType, order: Order, values: &[Value]) -> Result<Vec<u16>, String> {
    let width = data_type.registers();
    let mut registers = vec![0; values.len() * width];
    for (value, room) in values.iter().zip(registers.chunks_exact_mut(width)) {
        data_type.encode(value, order, room).map_err(|error| error.to_string())?;
    }
    Ok(registers)
}

/// The masks that change one bit and leave the others alone.
fn mask(bit: DataType, order: Order, values: &[Value]) -> Result<Content, String> {
    let [value] = values else {
        return Err(format!("{bit} is one bit of one register: give one value"));
    };
    let mut only = [0];
    bit.encode(&Value::Bit(true), order, &mut only).map_err(|error| error.to_string())?;
    Ok(Content::Mask { and: !only[0], or: if *value == Value::Bit(true) { only[0] } else { 0 } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(start: &str, notation: &str, order: Order, values: &[&str]) -> Result<Plan, String> {
        let notation = (!notation.is_empty()).then(|| notation.parse().expect("a notation"));
        let values: Vec<String> = values.iter().map(|value| value.to_string()).collect();
        Plan::new(start.parse().expect("a place"), notation, order, &values)
    }

    #[test]
    fn several_values_stand_one_behind_the_other() {
        let plan = plan("hr:10", "f32", Order::Cdab, &["21.5", "1"]).expect("values");
        let values = Registers::from(&[0, 0x41AC, 0, 0x3F80][..]);
        assert_eq!(plan.request(false), Request::WriteMultipleRegisters { address: 10, values });
        let rows: Vec<String> = plan.rows().map(|(reference, value)| format!("{reference} {value}")).collect();
        assert_eq!(rows, ["hr:10 21.5", "hr:12 1.0"]);
    }

    #[test]
    fn a_bit_is_a_mask() {
        let on = plan("hr:1", "bit:4", Order::Abcd, &["on"]).expect("a bit");
        assert_eq!(on.request(false), Request::MaskWriteRegister { address: 1, and_mask: 0xFFEF, or_mask: 0x0010 });
        let off = plan("hr:1", "bit:4", Order::Badc, &["off"]).expect("a bit");
        assert_eq!(off.request(true), Request::MaskWriteRegister { address: 1, and_mask: 0xEFFF, or_mask: 0 });
        let two = plan("hr:1", "bit:4", Order::Abcd, &["on", "off"]);
        assert_eq!(two, Err("bit:4 is one bit of one register: give one value".to_owned()));
    }

    #[test]
    fn the_first_difference_is_told() {
        let plan = plan("hr:10", "i32", Order::Dcba, &["1", "-1"]).expect("values");
        let Content::Registers(written) = plan.content.clone() else { panic!("registers") };
        assert_eq!(plan.difference(&written, &written, 2), None);
        let there = [written[0], written[1], 0x0200, 0];
        let told = plan.difference(&there, &written, 2);
        assert_eq!(told.as_deref(), Some("hr:12 holds 2, and -1 was written"));
    }
}
