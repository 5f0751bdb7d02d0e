//! Values that were read, as a table, as lines or as JSON.

use std::fmt::Write as _;
use std::time::SystemTime;

use dinrail::proto::value::Value;
use serde::Serialize;

use super::Format;
use crate::args::{Notation, Reference};

/// What one reading of a device gave.
#[derive(Clone, Debug)]
pub(crate) struct Readings {
    pub(crate) time: SystemTime,
    pub(crate) unit: u8,
    /// `None` for bits.
    pub(crate) notation: Option<Notation>,
    pub(crate) rows: Vec<Row>,
}

/// One value and where it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) reference: Reference,
    pub(crate) value: Value,
}

impl Readings {
    /// The text to print, with a line end behind each line. Tables of a series begin with the time.
    pub(crate) fn render(&self, format: Format, is_series: bool) -> String {
        match format {
            Format::Table => self.render_table(is_series),
            Format::Lines => self.rows.iter().fold(String::new(), |text, row| text + &self.show(row) + "\n"),
            Format::Json => self.rows.iter().fold(String::new(), |text, row| text + &self.json(row) + "\n"),
        }
    }

    fn render_table(&self, is_series: bool) -> String {
        let references: Vec<String> = self.rows.iter().map(|row| row.reference.to_string()).collect();
        let width = references.iter().map(String::len).max().unwrap_or_default().max("ADDRESS".len());
        let mut text = if is_series { format!("{}\n", timestamp(self.time)) } else { String::new() };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  VALUE", "ADDRESS");
        for (reference, row) in references.iter().zip(&self.rows) {
            let _ = writeln!(text, "{reference:width$}  {}", self.show(row));
        }
        text
    }

    fn show(&self, row: &Row) -> String {
        self.notation.map_or_else(|| row.value.to_string(), |notation| notation.show(&row.value))
    }

    fn json(&self, row: &Row) -> String {
        let line = Line {
            time: timestamp(self.time),
            unit: self.unit,
            address: row.reference.to_string(),
            r#type: self.notation.map_or_else(|| "bit".to_owned(), |notation| notation.to_string()),
            value: match self.notation {
                Some(Notation::Hex | Notation::Binary) => JsonValue::Text(self.show(row)),
                _ => json_value(&row.value),
            },
        };
        json_line(&line)
    }
}

/// The JSON line for a reading that failed, among others that did not.
pub(crate) fn failed_reading(unit: u8, start: Reference, error: &str) -> String {
    json_line(&FailedLine { time: timestamp(SystemTime::now()), unit, address: start.to_string(), error }) + "\n"
}

#[derive(Serialize)]
struct Line {
    time: String,
    unit: u8,
    address: String,
    r#type: String,
    value: JsonValue,
}

#[derive(Serialize)]
struct FailedLine<'a> {
    time: String,
    unit: u8,
    address: String,
    error: &'a str,
}

/// Floats keep their own precision: an `f32` of 21.1 is `21.1` and not `21.100000381469727`.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum JsonValue {
    Unsigned(u64),
    Signed(i64),
    Single(f32),
    Double(f64),
    Bit(bool),
    Text(String),
}

pub(crate) fn json_value(value: &Value) -> JsonValue {
    match *value {
        Value::U16(number) => JsonValue::Unsigned(number.into()),
        Value::U32(number) => JsonValue::Unsigned(number.into()),
        Value::U64(number) => JsonValue::Unsigned(number),
        Value::I16(number) => JsonValue::Signed(number.into()),
        Value::I32(number) => JsonValue::Signed(number.into()),
        Value::I64(number) => JsonValue::Signed(number),
        Value::F32(number) if number.is_finite() => JsonValue::Single(number),
        Value::F64(number) if number.is_finite() => JsonValue::Double(number),
        Value::Bit(bit) => JsonValue::Bit(bit),
        Value::Text(text) => JsonValue::Text(text.as_str().map_or_else(|| text.to_string(), str::to_owned)),
        other => JsonValue::Text(other.to_string()), // JSON has no number for NaN and the infinities
    }
}

pub(super) fn json_line(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

pub(crate) fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dinrail::proto::value::{DataType, Text};

    use super::*;

    fn readings(notation: Option<Notation>, values: &[(&str, Value)]) -> Readings {
        let row =
            |(reference, value): &(&str, Value)| Row { reference: reference.parse().expect("a place"), value: *value };
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        Readings { time, unit: 7, notation, rows: values.iter().map(row).collect() }
    }

    #[test]
    fn a_table_is_aligned_and_a_series_has_its_times() {
        let readings = readings(Some(Notation::Hex), &[("hr:9", Value::U16(1)), ("hr:65535", Value::U16(2))]);
        let table = "ADDRESS   VALUE\nhr:9      0x0001\nhr:65535  0x0002\n";
        assert_eq!(readings.render(Format::Table, false), table);
        assert_eq!(readings.render(Format::Table, true), format!("2023-11-14T22:13:20.123Z\n{table}"));
        assert_eq!(readings.render(Format::Lines, true), "0x0001\n0x0002\n");
    }

    #[test]
    fn json_is_one_object_a_value() {
        let f32 = Some(Notation::Typed(DataType::F32));
        let line = readings(f32, &[("hr:0", Value::F32(21.1))]).render(Format::Json, false);
        let expected = r#"{"time":"2023-11-14T22:13:20.123Z","unit":7,"address":"hr:0","type":"f32","value":21.1}"#
            .to_owned()
            + "\n";
        assert_eq!(line, expected);

        let text = Value::Text(Text::new("a\"\n").expect("short"));
        let table = [
            (Value::F64(f64::NAN), r#""NaN""#),
            (Value::F32(f32::NEG_INFINITY), r#""-inf""#),
            (Value::U64(u64::MAX), "18446744073709551615"),
            (Value::I16(-1), "-1"),
            (Value::Bit(true), "true"),
            (text, r#""a\"\n""#),
        ];
        for (value, shown) in table {
            let line = readings(None, &[("hr:0", value)]).render(Format::Json, false);
            assert!(line.ends_with(&format!("\"value\":{shown}}}\n")), "{line}");
        }
    }

    #[test]
    fn a_failed_reading_is_an_object_too() {
        let line = failed_reading(1, "hr:5".parse().expect("a place"), "no answer");
        assert!(line.ends_with("\"unit\":1,\"address\":\"hr:5\",\"error\":\"no answer\"}\n"), "{line}");
    }
}
