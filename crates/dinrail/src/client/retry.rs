//! What a client asks again by itself.

use std::time::Duration;

use super::Backoff;
use crate::Error;
use crate::proto::ExceptionCode;

/// What is asked again after a failure, how often, and how long after.
///
/// A request that was certainly not sent may always be sent again. One that was sent and got no answer is sent again
/// only when it reads: a write might be done twice, so it is repeated only with [`with_writes`](Self::with_writes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// How often a request is sent at most; 1 is no retry.
    pub attempts: u32,
    /// How long to wait between.
    pub backoff: Backoff,
    /// Whether a device that is busy (exception 06, nothing was done) is asked again.
    pub busy: bool,
    /// Whether writes whose outcome is unknown are repeated.
    pub writes: bool,
}

impl Retry {
    /// Nothing is asked again.
    pub const fn none() -> Self {
        Self::attempts(1)
    }

    /// Up to this many tries in all, with waits from 50 ms doubling to 1 s between them; a busy device is asked again.
    pub const fn attempts(attempts: u32) -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        Self { attempts, backoff, busy: true, writes: false }
    }

    /// Sets the waits.
    #[must_use]
    pub const fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets whether a busy device is asked again.
    #[must_use]
    pub const fn with_busy(mut self, busy: bool) -> Self {
        self.busy = busy;
        self
    }

    /// Sets whether writes whose outcome is unknown are repeated: only for writes that may be done twice.
    #[must_use]
    pub const fn with_writes(mut self, writes: bool) -> Self {
        self.writes = writes;
        self
    }

    /// How long to wait before asking again after `tries` tries, if that is to be done at all.
    pub(super) fn after(&self, tries: u32, reads: bool, error: &Error) -> Option<Duration> {
        let again = tries < self.attempts && self.allows(reads, error);
        again.then(|| self.backoff.wait(tries - 1))
    }

    fn allows(&self, reads: bool, error: &Error) -> bool {
        let repeatable = self.writes || reads;
        match error {
            Error::Connect { .. } => true,
            Error::Timeout { .. } | Error::Lost { .. } => repeatable,
            Error::Exception(ExceptionCode::ServerDeviceBusy) => self.busy,
            Error::Exception(ExceptionCode::GatewayTargetFailedToRespond) => repeatable,
            _ => false,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::none()
    }
}
