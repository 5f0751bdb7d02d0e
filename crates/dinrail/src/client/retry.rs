//! What a client asks again by itself.

use std::time::Duration;

use super::Backoff;
use crate::Error;
use crate::proto::ExceptionCode;

/// What is asked again after a failure, how often, how long after, and when it has taken long enough.
///
/// A request that was certainly not sent may always be sent again. One that was sent and got no answer is sent again
/// only when it reads: a write might be done twice, so it is repeated only with [`with_writes`](Self::with_writes).
///
/// ```
/// use std::time::Duration;
/// use dinrail::client::{Options, Retry};
///
/// // Four tries at most, and an answer or an error within three seconds whatever happens.
/// let options = Options::default().with_retry(Retry::attempts(4).with_deadline(Duration::from_secs(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// How often a request is sent at most; 1 is no retry.
    pub attempts: u32,
    /// How long to wait between.
    pub backoff: Backoff,
    /// When a call is over, from its beginning on, with all its tries and waits: the try that is on its way is given up
    /// then. `None`, the default, for as long as the attempts take.
    pub deadline: Option<Duration>,
    /// Whether to ask again when there was no connection: nothing was sent. Default true.
    pub unconnected: bool,
    /// Whether to ask again when no answer came, or the connection was lost before it did. Default true.
    pub unanswered: bool,
    /// The exceptions after which to ask again. Default 06, device busy, and 0x0B, a gateway's device did not answer.
    pub exceptions: &'static [ExceptionCode],
    /// Whether writes are repeated that may have been done: after no answer, and after all exceptions but 06 and 0x0A.
    /// Default false.
    pub writes: bool,
}

impl Retry {
    /// Nothing is asked again.
    pub const fn none() -> Self {
        Self::attempts(1)
    }

    /// Up to this many tries in all, with waits from 50 ms doubling to 1 s between them, each shortened at random by up to
    /// half so that many clients do not come back at once.
    pub const fn attempts(attempts: u32) -> Self {
        Self {
            attempts,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(1)).with_jitter(),
            deadline: None,
            unconnected: true,
            unanswered: true,
            exceptions: &[ExceptionCode::ServerDeviceBusy, ExceptionCode::GatewayTargetFailedToRespond],
            writes: false,
        }
    }

    /// Sets the waits.
    #[must_use]
    pub const fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets [`deadline`](Self::deadline).
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets [`unconnected`](Self::unconnected).
    #[must_use]
    pub const fn with_unconnected(mut self, unconnected: bool) -> Self {
        self.unconnected = unconnected;
        self
    }

    /// Sets [`unanswered`](Self::unanswered).
    #[must_use]
    pub const fn with_unanswered(mut self, unanswered: bool) -> Self {
        self.unanswered = unanswered;
        self
    }

    /// Sets [`exceptions`](Self::exceptions).
    #[must_use]
    pub const fn with_exceptions(mut self, exceptions: &'static [ExceptionCode]) -> Self {
        self.exceptions = exceptions;
        self
    }

    /// Sets whether writes that may have been done are repeated: only for writes that may be done twice.
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
            Error::Connect { .. } => self.unconnected,
            Error::Timeout { .. } | Error::Lost { .. } => self.unanswered && repeatable,
            Error::Exception(code) => self.exceptions.contains(code) && (repeatable || nothing_was_done(error)),
            _ => false,
        }
    }
}

/// Whether the error of a try says so by itself: nothing was sent, or it is an exception that means it whatever the device
/// (AP 7): it is busy, or no gateway has passed the request on.
pub(super) fn nothing_was_done(error: &Error) -> bool {
    match error {
        Error::Connect { .. } | Error::Closed { sent: false } => true,
        Error::Exception(code) => {
            matches!(*code, ExceptionCode::ServerDeviceBusy | ExceptionCode::GatewayPathUnavailable)
        }
        _ => false,
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::none()
    }
}
