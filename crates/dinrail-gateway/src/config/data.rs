//! Stores: which addresses there are, and what stands there at first.

use std::ops::RangeInclusive;

use dinrail::Area;
use dinrail::proto::value::{DataType, Order, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use super::kinds;
use super::problem::{Problem, Problems, Span};
use super::read::{At, Entry, Named, Read, unexpected};
use super::section;

section! {
    /// Four areas of data. Keys of the areas are addresses, 0-based: `0 = [1, 2, 3]` sets 0, 1 and 2, `"10-19" = 7` sets
    /// ten, and `"20:f32" = 21.5` encodes a value of a type in registers.
    Store {
        /// Coils.
        co: Named<Initial>,
        /// Discrete inputs.
        di: Named<Initial>,
        /// Holding registers.
        hr: Named<Initial>,
        /// Input registers.
        ir: Named<Initial>,
        /// How many addresses each area has, from 0 on: one number for all, or { hr = 100, co = 16 }; 65536 unless set.
        /// What is not listed is 0.
        size: Size,
        /// Only the addresses that are listed exist; every other one is exception 0x02.
        partial: bool,
    }
}

section! {
    /// How many addresses areas have.
    Sizes {
        /// Coils.
        co: u32,
        /// Discrete inputs.
        di: u32,
        /// Holding registers.
        hr: u32,
        /// Input registers.
        ir: u32,
    }
}

/// How many addresses areas have: all the same, or each its own.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Size {
    /// All areas.
    All(u32),
    /// Each area.
    Each(Sizes),
}

impl Read for Size {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::Integer(_) => u32::read(value, problems).map(Self::All),
            DeValue::Table(_) => Sizes::read(value, problems).map(Self::Each),
            _ => unexpected(value, "a number, or numbers by area as { hr = 100 }", problems),
        }
    }
}

/// As many as there can be.
const WHOLE: usize = 0x1_0000;

/// Values as they are written, each as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Initial(Vec<At<String>>);

impl JsonSchema for Initial {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Initial".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "number", "boolean", "string", "array"],
            "items": { "type": ["integer", "number", "boolean", "string"] },
        })
    }
}

impl Read for Initial {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let DeValue::Array(list) = value.get_ref() else {
            return text_of(value, problems).map(|one| Self(vec![one]));
        };
        if list.is_empty() {
            problems.add(
                Problem::new("there is no value", &value.span(), "empty").with_mend("write one, or leave the key out"),
            );
            return None;
        }
        let values: Vec<_> = list.iter().filter_map(|item| text_of(item, problems)).collect();
        (values.len() == list.len()).then_some(Self(values))
    }
}

fn text_of(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<At<String>> {
    let text = match value.get_ref() {
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => return unexpected(value, "a value, or a list of values", problems),
    };
    Some(At { value: text, span: value.span() })
}

/// Values from an address on, bits as 0 and 1.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    pub(crate) area: Area,
    pub(crate) first: u16,
    pub(crate) values: Vec<u16>,
    span: Span,
}

impl Cells {
    fn end(&self) -> usize {
        usize::from(self.first) + self.values.len()
    }
}

impl Store {
    /// How many coils, discrete inputs, holding registers and input registers there are.
    pub(crate) fn sizes(&self) -> [usize; 4] {
        let within = |size: u32| (size as usize).min(WHOLE);
        match self.size.as_deref() {
            None => [WHOLE; 4],
            Some(Size::All(size)) => [within(*size); 4],
            Some(Size::Each(sizes)) => [&sizes.co, &sizes.di, &sizes.hr, &sizes.ir]
                .map(|size| size.as_ref().map_or(WHOLE, |size| within(size.value))),
        }
    }

    fn check_sizes(&self, problems: &mut Problems) {
        let given: Vec<(u32, &Span, u32)> = match &self.size {
            None => Vec::new(),
            Some(At { value: Size::All(size), span }) => vec![(*size, span, 1)],
            // A device may lack an area altogether.
            Some(At { value: Size::Each(sizes), .. }) => {
                let each = [&sizes.co, &sizes.di, &sizes.hr, &sizes.ir].into_iter().flatten();
                each.map(|size| (size.value, &size.span, 0)).collect()
            }
        };
        for (size, span, least) in given {
            if !(least..=0x1_0000).contains(&size) {
                let bounds = format!("{least} to 65536");
                let problem = Problem::new(format!("an area cannot have {size} addresses"), span, bounds);
                problems.add(problem.with_mend(format!("take a number from {least} to 65536")));
            }
        }
    }

    /// What stands where at first. Everything that cannot be is said.
    pub(crate) fn cells(&self, problems: &mut Problems) -> Vec<Cells> {
        self.check_sizes(problems);
        if let (Some(size), Some(partial)) = (&self.size, &self.partial)
            && partial.value
        {
            let problem = Problem::new("a partial store has no size", &size.span, "this says that addresses exist")
                .with_other(&partial.span, "this says that only listed ones do");
            problems.add(problem.with_mend("leave one of the two out"));
        }
        let mut all = Vec::new();
        let areas = [
            (Area::Coil, &self.co),
            (Area::DiscreteInput, &self.di),
            (Area::HoldingRegister, &self.hr),
            (Area::InputRegister, &self.ir),
        ];
        for ((area, entries), size) in areas.into_iter().zip(self.sizes()) {
            let Some(entries) = entries else { continue };
            let mut cells: Vec<_> =
                entries.0.iter().filter_map(|(key, entry)| cells(area, key, entry, problems)).collect();
            cells.sort_by_key(|cells| cells.first);
            check_overlaps(&cells, problems);
            for beyond in cells.iter().filter(|cells| cells.end() > size) {
                let title = match size {
                    0 => format!("there are no addresses for {}", entries_of(beyond)),
                    size => format!("{} end behind the last address, {}", entries_of(beyond), size - 1),
                };
                let mend = if size < WHOLE { "raise `size`, or write fewer" } else { "write fewer, or begin earlier" };
                problems.add(Problem::new(title, &beyond.span, "ends too late").with_mend(mend));
            }
            all.extend(cells);
        }
        all
    }
}

fn entries_of(cells: &Cells) -> String {
    match cells.values.len() {
        1 => format!("one value at {}", cells.first),
        count => format!("{count} values from {}", cells.first),
    }
}

fn check_overlaps(sorted: &[Cells], problems: &mut Problems) {
    let mut furthest: Option<&Cells> = None;
    for cells in sorted {
        if let Some(before) = furthest
            && before.end() > usize::from(cells.first)
        {
            let last = before.end().min(cells.end()) - 1;
            let what = if last == usize::from(cells.first) {
                format!("address {last} is set twice")
            } else {
                format!("addresses {} to {last} are set twice", cells.first)
            };
            // Whichever stands later in the file is at fault.
            let (first, second) = if before.span.start < cells.span.start { (before, cells) } else { (cells, before) };
            let reach = |cells: &Cells| format!("from {} to {}", cells.first, cells.end() - 1);
            problems.add(
                Problem::new(what, &second.span, reach(second))
                    .with_other(&first.span, reach(first))
                    .with_mend("let each address be set by one of the two"),
            );
        }
        if furthest.is_none_or(|before| before.end() < cells.end()) {
            furthest = Some(cells);
        }
    }
}

/// One entry of an area; `None` when it cannot be, and that has been said.
fn cells(area: Area, key: &str, entry: &Entry<Initial>, problems: &mut Problems) -> Option<Cells> {
    let (place, name) = key.split_once(':').map_or((key, None), |(place, name)| (place, Some(name)));
    let range = match kinds::range(place) {
        Ok(range) => range,
        Err(_) => {
            let problem = Problem::new(format!("{place:?} is no address"), &entry.key, "no address");
            problems.add(
                problem
                    .with_mend("write an address from 0 to 65535, two as \"0-99\", or one with a type as \"10:f32\""),
            );
            return None;
        }
    };
    let data_type = match data_type(area, name) {
        Ok(data_type) => data_type,
        Err(sentence) => {
            problems.add(Problem::new(sentence, &entry.key, "not a type here"));
            return None;
        }
    };
    let mut values = Vec::new();
    for text in &entry.value.0 {
        match encode(data_type, &text.value) {
            Ok(registers) => values.extend(registers),
            Err(sentence) => {
                let mut problem = Problem::new(sentence, &text.span, "does not fit");
                if name.is_none() && !area.is_bits() && text.value.parse::<f64>().is_ok() {
                    let wanted = if text.value.parse::<i16>().is_ok() {
                        "i16"
                    } else if text.value.parse::<i32>().is_ok() {
                        "i32"
                    } else if text.value.parse::<i64>().is_ok() {
                        "i64"
                    } else {
                        "f32"
                    };
                    problem = problem.with_mend(format!("write its type with the address: \"{place}:{wanted}\""));
                }
                problems.add(problem);
                return None;
            }
        }
    }
    let values = if place.contains('-') { fill(&range, values, entry, problems)? } else { values };
    Some(Cells { area, first: *range.start(), values, span: entry.key.start..entry.value.span.end })
}

fn data_type(area: Area, name: Option<&str>) -> Result<DataType, String> {
    match (area.is_bits(), name) {
        (true, None) => Ok(DataType::Bit(0)),
        (true, Some(_)) => Err("coils and discrete inputs hold bits: leave the type out".to_owned()),
        (false, None) => Ok(DataType::U16),
        (false, Some(name)) => match name.parse().map_err(|error| format!("{name:?} is no type: {error}"))? {
            DataType::Bit(_) => Err("a single bit of a register cannot be set: set the whole register".to_owned()),
            data_type => Ok(data_type),
        },
    }
}

fn encode(data_type: DataType, text: &str) -> Result<Vec<u16>, String> {
    let value = data_type.parse(text).map_err(|error| format!("{text:?} is {error}"))?;
    if let Value::Bit(bit) = value {
        return Ok(vec![bit.into()]);
    }
    let mut registers = vec![0; data_type.registers()];
    data_type.encode(&value, Order::Abcd, &mut registers).map_err(|error| format!("{text:?} is {error}"))?;
    Ok(registers)
}

/// The values again and again, until the range is full.
fn fill(
    range: &RangeInclusive<u16>,
    values: Vec<u16>,
    entry: &Entry<Initial>,
    problems: &mut Problems,
) -> Option<Vec<u16>> {
    let length = range.len();
    if !length.is_multiple_of(values.len()) {
        let title = format!("{} values do not fill {length} addresses", values.len());
        let problem = Problem::new(title, &entry.value.span, "repeated, these do not end where the range ends");
        problems.add(problem.with_mend("write one value for all, or as many as there are addresses"));
        return None;
    }
    Some(values.into_iter().cycle().take(length).collect())
}
