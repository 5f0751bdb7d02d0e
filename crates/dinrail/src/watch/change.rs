//! What is told of a point: its value, how good that is, and since when.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::point::Point;
use crate::proto::value::Value;
use crate::{Error, ExceptionCode};

/// The state of a point after it has changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The point's number: points are counted from 0 in the order in which they were given to the watch.
    pub index: usize,
    /// The point.
    pub point: Arc<Point>,
    /// Its value as it was read last; `None` when it never was, or when the device has it no more.
    pub value: Option<Value>,
    /// How good the value is.
    pub quality: Quality,
    /// When it became so.
    pub time: SystemTime,
    /// The same on the monotonic clock.
    pub at: Instant,
    /// When it was read last, whether or not it had changed.
    pub read: Option<Instant>,
}

impl Change {
    /// How long ago the value was read.
    pub fn age(&self) -> Option<Duration> {
        // Tokio's clock, which tests can stop.
        self.read.map(|read| tokio::time::Instant::now().into_std().saturating_duration_since(read))
    }
}

/// How good a value is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Quality {
    /// It was read when it was last to be.
    Good,
    /// It was read once, and could not be since: the device is away, silent or busy.
    Stale(Error),
    /// There is none: the device refuses the point, or has never answered.
    Bad(Error),
}

impl Quality {
    /// What it means that a point could not be read, of which a value is known or not.
    pub(super) fn after(error: Error, has_value: bool) -> Self {
        match error {
            Error::Exception(
                ExceptionCode::Acknowledge
                | ExceptionCode::ServerDeviceBusy
                | ExceptionCode::GatewayPathUnavailable
                | ExceptionCode::GatewayTargetFailedToRespond,
            ) if has_value => Self::Stale(error),
            Error::Exception(_) | Error::Point { .. } | Error::Invalid(_) => Self::Bad(error),
            _ if has_value => Self::Stale(error),
            _ => Self::Bad(error),
        }
    }

    /// Whether the value is as the device has it.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good)
    }

    /// Why it is not good.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Good => None,
            Self::Stale(error) | Self::Bad(error) => Some(error),
        }
    }

    /// Whether another one tells nothing new. Errors of the network change their texts as they go on.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let exception = |quality: &Self| quality.error().and_then(Error::exception);
        std::mem::discriminant(self) == std::mem::discriminant(other) && exception(self) == exception(other)
    }
}

/// `good`, `stale` or `bad`.
impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Stale(_) => "stale",
            Self::Bad(_) => "bad",
        })
    }
}

/// `level [m] = 1.5`, with the quality and the error behind it if it is not good.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}", self.point)?,
            None => write!(f, "{} is unknown", self.point)?,
        }
        match self.quality.error() {
            Some(error) => write!(f, " ({}: {error})", self.quality),
            None => Ok(()),
        }
    }
}
