//! Rules from a TOML file.

use std::fmt;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::{Access, Rule, Rules};
use crate::Error;
use crate::proto::{Area, FunctionCode};

/// A file of rules.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Entry>,
}

/// A rule as it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    role: Option<String>,
    #[serde(default)]
    anyone: bool,
    access: Way,
    units: Option<Ranges>,
    functions: Option<Ranges>,
    coils: Option<Ranges>,
    discrete_inputs: Option<Ranges>,
    holding_registers: Option<Ranges>,
    input_registers: Option<Ranges>,
    files: Option<Ranges>,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    Read,
    Write,
    All,
}

/// One number, "FIRST-LAST", or a list of both. Taken apart by hand, since what is wrong in it is to be said, and derived
/// code says only that nothing fits.
struct Ranges(Vec<RangeInclusive<u16>>);

impl<'de> Deserialize<'de> for Ranges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InRanges)
    }
}

struct InRanges;

impl<'de> Visitor<'de> for InRanges {
    type Value = Ranges;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 65535, a range of two as \"0-99\", or a list of both")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Ranges, E> {
        match u16::try_from(number) {
            Ok(number) => Ok(Ranges(vec![number..=number])),
            Err(_) => Err(E::custom(format!("{number} is too large or too small: take a number from 0 to 65535"))),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Ranges, E> {
        let bound = |text: &str| text.trim().parse::<u16>().ok();
        let range = match text.split_once('-') {
            None => bound(text).map(|number| number..=number),
            Some((first, last)) => bound(first).zip(bound(last)).map(|(first, last)| first..=last),
        };
        match range {
            Some(range) if !range.is_empty() => Ok(Ranges(vec![range])),
            Some(_) => Err(E::custom(format!("the range \"{text}\" ends before it begins"))),
            None => {
                Err(E::custom(format!("\"{text}\" is no range: take a number from 0 to 65535, or two as \"0-99\"")))
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ranges, A::Error> {
        let mut all = Vec::new();
        while let Some(Ranges(ranges)) = list.next_element()? {
            all.extend(ranges);
        }
        Ok(Ranges(all))
    }
}

impl Rules {
    /// Rules from a TOML file, as [`from_toml`](Self::from_toml).
    ///
    /// # Errors
    /// [`Error::Rules`], which names the file, the place in it and what is wrong there.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|error| Error::Rules(format!("cannot read the rules {}: {error}", path.display()).into()))?;
        Self::from_toml(&text).map_err(|error| Error::Rules(format!("the rules {}: {error}", path.display()).into()))
    }

    /// Rules from TOML. Each `[[rule]]` has a `role` or `anyone = true`, and an `access`: "read", "write" or "all" (see
    /// [`Access`]). It is narrowed by `units`, `functions`, `coils`, `discrete-inputs`, `holding-registers`,
    /// `input-registers` and `files`: each a number, a range as "0-99", or a list of both; addresses are 0-based.
    ///
    /// ```
    /// # fn main() -> Result<(), dinrail::Error> {
    /// let rules = dinrail::service::Rules::from_toml(r#"
    ///     [[rule]]
    ///     anyone = true
    ///     access = "read"
    ///
    ///     [[rule]]
    ///     role = "operator"
    ///     access = "write"
    ///     units = ["1-10", 17]
    ///     holding-registers = ["0-99", 200]
    /// "#)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Rules`], which names the place and what is wrong there.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let wrong = |sentence: String| Error::Rules(sentence.into());
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        if file.rule.is_empty() {
            return Err(wrong("there is no [[rule]], and without one everything is refused: write one".to_owned()));
        }
        let numbered = file.rule.into_iter().zip(1..);
        numbered.map(|(entry, number)| entry.rule().map_err(|what| wrong(format!("rule {number}: {what}")))).collect()
    }
}

impl Entry {
    fn rule(self) -> Result<Rule, String> {
        let access = match self.access {
            Way::Read => Access::Read,
            Way::Write => Access::Write,
            Way::All => Access::All,
        };
        let mut rule = match (self.role, self.anyone) {
            (Some(role), _) if role.is_empty() => {
                return Err("its role is empty: no certificate has such a one".to_owned());
            }
            (Some(role), false) => Rule::new(Arc::from(role), access),
            (None, true) => Rule::anyone(access),
            (Some(_), true) => return Err("it has a role and is for anyone: take one of the two".to_owned()),
            (None, false) => return Err("it is for nobody: give it a role, or anyone = true".to_owned()),
        };
        for range in spans(self.units, "units")? {
            let (Ok(first), Ok(last)) = (u8::try_from(*range.start()), u8::try_from(*range.end())) else {
                return Err(format!("units end at 255, not at {}", range.end()));
            };
            rule = rule.with_units(first..=last);
        }
        for range in spans(self.functions, "functions")? {
            for code in range {
                let function = u8::try_from(code).ok().and_then(FunctionCode::new);
                rule = rule.with_functions([function.ok_or(format!("{code} is no function code: take 1 to 127"))?]);
            }
        }
        let areas = [
            (Area::Coil, self.coils, "coils"),
            (Area::DiscreteInput, self.discrete_inputs, "discrete-inputs"),
            (Area::HoldingRegister, self.holding_registers, "holding-registers"),
            (Area::InputRegister, self.input_registers, "input-registers"),
        ];
        for (area, ranges, name) in areas {
            for range in spans(ranges, name)? {
                rule = rule.with_area(area, range);
            }
        }
        for range in spans(self.files, "files")? {
            rule = rule.with_files(range);
        }
        Ok(rule)
    }
}

/// An empty list would say "nothing" and be read as "everything".
fn spans(ranges: Option<Ranges>, name: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    match ranges {
        None => Ok(Vec::new()),
        Some(Ranges(ranges)) if ranges.is_empty() => {
            Err(format!("its {name} are an empty list: name some, or leave it out for all"))
        }
        Some(Ranges(ranges)) => Ok(ranges),
    }
}
