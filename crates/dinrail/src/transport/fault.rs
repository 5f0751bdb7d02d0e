//! Errors of the system in words that say what to do, where the system's own name neither the thing nor the mend.

use std::fmt;
use std::io;

/// What is said in place of the system's own words.
#[derive(Debug)]
struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// An error that says all there is to say.
pub(crate) fn fault(kind: io::ErrorKind, what: impl Into<String>) -> io::Error {
    io::Error::new(kind, Fault(what.into()))
}

/// Whether it does: then no hint is to follow.
pub(crate) fn says_all(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Fault>())
}
