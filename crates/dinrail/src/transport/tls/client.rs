//! The client's side of TLS.

use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tracing::{debug, warn};

use super::pem::{self, Password};
use super::role::role_of;
use super::server::{roots, unusable_pair};
use super::{PORT, TlsStream, TlsVersion, fault, unusable};
use crate::Error;
use crate::proto::Framing;
use crate::transport::address::Address;
use crate::transport::{Burst, Connect, Tcp, nobody_answered};

/// A Modbus server behind TLS: `host:port`, or `host` alone for port 802. IPv6 addresses with a port stand in brackets.
///
/// The server must show a certificate of one of the [CAs](Self::with_ca), for the host's name; there are no CAs but those
/// that are named. Files are read when the first connection is made, and again when they have changed by the time of
/// another one: renewed certificates need no restart.
///
/// ```no_run
/// use dinrail::client::Options;
/// use dinrail::transport::Tls;
///
/// # async fn run() -> Result<(), dinrail::Error> {
/// let plc = Tls::new("plc.example").with_ca("ca.pem").with_certificate("operator.pem", "operator.key");
/// let client = dinrail::Client::connect_with(plc, Options::default()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    tcp: Tcp,
    server_name: Option<String>,
    required_role: Option<Arc<str>>,
    source: Source,
    loaded: Arc<Mutex<Option<Loaded>>>,
}

#[derive(Clone)]
enum Source {
    Files(Files),
    Prepared(Arc<ClientConfig>),
}

#[derive(Clone, Debug)]
struct Files {
    cas: Vec<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
    password: Option<Password>,
    min_version: TlsVersion,
    any_server: bool,
    sni: bool,
}

/// A configuration, and what the files were like when it was made.
struct Loaded {
    config: Arc<ClientConfig>,
    stamps: Vec<Stamp>,
}

/// When a file was changed last and how long it is; `None` when that cannot be told.
type Stamp = Option<(SystemTime, u64)>;

impl Tls {
    /// The server at this address, to be trusted as files say.
    pub fn new(address: impl fmt::Display) -> Self {
        Self::over(Address::parse(&address.to_string(), "tls", PORT).into())
    }

    /// As [`new`](Self::new), over a TCP connection of this kind, whose port is taken as it is.
    pub fn over(tcp: Tcp) -> Self {
        let files = Files {
            cas: Vec::new(),
            certificate: None,
            password: None,
            min_version: TlsVersion::default(),
            any_server: false,
            sni: true,
        };
        Self { tcp, server_name: None, required_role: None, source: Source::Files(files), loaded: Arc::default() }
    }

    /// With a configuration of rustls as it is. What is said about files, before or after, does not count then.
    #[must_use]
    pub fn with_config(mut self, config: Arc<ClientConfig>) -> Self {
        self.source = Source::Prepared(config);
        self
    }

    /// Trusts servers whose certificates come from the CAs in this PEM file; may be called several times.
    #[must_use]
    pub fn with_ca(self, file: impl Into<PathBuf>) -> Self {
        self.with_files(|files| files.cas.push(file.into()))
    }

    /// Shows this certificate, with those between it and its CA behind it, and signs with this key; both PEM files. The
    /// certificate carries the client's role.
    #[must_use]
    pub fn with_certificate(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.with_files(|files| files.certificate = Some((certificate.into(), key.into())))
    }

    /// Opens the key with this password; the key is PKCS#8, encrypted with PBES2.
    #[must_use]
    pub fn with_password(self, password: impl Into<String>) -> Self {
        self.with_files(|files| files.password = Some(password.into().into()))
    }

    /// Takes no version of TLS that is older; 1.2 unless set.
    #[must_use]
    pub fn with_min_version(self, min_version: TlsVersion) -> Self {
        self.with_files(|files| files.min_version = min_version)
    }

    /// The name or address that the server's certificate must be for; the host that is connected to unless set.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Whether the server is told by which name it is asked for (SNI); on unless set, for servers that stumble over it.
    #[must_use]
    pub fn with_sni(self, sni: bool) -> Self {
        self.with_files(|files| files.sni = sni)
    }

    /// Speaks only with a server whose certificate has this role.
    #[must_use]
    pub fn with_required_role(mut self, role: impl Into<Arc<str>>) -> Self {
        self.required_role = Some(role.into());
        self
    }

    /// Speaks another framing over the stream.
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.tcp = self.tcp.with_framing(framing);
        self
    }

    /// Takes whatever certificate the server shows. **Whoever sits between can then read and change everything.** For
    /// tests, and for devices whose certificate cannot be mended.
    #[must_use]
    pub fn dangerous_accept_any_server(self) -> Self {
        self.with_files(|files| files.any_server = true)
    }

    /// Reads the files now, and not only when a connection is made. It blocks the thread meanwhile.
    ///
    /// # Errors
    /// [`Error::Tls`] when a file cannot be read or used, or the server's name is none.
    pub fn check(&self) -> Result<(), Error> {
        self.name()?;
        self.config().map(drop)
    }

    fn with_files(mut self, change: impl FnOnce(&mut Files)) -> Self {
        if let Source::Files(files) = &mut self.source {
            change(files);
        }
        // Clones made before keep what they have.
        self.loaded = Arc::default();
        self
    }

    fn name(&self) -> Result<ServerName<'static>, Error> {
        let name = self.server_name.as_deref().unwrap_or(self.tcp.host());
        // The interface of a link-local address is nobody's name.
        let name = match name.split_once('%') {
            Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => address,
            _ => name,
        };
        ServerName::try_from(name.to_owned())
            .map_err(|_| unusable(format!("{name:?} is no name that a certificate can be for: set the server name")))
    }

    /// The configuration, read again when a file has changed. It blocks.
    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let files = match &self.source {
            Source::Prepared(config) => return Ok(config.clone()),
            Source::Files(files) => files,
        };
        // Held while files are read: who waits for it wants the same.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = files.stamps();
        if let Some(loaded) = &*loaded
            && loaded.stamps == stamps
        {
            return Ok(loaded.config.clone());
        }
        match (files.config(), &mut *loaded) {
            (Ok(config), loaded) => {
                *loaded = Some(Loaded { config: config.clone(), stamps });
                Ok(config)
            }
            (Err(error), Some(loaded)) => {
                warn!(target: "dinrail::client", peer = %self, %error, "going on with the certificates read before");
                Ok(loaded.config.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The TCP connection below.
    pub(in crate::transport) fn tcp(&self) -> &Tcp {
        &self.tcp
    }

    /// What the server's certificate says of its role.
    fn role(&self, certificates: Option<&[CertificateDer<'_>]>) -> io::Result<Option<Arc<str>>> {
        let role = match certificates {
            Some([certificate, ..]) => role_of(certificate),
            _ => Ok(None),
        };
        let any_server = matches!(&self.source, Source::Files(files) if files.any_server);
        match (role, &self.required_role) {
            (Ok(role), None) => Ok(role),
            (Ok(Some(role)), Some(required)) if role == *required => Ok(Some(role)),
            (Ok(Some(role)), Some(required)) => {
                Err(fault::refuse(format!("the server's certificate has the role {role:?}, not {required:?}")))
            }
            (Ok(None), Some(required)) => {
                Err(fault::refuse(format!("the server's certificate has no role, and {required:?} is required")))
            }
            // Whatever it is, it was to be taken.
            (Err(_), None) if any_server => Ok(None),
            (Err(fault), _) => Err(fault::refuse(format!("the server's certificate is refused: {fault}"))),
        }
    }
}

impl Files {
    fn stamps(&self) -> Vec<Stamp> {
        let pair = self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        let stamp = |file: &PathBuf| fs::metadata(file).and_then(|about| Ok((about.modified()?, about.len()))).ok();
        self.cas.iter().chain(pair).map(stamp).collect()
    }

    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.min_version.and_newer())
            .map_err(|error| unusable(format!("TLS cannot be set up: {error}")))?;
        let builder = if self.any_server {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        } else if self.cas.is_empty() {
            return Err(unusable("no CA is named to check the server's certificate: name the file of one (with_ca)"));
        } else {
            builder.with_root_certificates(roots(&self.cas)?)
        };
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(pem::certificates(certificate)?, pem::key(key, self.password.as_ref())?)
                .map_err(|error| unusable_pair(certificate, key, &error))?,
        };
        config.enable_sni = self.sni;
        Ok(Arc::new(config))
    }
}

impl Tls {
    /// Takes the handshake over what `connecting` makes.
    async fn secure(
        &self,
        connecting: impl Future<Output = io::Result<TcpStream>>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let unusable = |error: Error| fault::refuse(error.to_string());
        let name = self.name().map_err(unusable)?;
        let this = self.clone();
        let config = tokio::task::spawn_blocking(move || this.config()).await.map_err(io::Error::other)?;
        let config = config.map_err(unusable)?;
        let tcp = connecting.await?;
        let connecting = TlsConnector::from(config).connect(name, tcp);
        let stream = connecting.await.map_err(fault::explain_handshake)?;
        let (_, session) = stream.get_ref();
        let role = self.role(session.peer_certificates())?;
        debug!(
            target: "dinrail::client",
            peer = %self, version = ?session.protocol_version(), role = role.as_deref(), "the TLS handshake is done"
        );
        Ok(TlsStream::new(stream, role))
    }
}

impl Connect for Tls {
    type Stream = TlsStream<TcpStream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        self.secure(self.tcp.connect()).await
    }

    async fn connect_within(&self, limit: Duration) -> io::Result<Self::Stream> {
        let secure = self.secure(self.tcp.connect_within(limit));
        timeout(limit, secure).await.unwrap_or_else(|_| Err(nobody_answered(limit)))
    }

    fn framing(&self) -> Framing {
        self.tcp.framing()
    }

    fn burst(&self) -> Burst {
        Burst::Never
    }
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.tcp, f)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = match &self.source {
            Source::Files(files) => Some(files),
            Source::Prepared(_) => None,
        };
        f.debug_struct("Tls")
            .field("tcp", &self.tcp)
            .field("server_name", &self.server_name)
            .field("required_role", &self.required_role)
            .field("files", &files)
            .finish_non_exhaustive()
    }
}

/// Accepts every certificate; that the server has its key is checked all the same.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
