//! What came of starting the servers of a file, and of changing over to another one.

use std::fmt;
use std::sync::Arc;

use dinrail::server::Failed;

/// Why servers were not started, or not changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NotStarted {
    /// A server cannot be started.
    Server(Failed),
    /// No server can be started, where [some would have done](crate::Servers::start_what_can); there is one at least.
    Every(Vec<Failed>),
    /// The figures cannot be shown at the address that was asked for.
    Metrics(dinrail::Error),
}

impl From<Failed> for NotStarted {
    fn from(failed: Failed) -> Self {
        Self::Server(failed)
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(failed) => failed.fmt(f),
            Self::Every(failed) => {
                let all: Vec<_> = failed.iter().map(Failed::to_string).collect();
                f.write_str(&all.join("; "))
            }
            Self::Metrics(error) => write!(f, "metrics: {error}"),
        }
    }
}

impl std::error::Error for NotStarted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(failed) => failed.source(),
            Self::Every(failed) => failed.first().and_then(Failed::source),
            Self::Metrics(error) => Some(error),
        }
    }
}

/// What a change of plan did, by the names of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Servers that are new.
    pub added: Vec<Arc<str>>,
    /// Servers that are gone.
    pub removed: Vec<Arc<str>>,
    /// Servers that were stopped and started again, since they listen in another way or with other options.
    pub restarted: Vec<Arc<str>>,
    /// Servers that could not be started before and run now.
    pub started: Vec<Arc<str>>,
    /// Servers whose data, identity or rules are others now; their connections are as they were.
    pub changed: Vec<Arc<str>>,
    /// Servers whose certificates were read again; their connections are as they were.
    pub renewed: Vec<Arc<str>>,
    /// Whether figures are shown at another address now, or no more.
    pub metrics: bool,
}

impl Changes {
    /// Whether everything is as it was.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("restarted", &self.restarted),
            ("started", &self.started),
            ("changed", &self.changed),
            ("certificates renewed of", &self.renewed),
        ];
        let mut said: Vec<_> = all
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        said.extend(self.metrics.then(|| "the address of metrics changed".to_owned()));
        f.write_str(if said.is_empty() { "nothing has changed" } else { "" })?;
        f.write_str(&said.join("; "))
    }
}
