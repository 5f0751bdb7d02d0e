//! Everything that a person or a script sees. Results go to standard output, all else to standard error.

mod exchanges;
mod readings;
mod watched;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::filter::LevelFilter;

pub(crate) use self::exchanges::Exchanges;
pub(crate) use self::readings::{JsonValue, Readings, Row, failed_reading, json_value, timestamp};
pub(crate) use self::watched::{Screen, WatchedRow, Window, change_json, change_line};
use crate::failure::Failure;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Aligned columns with a heading, for a terminal.
    Table,
    /// One bare value a line, for pipes.
    Lines,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// What the user asked for, or else what fits where standard output goes.
    pub(crate) fn chosen(json: bool) -> Self {
        match (json, io::stdout().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Table,
            (false, false) => Self::Lines,
        }
    }
}

/// Writes `text` to standard output at once, so that a script that waits for it sees it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::of_output(&error))
}

/// Shows what was asked for, help or the version, or what is wrong with the command line; the exit code.
pub(crate) fn show_usage(message: &clap::Error) -> ExitCode {
    let code = u8::try_from(message.exit_code()).unwrap_or(u8::MAX).into();
    let shown = message.print().and_then(|()| io::stdout().flush());
    match shown.map_err(|error| Failure::of_output(&error)) {
        Err(failure) if !message.use_stderr() => {
            if let Some(sentence) = failure.sentence() {
                complain(sentence);
            }
            failure.exit_code().into()
        }
        _ => code,
    }
}

/// Writes a sentence to standard error. There is nobody left to tell when that fails.
pub(crate) fn complain(sentence: &str) {
    if IS_JSON.load(Ordering::Relaxed) {
        return tracing::error!("{sentence}");
    }
    let _ = writeln!(io::stderr().lock(), "dinrail: {sentence}");
}

/// Shows on standard error what is wrong with a file, in colours if that is a terminal that wants them.
pub(crate) fn show_problems(render: impl FnOnce(bool) -> String) {
    if IS_JSON.load(Ordering::Relaxed) {
        return tracing::error!("{}", render(false));
    }
    let mut err = io::stderr().lock();
    let colours = err.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let _ = writeln!(err, "{}\n", render(colours));
}

/// Writes over the present line of standard error, if that is a terminal.
pub(crate) fn progress(text: &str) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r{text}\x1b[K").and_then(|()| err.flush());
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line a record, for people.
    Text,
    /// A JSON object a record, for what gathers logs.
    Json,
}

/// Whether standard error is a log of JSON objects, and nothing else may stand there.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Sends the log to standard error: nothing but warnings, with `-v` requests too, with `-vv` every byte.
pub(crate) fn log(verbosity: u8, format: LogFormat) {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(false);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        // Fields stand beside the message, where programs look for them.
        LogFormat::Json => {
            IS_JSON.store(true, Ordering::Relaxed);
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
    }
}
