//! Certificates and private keys from PEM files, with errors that name the file and the mend.

use std::fmt;
use std::fs;
use std::path::Path;

use pkcs8::der::pem::PemLabel as _;
use pkcs8::{EncryptedPrivateKeyInfoOwned, EncryptedPrivateKeyInfoRef, SecretDocument};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::unusable;
use crate::Error;

/// A password that no log shows.
#[derive(Clone)]
pub(super) struct Password(String);

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Every certificate in a file, in order.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(path, "certificate")?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let path = path.display();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(unusable(format!(
            "{path} holds no certificate: it must be PEM, with -----BEGIN CERTIFICATE-----; \
             openssl x509 -inform der -in {path} makes that of a DER file"
        ))),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(format!("the certificate {path} is damaged: {error}"))),
    }
}

/// The private key in a file: PKCS#8, PKCS#1 (RSA) or SEC1 (EC); encrypted only as PKCS#8 with PBES2.
pub(super) fn key(path: &Path, password: Option<&Password>) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = read(path, "private key")?;
    let text = String::from_utf8_lossy(&bytes);
    let path = path.display();
    if let Some(section) = encrypted_section(&text) {
        let Some(Password(password)) = password else {
            return Err(unusable(format!("the private key {path} is encrypted: give its password")));
        };
        return decrypt(section, password).map_err(|fault| match fault {
            Fault::Damaged => unusable(format!("the private key {path} is damaged: it is no encrypted PKCS#8 key")),
            Fault::Password => unusable(format!("the password does not open the private key {path}")),
            Fault::Old => old_encryption(&path),
        });
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(old_encryption(&path));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        unusable(match error {
            tokio_rustls::rustls::pki_types::pem::Error::NoItemsFound => {
                format!("{path} holds no private key: it must be PEM, with -----BEGIN PRIVATE KEY-----")
            }
            error => format!("the private key {path} is damaged: {error}"),
        })
    })
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| unusable(format!("cannot read the {what} {}: {error}", path.display())))
}

fn old_encryption(path: &impl fmt::Display) -> Error {
    unusable(format!(
        "the private key {path} is encrypted in an old way that is not read (PBES1, DES, 3DES or \"Proc-Type: \
         4,ENCRYPTED\"); convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in {path} -out {path}.new (with \
         -provider legacy -provider default where OpenSSL 3 says unsupported)"
    ))
}

/// From the first line of an encrypted key to its last.
fn encrypted_section(text: &str) -> Option<&str> {
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let section = &text[text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----")?..];
    let end = section.find(END).map_or(section.len(), |end| end + END.len());
    Some(&section[..end])
}

/// How the algorithms of PKCS#5 (1.2.840.113549.1.5) and PKCS#12 (1.2.840.113549.1.12.1) begin in DER.
const OLD: [&[u8]; 2] = [
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05],
    &[0x06, 0x0a, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01],
];

enum Fault {
    Damaged,
    Password,
    Old,
}

fn decrypt(section: &str, password: &str) -> Result<PrivateKeyDer<'static>, Fault> {
    let (label, document) = SecretDocument::from_pem(section).map_err(|_| Fault::Damaged)?;
    EncryptedPrivateKeyInfoOwned::validate_pem_label(label).map_err(|_| Fault::Damaged)?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| {
        // Algorithms that the parser does not know are errors of form to it.
        let beginning = &document.as_bytes()[..document.as_bytes().len().min(32)];
        let is_known = |oid: &[u8]| beginning.windows(oid.len()).any(|bytes| bytes == oid);
        if OLD.iter().any(|oid| is_known(oid)) { Fault::Old } else { Fault::Damaged }
    })?;
    match encrypted.decrypt(password) {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        Err(pkcs8::Error::EncryptedPrivateKey(error)) => Err(match error {
            pkcs8::pkcs5::Error::DecryptFailed => Fault::Password,
            _ => Fault::Old,
        }),
        // A wrong password may leave padding that looks right; what it opens is no key then.
        Err(_) => Err(Fault::Password),
    }
}
