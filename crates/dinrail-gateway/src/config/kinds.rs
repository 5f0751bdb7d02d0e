//! Kinds of values: times, ranges, choices, and what may be written in more than one way.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use super::problem::{Problem, Problems};
use super::read::{At, Read, read_at, similar, unexpected};
use super::{Store, section};

/// Gives a type the schema that is written here, in place.
macro_rules! schema {
    ($($type:ident: $schema:tt;)*) => {
        $(impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

schema! {
    Limit: { "type": "string", "description": "a number and a unit, such as 500ms, 30s or 5m; or off" };
    Ranges: {
        "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": 65535 },
            { "type": "string", "pattern": "^ *[0-9]+ *(- *[0-9]+ *)?$" },
            { "type": "array", "items": { "type": ["integer", "string"] } },
        ],
    };
    Place: {
        "anyOf": [
            { "const": "all" },
            { "type": "integer", "minimum": 0, "maximum": 65535 },
            { "type": "string", "pattern": "^ *[0-9]+ *(- *[0-9]+ *)?$" },
            { "type": "array", "items": { "type": ["integer", "string"] } },
        ],
    };
    OneOrMany: { "type": ["string", "array"], "items": { "type": "string" } };
    Bytes: { "type": ["string", "array"], "items": { "type": "integer", "minimum": 0, "maximum": 255 } };
}

/// A time, or "off".
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl Read for Limit {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        const MEND: &str = "write a number and a unit, such as \"500ms\", \"30s\" or \"5m\"";
        let DeValue::String(text) = value.get_ref() else {
            return unexpected(value, "a time in quotes, such as \"30s\"", problems);
        };
        if text == "off" {
            return Some(Self(None));
        }
        match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => {
                let problem = Problem::new("a time of 0 allows nothing", &value.span(), "longer than 0, please");
                problems.add(problem.with_mend(MEND));
                None
            }
            Ok(time) => Some(Self(Some(time))),
            Err(_) => {
                let problem = Problem::new(format!("{text:?} is no time"), &value.span(), "no time");
                problems.add(problem.with_mend(MEND));
                None
            }
        }
    }
}

/// Numbers from 0 to 65535 and ranges of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranges(pub(crate) Vec<At<RangeInclusive<u16>>>);

/// `FIRST-LAST`, or one number.
pub(crate) fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let bound = |text: &str| text.trim().parse::<u16>().ok();
    let range = match text.split_once('-') {
        None => bound(text).map(|number| number..=number),
        Some((first, last)) => bound(first).zip(bound(last)).map(|(first, last)| first..=last),
    };
    match range {
        Some(range) if range.is_empty() => {
            Err(format!("{text:?} ends before it begins: write the smaller number first"))
        }
        Some(range) => Ok(range),
        None => Err(format!("{text:?} is no range: write a number from 0 to 65535, or two as \"0-99\"")),
    }
}

impl Read for Ranges {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let list = match value.get_ref() {
            DeValue::Array(list) if list.is_empty() => {
                let problem = Problem::new("an empty list means nothing", &value.span(), "empty");
                problems.add(problem.with_mend("name some, or leave the key out for all"));
                return None;
            }
            DeValue::Array(list) => list.iter().filter_map(|item| one_range(item, problems)).collect(),
            _ => vec![one_range(value, problems)?],
        };
        Some(Self(list))
    }
}

fn one_range(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<At<RangeInclusive<u16>>> {
    let range = match value.get_ref() {
        DeValue::String(text) => match range(text) {
            Ok(range) => range,
            Err(sentence) => {
                problems.add(Problem::new(sentence, &value.span(), "no range"));
                return None;
            }
        },
        DeValue::Integer(_) => u16::read(value, problems).map(|number| number..=number)?,
        _ => return unexpected(value, "a number, a range as \"0-99\", or a list of both", problems),
    };
    Some(At { value: range, span: value.span() })
}

/// Addresses of an area, or "all" of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place(pub(crate) Ranges);

impl Read for Place {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) if text == "all" => {
                Some(Self(Ranges(vec![At { value: 0..=u16::MAX, span: value.span() }])))
            }
            _ => Ranges::read(value, problems).map(Self),
        }
    }
}

section! {
    /// Addresses that clients may not write; ranges, or "all".
    Places {
        /// Coils.
        co: Place,
        /// Holding registers.
        hr: Place,
    }
}

/// What clients may not write.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum ReadOnly {
    /// Everything, or nothing.
    All(bool),
    /// These addresses.
    Places(Places),
}

impl Read for ReadOnly {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(all) => Some(Self::All(*all)),
            DeValue::Table(_) => Places::read(value, problems).map(Self::Places),
            _ => unexpected(value, "true, or addresses as { hr = \"0-99\" }", problems),
        }
    }
}

/// A store of the server's own, or the name of one.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum StoreRef {
    /// The name of a [store.NAME].
    Named(String),
    /// Its own.
    Own(Box<Store>),
}

impl Read for StoreRef {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(name) => Some(Self::Named(name.to_string())),
            DeValue::Table(_) => Store::read(value, problems).map(|store| Self::Own(Box::new(store))),
            _ => unexpected(value, "a table, or the name of a [store.NAME]", problems),
        }
    }
}

/// A text, or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OneOrMany(pub(crate) Vec<At<String>>);

impl Read for OneOrMany {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(_) => Vec::read(value, problems).map(Self),
            _ => read_at(value, problems).map(|one| Self(vec![one])),
        }
    }
}

/// Bytes: of a text, or as numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Read for Bytes {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => Some(Self(text.as_bytes().to_vec())),
            DeValue::Array(list) => Some(Self(list.iter().filter_map(|byte| u8::read(byte, problems)).collect())),
            _ => unexpected(value, "a text, or a list of bytes", problems),
        }
    }
}

/// Declares a choice between words.
macro_rules! choice {
    ($($(#[$meta:meta])* $name:ident { $($word:literal => $variant:ident,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, JsonSchema)]
            pub(crate) enum $name {
                $(#[schemars(rename = $word)] $variant,)*
            }

            impl Read for $name {
                fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
                    let words = [$($word),*];
                    let DeValue::String(text) = value.get_ref() else {
                        return unexpected(value, &format!("one of {}", quoted(&words)), problems);
                    };
                    match text.as_ref() {
                        $($word => return Some(Self::$variant),)*
                        text => {
                            let mend = match similar(text, &words) {
                                Some(similar) => format!("did you mean \"{similar}\"?"),
                                None => format!("take one of {}", quoted(&words)),
                            };
                            let problem = Problem::new(format!("{text:?} is no choice here"), &value.span(), "not known");
                            problems.add(problem.with_mend(mend));
                            None
                        }
                    }
                }
            }
        )*
    };
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

choice! {
    /// What happens to one connection too many.
    WhenFull { "evict-idle" => EvictIdle, "refuse" => Refuse, }
    /// Who answers FC 8, 11 and 12.
    Diagnostics { "off" => Off, "live" => Live, "frozen" => Frozen, }
    /// Whether clients show certificates.
    ClientAuth { "required" => Required, "optional" => Optional, "none" => None, }
    /// Versions of TLS.
    MinVersion { "1.2" => V1_2, "1.3" => V1_3, }
    /// Which way data goes.
    Access { "read" => Read, "write" => Write, "all" => All, }
}
