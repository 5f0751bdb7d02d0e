//! Why a callback or a model did not do what was asked.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

use tracing::error;

use super::{Peer, Reply};
use crate::Error;
use crate::proto::{ExceptionCode, UnitId};

/// Why a request was not done: an exception that is meant, or an error that is not.
///
/// Any error turns into a `Failure` with `?`. An [`ExceptionCode`] is answered as it is. An [`Error`] of a
/// [`Client`](crate::Client) is answered as a gateway would: the device's exception, 0x0A when there is no connection,
/// 0x0B when the device did not answer. Every other error is logged at ERROR on target `dinrail::server`, and the client
/// is told 0x04, server device failure.
pub enum Failure {
    /// Answered as it is, not logged.
    Exception(ExceptionCode),
    /// Logged, and answered with 0x04.
    Error(Box<dyn StdError + Send + Sync>),
}

impl Failure {
    /// A failure that is logged with this text and answered with 0x04.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Error(text.into().into())
    }

    /// The exception that the client is told.
    pub fn exception(&self) -> ExceptionCode {
        match self {
            Self::Exception(code) => *code,
            Self::Error(_) => ExceptionCode::ServerDeviceFailure,
        }
    }

    /// Logs what was not meant, and turns into the reply.
    pub(crate) fn into_reply(self, unit: UnitId, peer: &Peer, pdu: &[u8]) -> Reply {
        if let Self::Error(error) = &self {
            let function = pdu.first().copied().unwrap_or_default();
            error!(
                target: "dinrail::server",
                server = peer.server.as_deref().map(tracing::field::display), %peer, %unit,
                function, error = error.as_ref() as &dyn StdError,
                "the service failed: answered with exception 0x04"
            );
        }
        Reply::Exception(self.exception())
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        if let Some(code) = any.downcast_ref::<ExceptionCode>() {
            return Self::Exception(*code);
        }
        match any.downcast_ref::<Error>().and_then(Error::as_gateway_exception) {
            Some(code) => Self::Exception(code),
            None => Self::Error(Box::new(error)),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exception(code) => write!(f, "Failure({code})"),
            Self::Error(error) => write!(f, "Failure({error})"),
        }
    }
}
