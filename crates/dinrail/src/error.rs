//! Everything that can go wrong, in one flat enum; each message says what to do.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::proto::client::Mismatch;
use crate::proto::error::EncodeError;
use crate::proto::value::ValueError;
use crate::proto::{ExceptionCode, FunctionCode};
use crate::transport::says_all;

/// Why a call, a connection or a server failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The device refused the request; nothing was done.
    Exception(ExceptionCode),
    /// The request was sent, and no answer came in time.
    Timeout {
        /// Who did not answer.
        peer: Arc<str>,
        /// What was asked.
        function: FunctionCode,
        /// How long was waited for each try.
        after: Duration,
        /// What came instead of an answer, if anything did.
        instead: Option<Mismatch>,
        /// Whether the request may have changed something: it was no read.
        may_write: bool,
    },
    /// There is no connection, and none could be made; or it ended, or was other calls', before a byte of the request had
    /// left. The request was not sent.
    Connect {
        /// Where to.
        peer: Arc<str>,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The connection ended after some of the request was sent and before the answer came.
    Lost {
        /// Who was asked.
        peer: Arc<str>,
        /// What was asked.
        function: FunctionCode,
        /// What the system says; `None` when the peer closed the connection.
        source: Option<Arc<io::Error>>,
        /// Whether the request may have changed something: it was no read.
        may_write: bool,
    },
    /// The request is not allowed by the specification and was not sent.
    Invalid(EncodeError),
    /// The client was closed; the request was not sent, or its outcome is unknown.
    Closed {
        /// Whether the request may have reached the device.
        sent: bool,
    },
    /// A value that a point does not hold, or a point whose type is none; nothing was sent.
    Point {
        /// The point's name.
        name: Arc<str>,
        /// What is wrong.
        source: ValueError,
    },
    /// A server cannot listen on its address.
    Bind {
        /// The address as it was given.
        address: Arc<str>,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// A serial port that was served is gone, and its server with it: it was not to
    /// [wait for the port](crate::server::Options::reconnect).
    Gone {
        /// The port, as a URL.
        port: Arc<str>,
    },
    /// Somebody serves this server already, and waits for its end.
    AlreadyServing {
        /// Where it listens, as a URL.
        address: Arc<str>,
    },
    /// A certificate, a private key or a TLS setting cannot be used; the sentence names it and the mend.
    Tls(Arc<str>),
    /// Rules of who may do what cannot be used; the sentence names the place and the mend.
    Rules(Arc<str>),
    /// Points that cannot be served together; the sentence names them and the mend.
    Points(Arc<str>),
    /// An option has a value that cannot be; the text names both.
    Option(&'static str),
    /// The system refused something else.
    Io(Arc<io::Error>),
}

impl Error {
    /// The device's exception, if that is what it is.
    pub fn exception(&self) -> Option<ExceptionCode> {
        match self {
            Self::Exception(code) => Some(*code),
            _ => None,
        }
    }

    /// Whether no answer came in time.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether a write may or may not have been done: it was sent, and nobody knows what became of it. Never when no byte of
    /// it has left; of a call that is tried again, when that is so of any try. A function of your
    /// own counts as a write, and so does FC 43 of another type than 14. Asked of a write's error; exception 0x0B, a
    /// gateway's "target failed to respond", does not tell a read from a write.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Timeout { may_write, .. } | Self::Lost { may_write, .. } => *may_write,
            Self::Closed { sent } => *sent,
            Self::Exception(code) => *code == ExceptionCode::GatewayTargetFailedToRespond,
            _ => false,
        }
    }

    /// What a gateway tells its own client: the device's exception, 0x0A without a connection, 0x0B without an answer;
    /// `None` for an error that is not the device's.
    pub fn as_gateway_exception(&self) -> Option<ExceptionCode> {
        match self {
            Self::Exception(code) => Some(*code),
            Self::Timeout { .. } | Self::Lost { .. } | Self::Closed { sent: true } => {
                Some(ExceptionCode::GatewayTargetFailedToRespond)
            }
            Self::Connect { .. } | Self::Closed { sent: false } => Some(ExceptionCode::GatewayPathUnavailable),
            Self::Invalid(_)
            | Self::Point { .. }
            | Self::Bind { .. }
            | Self::Gone { .. }
            | Self::AlreadyServing { .. }
            | Self::Tls(_)
            | Self::Rules(_)
            | Self::Points(_)
            | Self::Option(_)
            | Self::Io(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exception(code) => write!(f, "the device refused: exception {code}")?,
            Self::Timeout { peer, function, after, instead, .. } => {
                write!(f, "no answer from {peer} to {function} within {after:?}")?;
                if let Some(instead) = instead {
                    write!(f, "; what came instead: {instead}")?;
                }
            }
            Self::Connect { peer, source } => {
                write!(f, "cannot connect to {peer}: {source}")?;
                // Refusals of TLS, and what is said in our own words, say themselves what to do.
                if source.kind() != io::ErrorKind::InvalidData && !says_all(source) {
                    f.write_str("; is the device on, and are host and port right?")?;
                }
            }
            Self::Lost { peer, function, source, .. } => {
                write!(f, "the connection to {peer} ended before the answer to {function} came")?;
                if let Some(source) = source {
                    write!(f, ": {source}")?;
                }
            }
            Self::Invalid(error) => write!(f, "not sent: {error}")?,
            Self::Point { name, source } => write!(f, "point {name}: {source}")?,
            Self::Closed { sent: false } => f.write_str("not sent: the client is closed; make a new one")?,
            Self::Closed { sent: true } => f.write_str("the client was closed before the answer came")?,
            Self::Bind { address, source } => {
                write!(f, "cannot listen on {address}: {source}")?;
                match source.kind() {
                    _ if says_all(source) => {}
                    io::ErrorKind::AddrInUse => {
                        f.write_str("; another program listens there: stop it or take another port")?
                    }
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; ports below 1024 need rights: take another port or grant CAP_NET_BIND_SERVICE")?;
                    }
                    io::ErrorKind::AddrNotAvailable => f.write_str("; this machine does not have that address")?,
                    _ => {}
                }
            }
            Self::Gone { port } => write!(
                f,
                "{port} is gone, and the server has ended; start it again when the port is back, or set the server's \
                 option reconnect to have it wait"
            )?,
            Self::AlreadyServing { address } => write!(
                f,
                "the server on {address} is being served already: stop it first, or wait for the serve that is under way"
            )?,
            Self::Tls(sentence) | Self::Rules(sentence) | Self::Points(sentence) => f.write_str(sentence)?,
            Self::Option(what) => f.write_str(what)?,
            Self::Io(source) => fmt::Display::fmt(source, f)?,
        }
        // An exception says what it means; what was asked is not known here.
        let unknown = self.outcome_unknown() && self.exception().is_none();
        if unknown { f.write_str("; whether the write was done is unknown") } else { Ok(()) }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Exception(code) => Some(code),
            Self::Connect { source, .. } | Self::Bind { source, .. } | Self::Io(source) => Some(source.as_ref()),
            Self::Lost { source, .. } => source.as_deref().map(|source| source as _),
            Self::Invalid(error) => Some(error),
            Self::Point { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<ExceptionCode> for Error {
    fn from(code: ExceptionCode) -> Self {
        Self::Exception(code)
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self::Invalid(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}
