//! Which requests read a range, and which values are in what they bring.

use dinrail::proto::Area;
use dinrail::proto::value::DataType;

use crate::args::{Notation, Reference};

/// The requests for a number of values from one address on. A value is never split between two requests: its registers
/// are read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    start: Reference,
    /// `None` for bits.
    pub(super) notation: Option<Notation>,
    /// Bits or registers, at least 1 and up to address 65535.
    items: u32,
}

impl Plan {
    /// Checks that `count` values fit between `start` and the end of the area.
    pub(super) fn new(start: Reference, notation: Option<Notation>, count: u32) -> Result<Self, String> {
        let notation = notation_for(start, notation)?;
        let items = u64::from(count) * width(notation) as u64;
        match u32::try_from(items) {
            _ if count == 0 => Err("a count of 0 reads nothing: ask for at least one value".to_owned()),
            Ok(items) if u32::from(start.address) + items <= 0x1_0000 => Ok(Self { start, notation, items }),
            _ => Err(format!("{items} items from {start} end behind the last address, 65535: ask for fewer")),
        }
    }

    /// The requests in order: first address and number of items.
    pub(super) fn requests(&self) -> impl Iterator<Item = (u16, u16)> + use<> {
        let width = width(self.notation);
        let most = usize::from(self.start.area.max_read()) / width * width;
        let (first, items) = (usize::from(self.start.address), self.items as usize);
        // Both are below 65536: the first by the check in `new`, the second by the limit of a request.
        (0..items).step_by(most).map(move |done| ((first + done) as u16, (items - done).min(most) as u16))
    }

    /// What the registers hold.
    pub(super) fn data_type(&self) -> DataType {
        self.notation.map_or(DataType::Bit(0), Notation::data_type)
    }

    /// Where the value at `index` begins.
    pub(super) fn reference(&self, index: usize) -> Reference {
        let address = usize::from(self.start.address) + index * width(self.notation);
        Reference { address: address as u16, ..self.start } // inside the range that `new` checked
    }
}

fn width(notation: Option<Notation>) -> usize {
    notation.map_or(1, |notation| notation.data_type().registers())
}

/// Registers are u16 if nothing else is said; bits have no type.
fn notation_for(start: Reference, asked: Option<Notation>) -> Result<Option<Notation>, String> {
    match (start.area, asked) {
        (Area::Coil | Area::DiscreteInput, None) => Ok(None),
        (Area::Coil | Area::DiscreteInput, Some(_)) => {
            Err(format!("{start} holds bits: leave --type out, it is for ir: and hr:"))
        }
        (_, asked) => Ok(Some(asked.unwrap_or(Notation::Typed(DataType::U16)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(start: &str, notation: &str, count: u32) -> Result<Plan, String> {
        let notation = (!notation.is_empty()).then(|| notation.parse().expect("a notation"));
        Plan::new(start.parse().expect("a place"), notation, count)
    }

    fn requests(start: &str, notation: &str, count: u32) -> Vec<(u16, u16)> {
        plan(start, notation, count).expect("in range").requests().collect()
    }

    #[test]
    fn what_one_request_may_carry_is_one_request() {
        assert_eq!(requests("hr:0", "", 125), [(0, 125)]);
        assert_eq!(requests("co:5", "", 2000), [(5, 2000)]);
        assert_eq!(requests("hr:0", "str:250", 1), [(0, 125)]);
    }

    #[test]
    fn more_is_split_but_no_value_is() {
        assert_eq!(requests("hr:0", "", 126), [(0, 125), (125, 1)]);
        assert_eq!(requests("hr:1", "f32", 63), [(1, 124), (125, 2)]);
        assert_eq!(requests("ir:0", "u64", 32), [(0, 124), (124, 4)]);
        assert_eq!(requests("di:0", "", 4001), [(0, 2000), (2000, 2000), (4000, 1)]);
        let all = requests("hr:0", "", 65536);
        assert_eq!((all.len(), all[524]), (525, (65500, 36)));
    }

    #[test]
    fn values_have_places() {
        let plan = plan("hr:10", "f32", 3).expect("in range");
        let places: Vec<String> = (0..3).map(|index| plan.reference(index).to_string()).collect();
        assert_eq!(places, ["hr:10", "hr:12", "hr:14"]);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let table = [
            ("hr:65535", "f32", 1, "2 items from hr:65535 end behind the last address, 65535: ask for fewer"),
            ("hr:0", "", 65537, "65537 items from hr:0 end behind the last address, 65535: ask for fewer"),
            ("hr:0", "u64", u32::MAX, "17179869180 items from hr:0 end behind the last address, 65535: ask for fewer"),
            ("hr:0", "", 0, "a count of 0 reads nothing: ask for at least one value"),
            ("co:0", "u16", 1, "co:0 holds bits: leave --type out, it is for ir: and hr:"),
        ];
        for (start, notation, count, message) in table {
            assert_eq!(plan(start, notation, count).expect_err(start), message);
        }
        assert!(plan("hr:65535", "u16", 1).is_ok());
    }
}
