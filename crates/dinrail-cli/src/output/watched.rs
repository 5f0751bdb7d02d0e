//! Points that are watched: a table that is drawn over again, or a line a change.

use std::fmt::Write as _;
use std::time::Duration;

use dinrail::proto::value::Value;
use dinrail::watch::Change;
use serde::Serialize;

use super::readings::{JsonValue, json_line, json_value, timestamp};
use crate::args::{Notation, Watched};

/// Time, name, value, quality and perhaps an error, with tabs between them.
pub(crate) fn change_line(point: &Watched, change: &Change) -> String {
    let value = change.value.map_or_else(|| "-".to_owned(), |value| show(point, &value));
    let mut line = format!("{}\t{}\t{value}\t{}", timestamp(change.time), point.name, change.quality);
    if let Some(error) = change.quality.error() {
        let _ = write!(line, "\t{error}"); // to a string, which cannot fail
    }
    line + "\n"
}

/// The same as a JSON object.
pub(crate) fn change_json(unit: u8, point: &Watched, change: &Change) -> String {
    let value = change.value.map(|value| match point.notation {
        Some(Notation::Hex | Notation::Binary) => JsonValue::Text(show(point, &value)),
        _ => json_value(&value),
    });
    let line = Line {
        time: timestamp(change.time),
        unit,
        name: &point.name,
        address: point.start.to_string(),
        r#type: point.notation.map_or_else(|| "bit".to_owned(), |notation| notation.to_string()),
        value,
        quality: change.quality.to_string(),
        error: change.quality.error().map(ToString::to_string),
    };
    json_line(&line) + "\n"
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    unit: u8,
    name: &'a str,
    address: String,
    r#type: String,
    value: Option<JsonValue>,
    quality: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn show(point: &Watched, value: &Value) -> String {
    point.notation.map_or_else(|| value.to_string(), |notation| notation.show(value))
}

/// A row of the table.
pub(crate) struct WatchedRow {
    point: Watched,
    value: Option<Value>,
    /// By how much the value changed last.
    step: String,
    quality: String,
    error: Option<String>,
    age: Option<Duration>,
}

impl WatchedRow {
    pub(crate) fn new(point: &Watched) -> Self {
        Self { point: point.clone(), value: None, step: String::new(), quality: String::new(), error: None, age: None }
    }

    /// It has changed.
    pub(crate) fn change(&mut self, change: &Change) {
        if let (Some(before), Some(now)) = (&self.value, &change.value)
            && before != now
        {
            self.step = step(before, now);
        }
        self.value = change.value.or(self.value);
        self.refresh(change);
    }

    /// What it is, and how old that is by now.
    pub(crate) fn refresh(&mut self, state: &Change) {
        self.quality = state.quality.to_string();
        self.error = state.quality.error().map(ToString::to_string);
        self.age = state.age();
        if state.value.is_none() {
            self.value = None;
        }
    }
}

/// By how much a number has changed.
fn step(before: &Value, now: &Value) -> String {
    let whole = |value: &Value| match *value {
        Value::U16(value) => Some(i128::from(value)),
        Value::I16(value) => Some(i128::from(value)),
        Value::U32(value) => Some(i128::from(value)),
        Value::I32(value) => Some(i128::from(value)),
        Value::U64(value) => Some(i128::from(value)),
        Value::I64(value) => Some(i128::from(value)),
        _ => None,
    };
    match (before, now) {
        (Value::F32(before), Value::F32(now)) => rounded(f64::from(*now) - f64::from(*before)),
        (Value::F64(before), Value::F64(now)) => rounded(now - before),
        _ => match (whole(before), whole(now)) {
            (Some(before), Some(now)) => format!("{:+}", now - before),
            _ => String::new(),
        },
    }
}

/// To three digits or so: the noise of a float's last ones tells nothing.
fn rounded(step: f64) -> String {
    let digits = if step == 0.0 || !step.is_finite() { 0.0 } else { 2.0 - step.abs().log10().floor() };
    let text = format!("{step:+.*}", digits.clamp(0.0, 12.0) as usize); // within 0 and 12
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn age(age: Option<Duration>) -> String {
    match age.map(|age| (age.as_secs(), age.as_secs_f64())) {
        None => String::new(),
        Some((0..120, seconds)) => format!("{seconds:.1} s"),
        Some((seconds @ 120..7200, _)) => format!("{} min", seconds / 60),
        Some((seconds, _)) => format!("{} h", seconds / 3600),
    }
}

/// How many lines and columns a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) lines: usize,
    pub(crate) columns: usize,
}

impl Window {
    /// That of standard output; as large as need be when it does not say.
    pub(crate) fn present() -> Self {
        let size = console::Term::stdout().size_checked();
        let (lines, columns) = size.unwrap_or((u16::MAX, u16::MAX));
        Self { lines: lines.into(), columns: columns.into() }
    }
}

/// A terminal on which a table is drawn over the one before.
#[derive(Default)]
pub(crate) struct Screen {
    lines: usize,
    window: Option<Window>,
}

impl Screen {
    /// What to write. It fits into the window, since what is once above it cannot be drawn over; the cursor ends up below
    /// the table.
    pub(crate) fn draw(&mut self, rows: &[WatchedRow], window: Window) -> String {
        let begin = match self.window.replace(window) {
            None => String::new(),
            Some(before) if before == window => format!("\x1b[{}A", self.lines),
            // Where the lines are now depends on the terminal: it begins anew.
            Some(_) => "\x1b[H\x1b[2J".to_owned(),
        };
        let table = fit(&render(rows), rows, window);
        self.lines = table.len();
        // No wrapping while it is drawn; each line is cleared behind its end, and what is left of a longer table below.
        let table: String = table.iter().fold(String::new(), |text, line| text + line + "\x1b[K\n");
        format!("{begin}\x1b[?7l{table}\x1b[J\x1b[?7h")
    }
}

/// The lines of a table and below them the errors, cut to what the window holds.
fn fit(table: &str, rows: &[WatchedRow], window: Window) -> Vec<String> {
    let lines = window.lines.saturating_sub(1).max(2); // the cursor's own
    let mut errors: Vec<&str> = rows.iter().filter_map(|row| row.error.as_deref()).collect();
    errors.dedup();
    let mut below: Vec<String> = errors.iter().flat_map(|error| wrapped(error, window.columns)).collect();
    below.truncate(lines / 2);
    let mut shown: Vec<String> = table.lines().map(|line| cut(line, window.columns)).collect();
    let room = lines - below.len();
    if shown.len() > room {
        let more = shown.len() + 1 - room;
        shown.truncate(room - 1);
        shown.push(cut(&format!("... and {more} more: the window is too low for them"), window.columns));
    }
    shown.append(&mut below);
    shown
}

fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    line.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// In lines of so many characters, parted between words.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always one");
        if last.is_empty() {
            *last = cut(word, columns);
        } else if last.chars().count() + 1 + word.chars().count() <= columns {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(cut(word, columns));
        }
    }
    lines
}

/// The table without escape codes.
fn render(rows: &[WatchedRow]) -> String {
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            let value = row.value.map_or_else(|| "-".to_owned(), |value| show(&row.point, &value));
            [row.point.name.clone(), value, row.step.clone(), row.quality.clone(), age(row.age)]
        })
        .collect();
    let heading = ["NAME", "VALUE", "CHANGE", "QUALITY", "AGE"].map(str::to_owned);
    let width = |column: usize| {
        cells.iter().chain([&heading]).map(|cells| cells[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |cells: &[String; 5]| {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
            // Numbers stand to the right, so that their digits are below each other.
            let _ = if matches!(index, 1 | 2 | 4) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:width$}  ")
            };
        }
        line.trim_end().to_owned() + "\n"
    };
    [&heading].into_iter().chain(&cells).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(point: &str, value: Value, step: &str) -> WatchedRow {
        let mut row = WatchedRow::new(&point.parse().expect("a point"));
        (row.value, row.step, row.quality) = (Some(value), step.to_owned(), "good".to_owned());
        row.age = Some(Duration::from_millis(250));
        row
    }

    #[test]
    fn the_table_is_aligned_and_drawn_over_itself() {
        let mut rows = vec![row("level=ir:8:f32", Value::F32(21.5), "+0.25"), row("co:3", Value::Bit(true), "")];
        rows.push(WatchedRow::new(&"hr:0".parse().expect("a point")));
        let table = "\
NAME   VALUE  CHANGE  QUALITY    AGE
level   21.5   +0.25  good     0.2 s
co:3      on          good     0.2 s
hr:0       -
";
        assert_eq!(render(&rows), table);
        let window = Window { lines: 24, columns: 80 };
        let mut screen = Screen::default();
        let first = screen.draw(&rows, window);
        assert!(
            first.starts_with("\x1b[?7lNAME") && first.ends_with("hr:0       -\x1b[K\n\x1b[J\x1b[?7h"),
            "{first:?}"
        );
        rows[0].quality = "stale".to_owned();
        rows[0].error = Some("no answer".to_owned());
        let second = screen.draw(&rows, window);
        assert!(second.starts_with("\x1b[4A"), "up to where it began");
        assert!(second.contains("hr:0       -\x1b[K\nno answer\x1b[K\n"), "{second:?}");
        assert!(screen.draw(&rows, window).starts_with("\x1b[5A"));
        let resized = Window { lines: 24, columns: 20 };
        assert!(screen.draw(&rows, resized).starts_with("\x1b[H\x1b[2J"), "where the lines are now nobody knows");
    }

    #[test]
    fn the_table_fits_into_the_window() {
        let mut rows: Vec<_> = (0..40).map(|n| row(&format!("hr:{n}"), Value::U16(n), "")).collect();
        rows[0].error = Some("cannot connect to tcp://127.0.0.1:15900: Connection refused".to_owned());
        let drawn = |lines, columns| fit(&render(&rows), &rows, Window { lines, columns });
        assert_eq!(drawn(usize::MAX, usize::MAX).len(), 42);
        let small = drawn(10, 30);
        assert_eq!(small.len(), 9);
        assert!(small[0].starts_with("NAME ") && small[1].starts_with("hr:0 "), "{small:?}");
        assert_eq!(small[5], "... and 36 more: the window i…");
        assert_eq!(small[6..], ["cannot connect to", "tcp://127.0.0.1:15900:", "Connection refused"]);
        assert!(small.iter().all(|line| line.chars().count() <= 30), "{small:?}");
        for (lines, columns) in [(0, 0), (1, 1), (2, 3), (3, 2)] {
            assert!(drawn(lines, columns).len() <= lines.saturating_sub(1).max(2));
        }
    }

    #[test]
    fn steps_and_ages_are_short() {
        let table = [
            (Value::U16(5), Value::U16(3), "-2"),
            (Value::U64(0), Value::U64(u64::MAX), "+18446744073709551615"),
            (Value::F32(21.4), Value::F32(21.5), "+0.1"),
            (Value::F32(21.87), Value::F32(21.88), "+0.01"),
            (Value::F64(1000.0), Value::F64(2500.5), "+1500"),
            (Value::F64(0.0), Value::F64(f64::NAN), "+NaN"),
            (Value::Bit(false), Value::Bit(true), ""),
        ];
        for (before, now, shown) in table {
            assert_eq!(step(&before, &now), shown.replace("+NaN", "NaN"), "{before:?} {now:?}");
        }
        let ages = [(500, "0.5 s"), (119_900, "119.9 s"), (125_000, "2 min"), (7_300_000, "2 h")];
        for (milliseconds, shown) in ages {
            assert_eq!(age(Some(Duration::from_millis(milliseconds))), shown);
        }
    }
}
