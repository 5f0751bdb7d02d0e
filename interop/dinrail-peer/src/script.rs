//! The script that a client program is given, one step a line, and the JSON line it answers with.
//! The words are explained in `interop/harness/cases.py`.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write as _};

/// What a client prints for a step that its library has no call for.
pub const NOT_OFFERED: &str = "not offered";

/// One line of the script.
#[derive(Debug, Clone)]
pub struct Step {
    /// The name of the case, to be repeated in the answer.
    pub case: String,
    /// The unit id to ask.
    pub unit: u8,
    /// What to do.
    pub op: String,
    /// With what.
    pub args: Vec<String>,
}

impl Step {
    /// Reads one line; `None` if it is not a step.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some(Self { case: words.next()?, unit: words.next()?.parse().ok()?, op: words.next()?, args: words.collect() })
    }

    /// The argument at `index` as a number; 0 if there is none, which no case asks for.
    #[must_use]
    pub fn number(&self, index: usize) -> u16 {
        self.args.get(index).and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    /// The arguments from `index` on, as numbers.
    #[must_use]
    pub fn numbers(&self, index: usize) -> Vec<u16> {
        (index..self.args.len()).map(|i| self.number(i)).collect()
    }

    /// The argument at `index` as single bits.
    #[must_use]
    pub fn bits(&self, index: usize) -> Vec<bool> {
        self.args.get(index).map(|word| word.bytes().map(|b| b == b'1').collect()).unwrap_or_default()
    }

    /// The argument at `index` as bytes in hexadecimal.
    #[must_use]
    pub fn hex(&self, index: usize) -> Vec<u8> {
        let word = self.args.get(index).map_or("", String::as_str);
        (0..word.len() / 2).filter_map(|i| u8::from_str_radix(&word[2 * i..2 * i + 2], 16).ok()).collect()
    }
}

/// What the user of a library would see after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the server answered, be it with an exception.
    pub ok: bool,
    /// The answer, in the suite's spelling.
    pub detail: String,
}

impl Outcome {
    /// The server answered.
    pub fn answer(detail: impl Into<String>) -> Self {
        Self { ok: true, detail: detail.into() }
    }

    /// The server answered with an exception.
    #[must_use]
    pub fn exception(code: u8) -> Self {
        Self::answer(format!("exception {code}"))
    }

    /// The library gave up, or has no such call.
    pub fn failure(detail: impl Into<String>) -> Self {
        Self { ok: false, detail: detail.into() }
    }

    /// Prints the JSON line for this step.
    ///
    /// # Errors
    /// When nobody reads the output.
    pub fn print(&self, case: &str) -> io::Result<()> {
        let mut detail = String::new();
        for character in self.detail.chars() {
            match character {
                '"' | '\\' => detail.extend(['\\', character]),
                c if c.is_control() => {
                    let _ = write!(detail, "\\u{:04x}", u32::from(c));
                }
                c => detail.push(c),
            }
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{{\"case\": \"{case}\", \"ok\": {}, \"detail\": \"{detail}\"}}", self.ok)?;
        out.flush()
    }
}

/// What came before a step: each case has a connection of its own, and so has what follows a failure.
#[derive(Debug, Default)]
pub struct Before {
    case: String,
    broken: bool,
}

impl Before {
    /// Whether this step must not use the last one's connection.
    #[must_use]
    pub fn wants_fresh(&self, step: &Step) -> bool {
        self.broken || (self.case != step.case && !self.case.is_empty())
    }

    /// To be called after each step.
    pub fn remember(&mut self, step: &Step, outcome: &Outcome) {
        self.case.clone_from(&step.case);
        self.broken = !outcome.ok && outcome.detail != NOT_OFFERED;
    }
}

/// The steps on standard input.
pub fn steps() -> impl Iterator<Item = Step> {
    io::stdin().lock().lines().map_while(Result::ok).filter_map(|line| Step::parse(&line))
}

/// Registers in the suite's spelling.
#[must_use]
pub fn words(values: &[u16]) -> String {
    values.iter().map(u16::to_string).collect::<Vec<_>>().join(" ")
}

/// Coils in the suite's spelling.
#[must_use]
pub fn digits(values: &[bool]) -> String {
    values.iter().map(|&on| if on { '1' } else { '0' }).collect()
}

/// Bytes in hexadecimal, or a dash for none.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Device identification objects in the suite's spelling.
#[must_use]
pub fn objects(found: &[(u8, String)]) -> String {
    found.iter().map(|(id, value)| format!("{id}={value}")).collect::<Vec<_>>().join(" ")
}
