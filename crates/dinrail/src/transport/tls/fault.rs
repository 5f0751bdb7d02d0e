//! What a handshake fails for, in sentences that say what to do about it.

use std::error::Error as StdError;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as Rustls, InvalidMessage, PeerIncompatible};

/// The same error with a sentence in place of what rustls calls it. Its kind is `InvalidData`, as rustls has it; errors
/// that are not of TLS stay as they are.
pub(super) fn explain(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return io::Error::new(error.kind(), "the peer cut the connection without the end that TLS prescribes");
    }
    let inner: Option<&(dyn StdError + Send + Sync + 'static)> = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<Rustls>()) {
        Some(rustls) => refuse(sentence(rustls)),
        None => error,
    }
}

/// As [`explain`], for errors of a handshake: until it is done, an end of the connection is no end that TLS knows.
pub(super) fn explain_handshake(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            io::Error::new(error.kind(), "the peer closed the connection within the TLS handshake")
        }
        _ => explain(error),
    }
}

/// Certificates that do not please us after the handshake.
pub(super) fn refuse(sentence: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, sentence.into())
}

fn sentence(error: &Rustls) -> String {
    let known = match error {
        Rustls::AlertReceived(alert) => alerted(*alert),
        Rustls::InvalidCertificate(error) => return certificate(error),
        Rustls::NoCertificatesPresented => "the peer shows no certificate, and one is required",
        Rustls::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            "the peer does not speak TLS: is it plain Modbus TCP?"
        }
        Rustls::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon,
        ) => NOTHING_IN_COMMON,
        Rustls::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "the peer speaks no version of TLS that is spoken here: 1.2 or 1.3",
        _ => return format!("TLS failed: {error}"),
    };
    known.to_owned()
}

const NOTHING_IN_COMMON: &str = "no cipher suite in common: here it is TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM or \
                                 ChaCha20-Poly1305";

fn alerted(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => "the peer requires a certificate: give one, with its key",
        AlertDescription::UnknownCA => "the peer does not know the CA of our certificate",
        AlertDescription::CertificateExpired => "the peer says that our certificate has expired or is not valid yet",
        AlertDescription::CertificateRevoked => "the peer says that our certificate has been revoked",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => {
            "the peer refuses our certificate: is it made for this side, and has it one role at most?"
        }
        AlertDescription::ProtocolVersion => "the peer speaks no version of TLS that is spoken here: 1.2 or 1.3",
        AlertDescription::HandshakeFailure => {
            "the peer refuses the handshake: it requires a certificate, or there is no cipher suite in common (TLS 1.3, \
             or TLS 1.2 with ECDHE and AES-GCM or ChaCha20-Poly1305)"
        }
        AlertDescription::InsufficientSecurity => NOTHING_IN_COMMON,
        AlertDescription::UnrecognisedName => "the peer does not know the name it was asked for: set the server name",
        AlertDescription::DecryptError => {
            "the peer cannot verify our certificate: it knows another CA of the same name, perhaps one from before"
        }
        _ => "the peer ended the handshake with an alert that says no more",
    }
}

pub(super) fn certificate(error: &CertificateError) -> String {
    let sentence = match error {
        CertificateError::UnknownIssuer => {
            "the peer's certificate is of a CA that is not known here: name the file of its CA"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the peer's certificate has expired: renew it, or set this machine's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the peer's certificate is not valid yet: are the clocks right?"
        }
        CertificateError::BadSignature => {
            "the peer's certificate is not signed by the CA that is known here, only by one of the same name: name the \
             file of the right one"
        }
        CertificateError::Revoked => "the peer's certificate has been revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the peer's certificate is not made for its side: extendedKeyUsage must be serverAuth for servers and \
             clientAuth for clients"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            return format!("{error}; connect by one of its names, or set the server name");
        }
        CertificateError::Other(other) => match other.0.to_string() {
            why if why.contains("UnsupportedCertVersion") => {
                return "the certificate is of X.509 version 1: issue one of version 3, with a subjectAltName"
                    .to_owned();
            }
            why if why.contains("CaUsedAsEndEntity") => {
                return "the peer's certificate is one of a CA: issue one for the peer itself, with CA:FALSE"
                    .to_owned();
            }
            why => return format!("the peer's certificate cannot be accepted: {why}"),
        },
        _ => return format!("the peer's certificate cannot be accepted: {error}"),
    };
    sentence.to_owned()
}
