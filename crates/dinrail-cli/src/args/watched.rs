//! What `watch` is to look at: `hr:0`, `level=ir:8:f32`, `pump=co:3`.

use std::str::FromStr;

use super::assignment::split_type;
use super::{Notation, Reference};

/// A point: what it is called, where it is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) start: Reference,
    /// `None` for bits.
    pub(crate) notation: Option<Notation>,
}

impl FromStr for Watched {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, place) = match text.split_once('=') {
            Some(("", _)) => return Err("the name is missing: write level=ir:8:f32, or ir:8:f32 alone".to_owned()),
            Some((name, place)) => (name, place),
            None => (text, text),
        };
        let (reference, data_type) = split_type(place);
        let start: Reference = reference.parse()?;
        let notation = match (start.area.is_bits(), data_type) {
            (true, None) => None,
            (true, Some(_)) => return Err(format!("{start} holds bits: leave the type out")),
            (false, data_type) => Some(data_type.unwrap_or("u16").parse::<Notation>()?),
        };
        let registers = notation.map_or(1, |notation| notation.data_type().registers());
        if usize::from(start.address) + registers > 0x1_0000 {
            return Err(format!("{registers} registers from {start} end behind the last address, 65535"));
        }
        Ok(Self { name: name.to_owned(), start, notation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        let table = [
            ("hr:0", "hr:0", "hr:0", Some("u16")),
            ("level=ir:8:f32", "level", "ir:8", Some("f32")),
            ("40001", "40001", "hr:0", Some("u16")),
            ("40011:str:8", "40011:str:8", "hr:10", Some("str:8")),
            ("flags=hr:3:bit:5", "flags", "hr:3", Some("bit:5")),
            ("hr:3:hex", "hr:3:hex", "hr:3", Some("hex")),
            ("pump 1=co:3", "pump 1", "co:3", None),
        ];
        for (input, name, start, notation) in table {
            let watched: Watched = input.parse().expect(input);
            let shown = watched.notation.map(|notation| notation.to_string());
            assert_eq!(
                (watched.name.as_str(), watched.start.to_string().as_str(), shown.as_deref()),
                (name, start, notation)
            );
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let table = [
            ("=hr:0", "the name is missing: write level=ir:8:f32, or ir:8:f32 alone"),
            ("co:0:u16", "co:0 holds bits: leave the type out"),
            ("x=hr:65535:f32", "2 registers from hr:65535 end behind the last address, 65535"),
        ];
        for (input, message) in table {
            assert_eq!(input.parse::<Watched>().expect_err(input), message);
        }
        assert!("level".parse::<Watched>().expect_err("no place").contains("does not say which area"));
        assert!("hr:0:float".parse::<Watched>().expect_err("no type").contains("no such type"));
    }
}
