//! Everything that a person or a script sees. Results go to standard output, all else to standard error.

use std::io::{self, Write as _};

use tracing_subscriber::filter::LevelFilter;

use crate::failure::Failure;

/// Writes `text` to standard output at once, so that a script that waits for it sees it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a sentence to standard error. There is nobody left to tell when that fails.
pub(crate) fn complain(sentence: &str) {
    let _ = writeln!(io::stderr().lock(), "dinrail: {sentence}");
}

/// Sends the log to standard error: nothing but warnings, or with `-v` and `-vv` more.
pub(crate) fn log(verbosity: u8) {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(false).init();
}
