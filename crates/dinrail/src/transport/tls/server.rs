//! The server's side of TLS: certificate, key and client CAs, which can be renewed while the server runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    self, CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::pem::{self, Password};
use super::role::role_of;
use super::{TlsStream, TlsVersion, fault, unusable};
use crate::Error;
use crate::transport::Stream;

/// How long a client that is refused is given to read why.
const PARTING: Duration = Duration::from_secs(1);

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuth {
    /// Clients are not asked. Modbus Security does not allow this (SEC R-07).
    None,
    /// Clients are asked, and served without one too; one that is shown must be good.
    Optional,
    /// Clients without a good certificate are refused in the handshake.
    #[default]
    Required,
}

/// What a server's TLS is made of: PEM files, read by [`load`](Self::load).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsOptions {
    /// The server's certificate, and those between it and its CA, in that order.
    pub certificate: PathBuf,
    /// The certificate's private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// What the key is encrypted with, as PKCS#8 with PBES2; `None` unless set.
    password: Option<Password>,
    /// The CAs of the clients' certificates; none unless set.
    pub client_cas: Vec<PathBuf>,
    /// Whether clients show certificates; required unless set.
    pub client_auth: ClientAuth,
    /// The oldest version of TLS; 1.2 unless set.
    pub min_version: TlsVersion,
}

impl TlsOptions {
    /// A server with this certificate and this key.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            password: None,
            client_cas: Vec::new(),
            client_auth: ClientAuth::default(),
            min_version: TlsVersion::default(),
        }
    }

    /// Opens the key with this password.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into().into());
        self
    }

    /// Accepts clients whose certificates come from the CAs in this file; may be called several times.
    #[must_use]
    pub fn with_client_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.client_cas.push(file.into());
        self
    }

    /// Sets [`client_auth`](Self::client_auth).
    #[must_use]
    pub fn with_client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }

    /// Sets [`min_version`](Self::min_version).
    #[must_use]
    pub fn with_min_version(mut self, min_version: TlsVersion) -> Self {
        self.min_version = min_version;
        self
    }

    /// Reads the files. It blocks the thread for that, and for an encrypted key as long as opening it takes.
    ///
    /// # Errors
    /// [`Error::Tls`] when a file cannot be read or used; the sentence names it.
    pub fn load(self) -> Result<ServerTls, Error> {
        let config = self.config()?;
        Ok(ServerTls(Arc::new(Inner { current: Mutex::new(config), options: Some(self) })))
    }

    fn config(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.min_version.and_newer())
            .map_err(|error| unusable(format!("TLS cannot be set up: {error}")))?;
        let builder = match self.client_verifier(provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let chain = pem::certificates(&self.certificate)?;
        let key = pem::key(&self.key, self.password.as_ref())?;
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| unusable_pair(&self.certificate, &self.key, &error))?;
        Ok(Arc::new(config))
    }

    fn client_verifier(&self, provider: Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
        if self.client_auth == ClientAuth::None {
            return Ok(None);
        }
        if self.client_cas.is_empty() {
            return Err(unusable(
                "clients are to show certificates, and no CA is named to check them: name one (with_client_ca), or ask \
                 clients for none (ClientAuth::None)",
            ));
        }
        let roots = Arc::new(roots(&self.client_cas)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let builder = if self.client_auth == ClientAuth::Optional { builder.allow_unauthenticated() } else { builder };
        let verifier = builder.build().map_err(|error| unusable(format!("TLS cannot be set up: {error}")))?;
        Ok(Some(Arc::new(RoleVerifier(verifier))))
    }
}

/// The CAs in these files.
pub(super) fn roots(files: &[PathBuf]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for file in files {
        for certificate in pem::certificates(file)? {
            roots
                .add(certificate)
                .map_err(|error| unusable(format!("{} holds what is no CA's certificate: {error}", file.display())))?;
        }
    }
    Ok(roots)
}

/// A certificate and a key that cannot be used together, or at all.
pub(super) fn unusable_pair(certificate: &Path, key: &Path, error: &rustls::Error) -> Error {
    let (certificate, key) = (certificate.display(), key.display());
    match error {
        rustls::Error::InconsistentKeys(_) => unusable(format!(
            "the private key {key} does not belong to the certificate {certificate}: name the two that were made together"
        )),
        rustls::Error::InvalidCertificate(error) => {
            unusable(format!("the certificate {certificate} cannot be used: {}", fault::certificate(error)))
        }
        error => unusable(format!("the certificate {certificate} with the private key {key} cannot be used: {error}")),
    }
}

/// The server's side of TLS, as [`Server::tls`](crate::Server::tls) takes it. Clones share it: keep one to
/// [renew](Self::reload) certificates while the server runs.
#[derive(Clone)]
pub struct ServerTls(Arc<Inner>);

struct Inner {
    /// Locked for as long as it takes to clone the pointer, once a handshake.
    current: Mutex<Arc<ServerConfig>>,
    /// `None` for a prepared configuration.
    options: Option<TlsOptions>,
}

impl ServerTls {
    /// A configuration of rustls as it is. Clients' roles are read from their certificates all the same, and clients
    /// whose role is not what the specification says are refused, though only after the handshake.
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(Inner { current: Mutex::new(config), options: None }))
    }

    /// Reads the files again: handshakes from now on use what is in them, connections that are open go on, and sessions
    /// that began before are not resumed. It blocks the thread as [`TlsOptions::load`] does.
    ///
    /// # Errors
    /// [`Error::Tls`] when a file cannot be read or used; then everything stays as it was.
    pub fn reload(&self) -> Result<(), Error> {
        let Some(options) = &self.0.options else {
            return Err(unusable("a prepared TLS configuration has no files to read again: replace it"));
        };
        self.replace(options.config()?);
        Ok(())
    }

    /// Uses another configuration of rustls for handshakes from now on; [`reload`](Self::reload) goes back to the files,
    /// if there are any.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.current() = config;
    }

    /// Does the server's side of a handshake over any stream, with no limit of time. For transports of your own: give the
    /// stream to [`serve_stream`](crate::server::serve_stream), with its [role](TlsStream::role) in the peer.
    ///
    /// # Errors
    /// What the handshake fails for, in a sentence; of kind `InvalidData` when a certificate or an offer is refused.
    pub async fn accept<T: Stream>(&self, io: T) -> io::Result<TlsStream<T>> {
        match self.handshake(io).await {
            Ok(stream) => Ok(stream),
            Err((error, io)) => {
                part(io).await;
                Err(error)
            }
        }
    }

    /// As [`accept`](Self::accept), with the stream of a client that is refused, to [part](part) from it.
    pub(crate) async fn handshake<T: Stream>(&self, io: T) -> Result<TlsStream<T>, (io::Error, T)> {
        let config = self.current().clone();
        let stream = TlsAcceptor::from(config).accept(io).into_fallible().await;
        let stream = stream.map_err(|(error, io)| (fault::explain_handshake(error), io))?;
        let role = match stream.get_ref().1.peer_certificates() {
            Some([certificate, ..]) => role_of(certificate),
            _ => Ok(None),
        };
        match role {
            Ok(role) => Ok(TlsStream::new(stream, role)),
            Err(fault) => Err((fault::refuse(fault.to_string()), stream.into_inner().0)),
        }
    }

    /// Nothing panics while this is held.
    fn current(&self) -> MutexGuard<'_, Arc<ServerConfig>> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.0.options).finish()
    }
}

/// Lets a client that was refused read why. In TLS 1.3 it has gone on to its first request by then, and closing a socket
/// with bytes that nobody has read takes back what was sent: so they are read.
pub(crate) async fn part(mut io: impl Stream) {
    let reading = async {
        io.shutdown().await?;
        let mut rest = [0; 512];
        // A hello and a certificate are not longer; whoever sends more is not waited for.
        for _ in 0..64 {
            if io.read(&mut rest).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(PARTING, reading).await;
}

/// Checks certificates as WebPKI has it, and that there is one role at most: a certificate with two, or with one in
/// another form, is refused while the client can still be told.
#[derive(Debug)]
struct RoleVerifier(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for RoleVerifier {
    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(certificate, between, now)?;
        match role_of(certificate) {
            Ok(_) => Ok(verified),
            Err(fault) => Err(CertificateError::Other(OtherError(Arc::new(fault))).into()),
        }
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
