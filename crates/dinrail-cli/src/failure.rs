//! How a command ends when it does not end well: a sentence for a person and an exit code for a script.

use std::io;

/// Why a command failed. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The device refused, or does not hold what was written.
    Refused(String),
    /// Nobody there, or nobody answering; or no place to listen.
    Unreachable(String),
    /// Ctrl-C, where the command had something to finish first.
    Interrupted,
    /// Whoever read our output wants no more of it, as `head` does; no reason to complain.
    ReaderGone,
}

impl Failure {
    /// As `dinrail --help` documents them.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Refused(_) => 1,
            Self::Unreachable(_) => 3,
            Self::Interrupted => 130,
        }
    }

    /// The sentence for standard error, if there is anything to say.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Refused(text) | Self::Unreachable(text) => Some(text),
            Self::Interrupted | Self::ReaderGone => None,
        }
    }
}

/// Standard output is all that the commands write to.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Refused(format!("the output cannot be written: {error}")),
        }
    }
}
