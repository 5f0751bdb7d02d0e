//! Several numbers at once, as people write them: `1-10,17`.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// Numbers from 0 to 65535, in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<RangeInclusive<u16>>);

impl Ranges {
    pub(crate) fn iter(&self) -> impl Iterator<Item = RangeInclusive<u16>> + '_ {
        self.0.iter().cloned()
    }

    /// Every number of them.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().cloned().flatten()
    }
}

impl FromStr for Ranges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.trim().parse().map_err(|_| format!("{text:?} is no number from 0 to 65535: write 1-10,17"))
        };
        let range = |part: &str| match part.split_once('-') {
            None => number(part).map(|only| only..=only),
            Some((first, last)) => {
                let range = number(first)?..=number(last)?;
                if range.is_empty() {
                    Err(format!("{part} is empty: write the smaller number first"))
                } else {
                    Ok(range)
                }
            }
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        let numbers = |text: &str| text.parse::<Ranges>().map(|ranges| ranges.numbers().collect::<Vec<_>>());
        assert_eq!(numbers("1-3,17"), Ok(vec![1, 2, 3, 17]));
        assert_eq!(numbers("5"), Ok(vec![5]));
        assert_eq!(numbers("3-1"), Err("3-1 is empty: write the smaller number first".to_owned()));
        assert_eq!(numbers("1,,2"), Err("\"\" is no number from 0 to 65535: write 1-10,17".to_owned()));
        assert_eq!(numbers("65536"), Err("\"65536\" is no number from 0 to 65535: write 1-10,17".to_owned()));
    }
}
