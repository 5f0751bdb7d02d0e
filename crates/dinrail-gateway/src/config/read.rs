//! From TOML to types, field by field: each value is read on its own, so that every problem of a file is found and not
//! only the first, each at its own place. (`serde` stops at the first.)

use std::collections::BTreeMap;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems, Span};

/// A value, and where it stands. Two are equal wherever they stand.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What can be read from a value of the file.
pub(crate) trait Read: Sized {
    /// Whether it is written as a table.
    const IS_TABLE: bool = false;

    /// The value, or `None` when it cannot be; what is wrong has been added to `problems` then.
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self>;
}

/// Reads a value with its place.
pub(crate) fn read_at<T: Read>(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<At<T>> {
    Some(At { value: T::read(value, problems)?, span: value.span() })
}

/// What a value is, in words.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Says that something else was expected.
pub(crate) fn unexpected<T>(value: &Spanned<DeValue<'_>>, expected: &str, problems: &mut Problems) -> Option<T> {
    let found = kind(value.get_ref());
    problems.add(Problem::new(
        format!("expected {expected}, found {found}"),
        &value.span(),
        format!("this is {found}"),
    ));
    None
}

/// The names that are written in a table and known there.
pub(crate) struct Table<'a, 'i>(&'a DeTable<'i>);

impl<'a, 'i> Table<'a, 'i> {
    /// A table that may hold these keys and no others.
    pub(crate) fn of(value: &'a Spanned<DeValue<'i>>, known: &[&str], problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::new(table, known, problems)),
            _ => unexpected(value, "a table", problems),
        }
    }

    pub(crate) fn new(table: &'a DeTable<'i>, known: &[&str], problems: &mut Problems) -> Self {
        for (key, _) in table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let mend = match similar(name, known) {
                Some(similar) => {
                    problems.spoil(similar, &key.span());
                    format!("did you mean `{similar}`?")
                }
                None => format!("there are {}", known.join(", ")),
            };
            let problem = Problem::new(format!("unknown key `{name}`"), &key.span(), "not known here");
            problems.add(problem.with_mend(mend));
        }
        Self(table)
    }

    pub(crate) fn field<T: Read>(&self, name: &str, problems: &mut Problems) -> Option<At<T>> {
        let value = self.0.get(name)?;
        let read = read_at(value, problems);
        if read.is_none() {
            problems.spoil(name, &value.span());
        }
        read
    }
}

/// The one of `known` that was probably meant.
pub(crate) fn similar<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    let close = |known: &&str| strsim::damerau_levenshtein(&name, &known.replace('-', "_"));
    let best = known.iter().copied().min_by_key(|known| close(known))?;
    (close(&best) <= name.len().max(3) / 3).then_some(best)
}

impl Read for String {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => unexpected(value, "a text in quotes", problems),
        }
    }
}

impl Read for bool {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(is) => Some(*is),
            _ => unexpected(value, "true or false", problems),
        }
    }
}

macro_rules! integers {
    ($($type:ty)*) => {
        $(impl Read for $type {
            fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
                let DeValue::Integer(integer) = value.get_ref() else {
                    return unexpected(value, "an integer", problems);
                };
                let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
                let fits = number.and_then(|number| number.try_into().ok());
                if fits.is_none() {
                    problems.add(
                        Problem::new(format!("{integer} is out of range"), &value.span(), "too large or too small")
                            .with_mend(format!("take a number from {} to {}", <$type>::MIN, <$type>::MAX)),
                    );
                }
                fits
            }
        })*
    };
}

integers! { u8 u16 u32 }

impl<T: Read> Read for Vec<At<T>> {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(list) => Some(list.iter().filter_map(|item| read_at(item, problems)).collect()),
            // `[server]` in place of `[[server]]`.
            DeValue::Table(_) if T::IS_TABLE => {
                let problem = Problem::new("expected a list of tables, found one table", &value.span(), "one table");
                problems.add(problem.with_mend("write its name in two pairs of brackets, as [[server]]"));
                None
            }
            _ => unexpected(value, "a list", problems),
        }
    }
}

/// A table whose keys are names of the user's own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named<T>(pub(crate) BTreeMap<String, Entry<T>>);

/// A value, and where its key stands. Two are equal wherever they stand.
#[derive(Clone, Debug)]
pub(crate) struct Entry<T> {
    pub(crate) key: Span,
    pub(crate) value: At<T>,
}

impl<T: PartialEq> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}

impl<T: Read> Read for Named<T> {
    fn read(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else { return unexpected(value, "a table", problems) };
        let entry = |(key, value): (&Spanned<_>, _), problems: &mut Problems| {
            let key: &Spanned<toml::de::DeString<'_>> = key;
            Some((key.get_ref().to_string(), Entry { key: key.span(), value: read_at(value, problems)? }))
        };
        Some(Self(table.iter().filter_map(|each| entry(each, problems)).collect()))
    }
}
