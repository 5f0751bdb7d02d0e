//! Certificates as a test needs them, in a directory of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::client::Options;
use dinrail::service::{Read, Service, read_only};
use dinrail::transport::{ServerTls, Tls, TlsOptions};
use dinrail::{Client, Error};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tempfile::TempDir;

/// Far longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(60);

const ROLE: [u64; 9] = [1, 3, 6, 1, 4, 1, 50316, 802, 1];

/// What is in the role extension, as it stands there.
pub(crate) fn extension(content: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(&ROLE, content.to_vec())
}

/// The role extension as the specification has it.
pub(crate) fn role(role: &str) -> CustomExtension {
    extension(&[&[0x0c, role.len() as u8], role.as_bytes()].concat())
}

/// A CA, and the files of what it has issued.
pub(crate) struct Pki {
    directory: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// A CA with a certificate for a server in "server", and for an operator in "operator".
    pub(crate) fn new() -> Self {
        Self::named("a CA of a test")
    }

    /// As [`new`](Self::new), with a CA of another name.
    pub(crate) fn foreign() -> Self {
        Self::named("another CA")
    }

    /// A CA of this name in "ca".
    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self { directory: tempfile::tempdir().unwrap(), ca };
        this.write("ca.pem", &this.ca.pem());
        this.server("server", |_| {});
        this.client("operator", |params| params.custom_extensions.push(role("operator")));
        this
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        self.issue(name, ExtendedKeyUsagePurpose::ServerAuth, &["localhost", "127.0.0.1"], change);
    }

    pub(crate) fn client(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        self.issue(name, ExtendedKeyUsagePurpose::ClientAuth, &[], change);
    }

    fn issue(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(purpose);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        self.write(&format!("{name}.pem"), &params.signed_by(&key, &self.ca).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// The server "server", for clients of this CA.
    pub(crate) fn options(&self) -> TlsOptions {
        TlsOptions::new(self.path("server.pem"), self.path("server.key")).with_client_ca(self.path("ca.pem"))
    }

    pub(crate) fn tls(&self) -> ServerTls {
        self.options().load().unwrap()
    }

    /// A client that trusts this CA, and shows nothing itself.
    pub(crate) fn stranger(&self, address: impl std::fmt::Display) -> Tls {
        Tls::new(address).with_ca(self.path("ca.pem"))
    }

    /// A client with the certificate of this name.
    pub(crate) fn as_client(&self, name: &str, address: impl std::fmt::Display) -> Tls {
        self.stranger(address).with_certificate(self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")))
    }
}

/// The roles of those who asked, in order.
pub(crate) type Asked = Arc<Mutex<Vec<Option<Arc<str>>>>>;

/// Serves each register's address as its value, and remembers who asked.
pub(crate) fn remembering() -> (Asked, impl Service) {
    let asked = Asked::default();
    let by = asked.clone();
    let service = read_only(move |read: Read| {
        by.lock().unwrap().push(read.peer.role.clone());
        Ok((read.address..).take(read.count.into()).collect::<Vec<u16>>())
    });
    (asked, service)
}

/// Connects and asks for one register; whatever fails first is the error.
pub(crate) async fn ask(tls: Tls) -> Result<Vec<u16>, Error> {
    let client = Client::connect_with(tls, Options::default().with_timeout(SOON).with_connect_timeout(SOON)).await?;
    client.read_holding_registers(7, 1).await
}

/// As [`ask`], when it must fail: the whole sentence.
pub(crate) async fn refused(tls: Tls) -> String {
    ask(tls).await.expect_err("it is to be refused").to_string()
}
