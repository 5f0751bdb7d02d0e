//! The role in a certificate: one extension 1.3.6.1.4.1.50316.802.1 that holds one UTF8String (SEC ).

use std::fmt;
use std::sync::Arc;

use x509_parser::asn1_rs::{FromDer as _, Utf8String};
use x509_parser::certificate::X509Certificate;

/// 1.3.6.1.4.1.50316.802.1 in DER.
const ROLE: [u8; 11] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0x89, 0x0c, 0x86, 0x22, 0x01];

/// Why a certificate's role is not to be trusted. There is no guessing: such a certificate is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoleFault {
    Unreadable,
    Several,
    NoUtf8String,
    Trailing,
    Empty,
}

impl fmt::Display for RoleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "the certificate cannot be taken apart to look for its role",
            Self::Several => {
                "the certificate has more than one role extension (1.3.6.1.4.1.50316.802.1): it must be one"
            }
            Self::NoUtf8String => "the role in the certificate is no UTF8String: issue it with that type",
            Self::Trailing => "there are bytes behind the role in the certificate's extension",
            Self::Empty => "the role in the certificate is empty: leave the extension out or name a role",
        })
    }
}

impl std::error::Error for RoleFault {}

/// The role of a certificate in DER; `None` when it has none (SEC R-23).
pub(super) fn role_of(certificate: &[u8]) -> Result<Option<Arc<str>>, RoleFault> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| RoleFault::Unreadable)?;
    let mut roles = certificate.extensions().iter().filter(|extension| extension.oid.as_bytes() == ROLE);
    let Some(extension) = roles.next() else { return Ok(None) };
    if roles.next().is_some() {
        return Err(RoleFault::Several);
    }
    let (behind, role) = Utf8String::from_der(extension.value).map_err(|_| RoleFault::NoUtf8String)?;
    match role.string() {
        _ if !behind.is_empty() => Err(RoleFault::Trailing),
        role if role.is_empty() => Err(RoleFault::Empty),
        role => Ok(Some(role.into())),
    }
}
