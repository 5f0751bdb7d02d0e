//! Values as a reply shows them: `hr:10 = 1 2 3`, so many a line.

use dinrail::proto::pdu::Registers;
use dinrail::proto::value::{Order, Value};

use super::command::Place;

/// How many values stand in a line: with ten, the addresses of the lines are easy on the eye.
const A_LINE: usize = 10;

/// The lines of these registers or bits, which stand from `place` on.
pub(super) fn rows(place: Place, items: &[u16]) -> impl Iterator<Item = String> {
    let width = place.width();
    items.chunks(A_LINE * width).enumerate().map(move |(line, items)| {
        let address = usize::from(place.address) + line * A_LINE * width;
        let mut row = place.name(address) + " =";
        for item in items.chunks(width) {
            row.push(' ');
            row.push_str(&show(place, item));
        }
        row.push('\n');
        row
    })
}

fn show(place: Place, item: &[u16]) -> String {
    if place.area.is_bits() {
        return Value::Bit(item[0] != 0).to_string();
    }
    match place.data_type.decode(Order::Abcd, Registers::from(item)) {
        Ok(Value::Text(text)) => format!("\"{text}\""), // it shows what is no letter, line ends included, as \x0a
        Ok(value) => value.to_string(),
        Err(_) => "?".to_owned(), // a chunk has as many registers as the type
    }
}

#[cfg(test)]
mod tests {
    use dinrail::Area;

    use super::*;

    fn shown(area: Area, address: u16, name: &str, items: &[u16]) -> String {
        rows(Place { area, address, data_type: name.parse().expect(name) }, items).collect()
    }

    #[test]
    fn ten_values_a_line() {
        let values: Vec<u16> = (0..12).collect();
        let expected = "hr:5 = 0 1 2 3 4 5 6 7 8 9\nhr:15 = 10 11\n";
        assert_eq!(shown(Area::HoldingRegister, 5, "u16", &values), expected);
        assert_eq!(shown(Area::Coil, 0, "bit:0", &[1, 0]), "co:0 = on off\n");
        assert_eq!(shown(Area::InputRegister, 7, "f32", &[0x41AC, 0, 0x3F80, 0]), "ir:7 = 21.5 1.0\n");
        assert_eq!(shown(Area::HoldingRegister, 0, "i16", &[0xFFFF]), "hr:0 = -1\n");
        let many = shown(Area::HoldingRegister, 0, "i32", &[0; 22]);
        assert_eq!(many.lines().last(), Some("hr:20 = 0"));
    }

    #[test]
    fn text_cannot_end_a_reply() {
        let shown = shown(Area::HoldingRegister, 0, "str:6", &[0x610A, 0x2E0A, 0x2262]);
        assert_eq!(shown, "hr:0 = \"a\\x0a.\\x0a\"b\"\n");
    }
}
