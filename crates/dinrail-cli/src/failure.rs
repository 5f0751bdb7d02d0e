//! How a command ends when it does not end well: a sentence for a person and an exit code for a script.

use std::fmt;
use std::io;

use dinrail::Error;

/// Why a command failed. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The device refused, or does not hold what was written.
    Refused(String),
    /// The command line asks for something that cannot be.
    Usage(String),
    /// Nobody there, or nobody answering; or no place to listen.
    Unreachable(String),
    /// A write was sent and nobody knows what became of it.
    Unknown(String),
    /// The system has no room on the disk, or no file descriptor left. What was asked for may have been done.
    System(String),
    /// Ctrl-C, where the command had something to finish first.
    Interrupted,
    /// Whoever read our output wants no more of it, as `head` does; no reason to complain.
    ReaderGone,
}

impl Failure {
    /// What it means that reading at `place` failed.
    pub(crate) fn of_read(place: impl fmt::Display, error: &Error) -> Self {
        let sentence = format!("{place}: {error}");
        match error {
            // The error's own text does not know that nothing was to be written.
            Error::Exception(code) => Self::Refused(format!("{place}: the device refused: exception {code}")),
            Error::Invalid(_) | Error::Option(_) => Self::Usage(sentence),
            _ => Self::Unreachable(sentence),
        }
    }

    /// What it means that writing at `place` failed.
    pub(crate) fn of_write(place: impl fmt::Display, error: &Error) -> Self {
        if error.outcome_unknown() { Self::Unknown(format!("{place}: {error}")) } else { Self::of_read(place, error) }
    }

    /// As `dinrail --help` documents them.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Unknown(_) => 4,
            Self::System(_) => 5,
            Self::Interrupted => 130,
        }
    }

    /// The sentence for standard error, if there is anything to say.
    pub(crate) fn sentence(&self) -> Option<&str> {
        match self {
            Self::Refused(text)
            | Self::Usage(text)
            | Self::Unreachable(text)
            | Self::Unknown(text)
            | Self::System(text) => Some(text),
            Self::Interrupted | Self::ReaderGone => None,
        }
    }
}

impl Failure {
    /// What it means that standard output could not be written.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::System(format!("standard output cannot be written: {error}")),
        }
    }
}

/// Of what every command needs from the system: threads, signals, sockets.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(format!("the system refuses: {error}"))
    }
}
