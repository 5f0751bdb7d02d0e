//! What a scan has found, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use dinrail::proto::{Area, ExceptionCode};
use serde_json::{Value, json};

use crate::args::short_name;

/// Everything that was found.
pub(super) struct Report {
    url: String,
    pub(super) asked_units: usize,
    pub(super) units: Vec<UnitReport>,
    /// The device takes no notice of the unit.
    pub(super) any_unit: bool,
    pub(super) requests: u64,
    pub(super) seconds: f64,
    pub(super) interrupted: bool,
    /// Why it ended before its end, if not by Ctrl-C.
    pub(super) error: Option<String>,
}

/// One unit that answers.
pub(super) struct UnitReport {
    pub(super) unit: u8,
    /// Vendor, product and revision, as far as it says.
    identity: Vec<String>,
    pub(super) areas: Vec<AreaReport>,
}

/// What answers in one area.
pub(super) struct AreaReport {
    pub(super) area: Area,
    pub(super) asked: u64,
    pub(super) found: Vec<RangeInclusive<u16>>,
    /// The first exception, if there was one.
    pub(super) refusal: Option<ExceptionCode>,
    pub(super) unanswered: u32,
    /// The unit fell silent or the device went away, and the rest of the area was not asked for.
    pub(super) given_up: bool,
}

/// An area in words.
pub(super) const fn name(area: Area) -> &'static str {
    match area {
        Area::Coil => "coils",
        Area::DiscreteInput => "discrete inputs",
        Area::InputRegister => "input registers",
        Area::HoldingRegister => "holding registers",
    }
}

impl UnitReport {
    pub(super) fn new(unit: u8) -> Self {
        Self { unit, identity: Vec::new(), areas: Vec::new() }
    }

    pub(super) fn identify(&mut self, objects: &BTreeMap<u8, Vec<u8>>) {
        self.identity = objects.values().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    }
}

impl Report {
    pub(super) fn new(url: String) -> Self {
        let (units, any_unit, interrupted, error) = (Vec::new(), false, false, None);
        Self { url, asked_units: 0, units, any_unit, requests: 0, seconds: 0.0, interrupted, error }
    }

    /// Whether every unit that was asked for has answered, and those were many.
    pub(super) fn answers_every_unit(&self) -> bool {
        self.units.len() == self.asked_units && self.asked_units > 32
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let numbers: Vec<_> = self.units.iter().map(|unit| unit.unit.to_string()).collect();
        let who = match numbers.len() {
            0 => format!("none of {} units answers", self.asked_units),
            _ if self.any_unit => {
                format!("every unit answers: it takes no notice of the unit; unit {} is shown", numbers[0])
            }
            1 => format!("unit {} answers", numbers[0]),
            count => format!("{count} units answer: {}", numbers.join(", ")),
        };
        let _ = writeln!(text, "{}: {who}", self.url);
        for unit in &self.units {
            unit.write(&mut text);
        }
        let early = match &self.error {
            Some(error) => format!("ended early: {error}\n"),
            None if self.interrupted => "interrupted; ".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(text, "\n{early}{} requests in {:.1} s", self.requests, self.seconds);
        text
    }

    pub(super) fn to_json(&self) -> String {
        let report = json!({
            "url": self.url,
            "interrupted": self.interrupted,
            "error": self.error,
            "requests": self.requests,
            "seconds": self.seconds,
            "units_asked": self.asked_units,
            "any_unit": self.any_unit,
            "units": self.units.iter().map(UnitReport::to_json).collect::<Vec<_>>(),
        });
        format!("{report}\n")
    }
}

impl UnitReport {
    fn write(&self, text: &mut String) {
        if self.areas.is_empty() && self.identity.is_empty() {
            return;
        }
        let _ = writeln!(text, "{}", format!("\nunit {}  {}", self.unit, self.identity.join(", ")).trim_end());
        for area in &self.areas {
            let _ = writeln!(text, "  {:<18} {}", name(area.area), area.in_words());
        }
    }

    fn to_json(&self) -> Value {
        let areas: serde_json::Map<_, _> =
            self.areas.iter().map(|area| (short_name(area.area).to_owned(), area.to_json())).collect();
        json!({ "unit": self.unit, "identity": self.identity, "areas": areas })
    }
}

impl AreaReport {
    fn count(&self) -> u64 {
        self.found.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum()
    }

    fn in_words(&self) -> String {
        let short = short_name(self.area);
        let ranges: Vec<_> = self
            .found
            .iter()
            .map(|range| match (range.start(), range.end()) {
                (first, last) if first == last => format!("{short}:{first}"),
                (first, last) => format!("{short}:{first}-{last}"),
            })
            .collect();
        let mut words = match (ranges.len(), self.refusal) {
            (0, Some(code)) => format!("none: exception {code}"),
            (0, None) => "none".to_owned(),
            _ => format!("{}  ({} of {})", ranges.join(", "), self.count(), self.asked),
        };
        if self.unanswered > 0 {
            let _ = write!(words, "; no answer for {}", self.unanswered);
        }
        if self.given_up {
            words.push_str(", then given up");
        }
        words
    }

    fn to_json(&self) -> Value {
        json!({
            "ranges": self.found.iter().map(|range| [range.start(), range.end()]).collect::<Vec<_>>(),
            "count": self.count(),
            "asked": self.asked,
            "exception": self.refusal.map(ExceptionCode::code),
            "unanswered": self.unanswered,
            "given_up": self.given_up,
        })
    }
}
