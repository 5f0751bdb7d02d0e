//! TLS, and what Modbus Security asks of it (SEC): TLS 1.2 with forward secrecy and authenticated encryption, or TLS 1.3;
//! certificates on both sides; the role in a certificate.
//!
//! [`Tls`] is the client's side, [`ServerTls`] the server's; both read PEM files or take a configuration of rustls as it
//! is. What a handshake fails for is told in sentences ([`fault`]).

use tokio_rustls::rustls::{SupportedProtocolVersion, version};

mod client;
mod fault;
mod pem;
mod role;
mod server;
mod stream;

pub use self::client::Tls;
pub(crate) use self::server::part;
pub use self::server::{ClientAuth, ServerTls, TlsOptions};
pub use self::stream::TlsStream;
use crate::Error;

/// The port that IANA has given to Modbus Security (SEC R-01).
pub(crate) const PORT: u16 = 802;

/// The oldest version of TLS that is spoken. There is none below 1.2 (SEC R-34).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, with suites that have forward secrecy and authenticated encryption; and 1.3.
    #[default]
    V1_2,
    /// TLS 1.3 alone.
    V1_3,
}

impl TlsVersion {
    /// This version and newer ones.
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self {
            Self::V1_2 => &VERSIONS,
            Self::V1_3 => &VERSIONS[..1],
        }
    }
}

/// A certificate, a key or a setting that cannot be used.
fn unusable(sentence: impl Into<std::sync::Arc<str>>) -> Error {
    Error::Tls(sentence.into())
}
