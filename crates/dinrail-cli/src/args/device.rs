//! The arguments that say which device is meant, the same for every command that asks one.

use std::path::PathBuf;
use std::time::Duration;

use dinrail::client::Options;
use dinrail::transport::Endpoint;
use dinrail::{Client, Error};
use tracing::debug;

use super::{parse_duration, secret};

/// A device: where it is, how long to wait for it, and which unit it is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Device {
    #[command(flatten)]
    line: Line,

    /// The unit id, 0 to 255: which device behind the address is meant.
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) unit: u8,
}

impl Device {
    /// Connects, or says why that cannot be.
    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        self.line.connect(self.options()).await
    }

    /// What to connect to.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn connector(&self) -> Result<Endpoint, Error> {
        self.line.connector()
    }

    /// How to talk to it.
    pub(crate) fn options(&self) -> Options {
        self.line.options().with_unit(self.unit)
    }
}

/// Where devices are and how long to wait for them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Line {
    /// Where the device is: HOST[:PORT], rtu:///dev/ttyUSB0, tls://HOST; see dinrail --help.
    #[arg(value_name = "URL")]
    pub(crate) endpoint: Endpoint,

    /// How long to wait for a connection, and for each answer.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    tls: Tls,
}

/// Whom to trust over TLS, and what to show.
#[derive(Clone, Debug, clap::Args)]
struct Tls {
    /// Trust servers whose certificate this CA has issued.
    #[arg(long, help_heading = "Over tls://", value_name = "FILE.pem")]
    ca: Vec<PathBuf>,

    /// Show this certificate to the server, with the role in it.
    #[arg(long, help_heading = "Over tls://", value_name = "FILE.pem", requires = "key")]
    cert: Option<PathBuf>,

    /// The certificate's private key.
    #[arg(long, help_heading = "Over tls://", value_name = "FILE.pem", requires = "cert")]
    key: Option<PathBuf>,

    /// A file whose first line opens an encrypted private key.
    #[arg(long, help_heading = "Over tls://", value_name = "FILE", requires = "key")]
    key_password: Option<PathBuf>,

    /// The name in the server's certificate, where that is not the host of the URL.
    #[arg(long, help_heading = "Over tls://", value_name = "NAME")]
    server_name: Option<String>,
}

impl Tls {
    fn is_given(&self) -> bool {
        !self.ca.is_empty() || self.cert.is_some() || self.server_name.is_some()
    }
}

impl Line {
    /// Connects, or says why that cannot be.
    pub(crate) async fn connect(&self, options: Options) -> Result<Client, Error> {
        debug!(target = %self.endpoint, timeout = ?self.timeout, "connecting");
        let client = Client::connect_with(self.connector()?, options).await?;
        debug!(target = %self.endpoint, "connected");
        Ok(client)
    }

    /// What to connect to.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn connector(&self) -> Result<Endpoint, Error> {
        match &self.endpoint {
            Endpoint::Tls(..) if self.tls.ca.is_empty() => {
                return Err(Error::Option(
                    "over tls:// name the CA that issued the server's certificate: --ca FILE.pem",
                ));
            }
            Endpoint::Tls(..) => {}
            _ if self.tls.is_given() => {
                return Err(Error::Option(
                    "--ca, --cert, --key and --server-name are for tls:// URLs: begin the URL with it",
                ));
            }
            _ => {}
        }
        let password = self.tls.key_password.as_deref().map(secret).transpose()?;
        Ok(self.endpoint.clone().map_tls(|mut tls| {
            for ca in &self.tls.ca {
                tls = tls.with_ca(ca);
            }
            if let Some((certificate, key)) = self.tls.cert.as_ref().zip(self.tls.key.as_ref()) {
                tls = tls.with_certificate(certificate, key);
            }
            if let Some(password) = password {
                tls = tls.with_password(password);
            }
            if let Some(name) = &self.tls.server_name {
                tls = tls.with_server_name(name);
            }
            tls
        }))
    }

    /// How to talk to it.
    pub(crate) fn options(&self) -> Options {
        Options::default().with_timeout(self.timeout).with_connect_timeout(self.timeout)
    }
}
