//! What is wrong with a bad line, as options and as text.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

/// How likely a fault is that is named without a number.
const USUAL: f64 = 0.1;

/// The faults of a line. [`Default`] is a line without any.
///
/// Probabilities go from 0 to 1. A *write* here is what is written, or what is read from the stream, in one go: as a rule
/// a frame. Faults happen in both directions.
///
/// As text, for a command line, it is a list with commas: `delay=5ms..20ms,drop=1%,flip=0.1%,split,seed=7`. Times have
/// the unit `us`, `ms` or `s`; probabilities are percentages or fractions (`1%`, `0.01`); `drop`, `split`, `merge` and
/// `duplicate` without a number mean 10 %.
///
/// ```
/// use std::time::Duration;
/// use dinrail::transport::Faults;
///
/// let faults: Faults = "delay=5ms..20ms,drop=1%,split".parse()?;
/// let same = Faults::default()
///     .with_delay(Duration::from_millis(5)..Duration::from_millis(20))
///     .with_drop(0.01)
///     .with_split(0.1);
/// assert_eq!(faults, same);
/// # Ok::<(), dinrail::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// `delay=5ms..20ms` or `delay=5ms`: how long a write takes; anything in this range, evenly. The order is kept, so a
    /// write may wait for the one before it. None unless set.
    pub delay: Range<Duration>,
    /// `drop=1%`: a write is lost as a whole.
    pub drop: f64,
    /// `lose=0.1%`: a single byte is lost.
    pub lose: f64,
    /// `flip=0.1%`: one bit of a byte is turned; this is the probability for each byte.
    pub flip: f64,
    /// `split=10%`: a write arrives in two to four pieces, a millisecond apart.
    pub split: f64,
    /// `merge=10%`: a write waits for up to 20 ms to arrive together with the next one.
    pub merge: f64,
    /// `duplicate=10%`: a write arrives twice.
    pub duplicate: f64,
    /// `echo`: everything that is written comes back at once, as on an RS-485 adapter that hears itself.
    pub echo: bool,
    /// `seed=7`: where chance begins; 0 unless set. The same seed and the same traffic give the same faults; each
    /// connection of a [`Faulty`](super::Faulty) has its own, which follow from this one.
    pub seed: u64,
}

impl Faults {
    /// Delays each write by anything in `range`.
    #[must_use]
    pub fn with_delay(mut self, range: Range<Duration>) -> Self {
        self.delay = range;
        self
    }

    /// Loses writes with this probability.
    #[must_use]
    pub fn with_drop(mut self, probability: f64) -> Self {
        self.drop = probability;
        self
    }

    /// Loses single bytes with this probability.
    #[must_use]
    pub fn with_lose(mut self, probability: f64) -> Self {
        self.lose = probability;
        self
    }

    /// Turns a bit of a byte with this probability.
    #[must_use]
    pub fn with_flip(mut self, probability: f64) -> Self {
        self.flip = probability;
        self
    }

    /// Splits writes with this probability.
    #[must_use]
    pub fn with_split(mut self, probability: f64) -> Self {
        self.split = probability;
        self
    }

    /// Merges writes with the next one with this probability.
    #[must_use]
    pub fn with_merge(mut self, probability: f64) -> Self {
        self.merge = probability;
        self
    }

    /// Repeats writes with this probability.
    #[must_use]
    pub fn with_duplicate(mut self, probability: f64) -> Self {
        self.duplicate = probability;
        self
    }

    /// Whether what is written comes back.
    #[must_use]
    pub fn with_echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// Begins chance here.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

impl FromStr for Faults {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut faults = Self::default();
        for part in text.split(',').map(str::trim) {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (part, None),
            };
            let usual = || value.map_or(Ok(USUAL), probability);
            let needed = || value.ok_or(crate::Error::Option(NEEDS_VALUE)).and_then(probability);
            match name {
                "delay" => faults.delay = range(value.ok_or(crate::Error::Option(NEEDS_VALUE))?)?,
                "drop" => faults.drop = usual()?,
                "lose" => faults.lose = needed()?,
                "flip" => faults.flip = needed()?,
                "split" => faults.split = usual()?,
                "merge" => faults.merge = usual()?,
                "duplicate" => faults.duplicate = usual()?,
                "echo" if value.is_none() => faults.echo = true,
                "seed" => {
                    let seed = value.and_then(|value| value.parse().ok());
                    faults.seed = seed.ok_or(crate::Error::Option("seed is a whole number from 0: seed=7"))?;
                }
                _ => return Err(crate::Error::Option(UNKNOWN)),
            }
        }
        Ok(faults)
    }
}

const UNKNOWN: &str = "the faults of a line are delay, drop, lose, flip, split, merge, duplicate, echo and seed, with \
                       commas between them: delay=5ms..20ms,drop=1%,flip=0.1%,split,echo,seed=7";
const NEEDS_VALUE: &str = "delay, lose and flip need a value: delay=5ms..20ms, lose=0.1%, flip=0.1%";
const PROBABILITY: &str = "a probability is 0% to 100%, or 0 to 1: drop=1% or drop=0.01";
const DELAY: &str =
    "a delay is a time or a range of times, the shorter first, with their unit: delay=5ms or delay=5ms..20ms";

fn probability(text: &str) -> Result<f64, crate::Error> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let number: Option<f64> = number.trim().parse().ok();
    let probability = number.map(|number| number / whole).filter(|number| (0.0..=1.0).contains(number));
    probability.ok_or(crate::Error::Option(PROBABILITY))
}

fn range(text: &str) -> Result<Range<Duration>, crate::Error> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let range = duration(least).zip(duration(most)).filter(|(least, most)| least <= most);
    range.map(|(least, most)| least..most).ok_or(crate::Error::Option(DELAY))
}

fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * unit).ok()
}

/// As it is parsed.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.delay.end.is_zero() {
            parts.push(format!("delay={}us..{}us", self.delay.start.as_micros(), self.delay.end.as_micros()));
        }
        let probabilities = [
            ("drop", self.drop),
            ("lose", self.lose),
            ("flip", self.flip),
            ("split", self.split),
            ("merge", self.merge),
            ("duplicate", self.duplicate),
        ];
        parts.extend(probabilities.iter().filter(|(_, p)| *p > 0.0).map(|(name, p)| format!("{name}={p}")));
        if self.echo {
            parts.push("echo".to_owned());
        }
        parts.push(format!("seed={}", self.seed));
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_options_say_the_same() {
        let faults: Faults = "delay=5ms..20ms, drop=1%,lose=0.002,flip=0.1%,split,merge=50%,duplicate=1,echo,seed=7"
            .parse()
            .expect("right");
        let same = Faults::default()
            .with_delay(Duration::from_millis(5)..Duration::from_millis(20))
            .with_drop(0.01)
            .with_lose(0.002)
            .with_flip(0.001)
            .with_split(0.1)
            .with_merge(0.5)
            .with_duplicate(1.0)
            .with_echo(true)
            .with_seed(7);
        assert_eq!(faults, same);
        assert_eq!(faults.to_string().parse::<Faults>().expect("its own text"), faults);
        let fixed: Faults = "delay=1.5s".parse().expect("right");
        assert_eq!(fixed.delay, Duration::from_millis(1500)..Duration::from_millis(1500));
    }

    #[test]
    fn what_is_wrong_is_a_sentence() {
        let table = [
            ("", UNKNOWN),
            ("dorp=1%", UNKNOWN),
            ("echo=1", UNKNOWN),
            ("flip", NEEDS_VALUE),
            ("delay", NEEDS_VALUE),
            ("drop=101%", PROBABILITY),
            ("drop=-1", PROBABILITY),
            ("drop=NaN", PROBABILITY),
            ("delay=5", DELAY),
            ("delay=20ms..5ms", DELAY),
            ("delay=1m", DELAY),
            ("seed=x", "seed is a whole number from 0: seed=7"),
        ];
        for (text, message) in table {
            assert_eq!(text.parse::<Faults>().expect_err(text).to_string(), message, "{text}");
        }
    }
}
