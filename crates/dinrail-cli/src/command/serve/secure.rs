//! What a server on tls:// shows and whom it trusts, and the rules of who may do what.

use std::path::PathBuf;

use clap::ValueEnum;
use dinrail::Error;
use dinrail::service::{BoxService, Rules, Service as _};
use dinrail::transport::{ClientAuth, Endpoint, TlsOptions};

use crate::args::secret;
use crate::failure::Failure;

/// How a server on tls:// is made safe.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Over tls://")]
pub(super) struct Secure {
    /// The server's certificate.
    #[arg(long, value_name = "FILE.pem", requires = "key")]
    cert: Option<PathBuf>,

    /// The certificate's private key.
    #[arg(long, value_name = "FILE.pem", requires = "cert")]
    key: Option<PathBuf>,

    /// A file whose first line opens an encrypted private key.
    #[arg(long, value_name = "FILE", requires = "key")]
    key_password: Option<PathBuf>,

    /// Serve clients whose certificate this CA has issued.
    #[arg(long, value_name = "FILE.pem", requires = "cert")]
    client_ca: Vec<PathBuf>,

    /// Whether clients must show a certificate.
    #[arg(long, value_name = "required|optional|none", hide_possible_values = true, default_value = "required")]
    client_auth: Auth,

    /// Refuse what these rules do not allow, on any URL; see docs/guide/security.md.
    #[arg(long, value_name = "FILE.toml", help_heading = None::<&str>)]
    rules: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Auth {
    Required,
    Optional,
    None,
}

impl Secure {
    /// The place to listen, with its certificate.
    pub(super) fn endpoint(&self, listen: Endpoint) -> Result<Endpoint, Failure> {
        let is_tls = matches!(listen, Endpoint::Tls(..));
        let (certificate, key) = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) if is_tls => (certificate, key),
            (Some(_), _) => return Err(Failure::Usage(format!("{listen} shows no certificate: listen on tls://"))),
            _ if is_tls => {
                let sentence = "a server on tls:// shows a certificate: give --cert and --key (dinrail pki makes them)";
                return Err(Failure::Usage(sentence.to_owned()));
            }
            _ => return Ok(listen),
        };
        let mut options = TlsOptions::new(certificate, key).with_client_auth(match self.client_auth {
            Auth::Required => ClientAuth::Required,
            Auth::Optional => ClientAuth::Optional,
            Auth::None => ClientAuth::None,
        });
        if self.client_ca.is_empty() && options.client_auth != ClientAuth::None {
            let sentence = "clients are to show certificates: name their CA by --client-ca, or ask for none by \
                            --client-auth none";
            return Err(Failure::Usage(sentence.to_owned()));
        }
        for ca in &self.client_ca {
            options = options.with_client_ca(ca);
        }
        if let Some(file) = &self.key_password {
            options = options.with_password(secret(file).map_err(usage)?);
        }
        Ok(listen.with_server_tls(options.load().map_err(usage)?))
    }

    /// The service behind the rules, if there are any.
    pub(super) fn service(&self, service: BoxService) -> Result<BoxService, Failure> {
        Ok(match &self.rules {
            Some(file) => service.with_rules(Rules::from_file(file).map_err(usage)?).boxed(),
            None => service,
        })
    }
}

fn usage(error: Error) -> Failure {
    Failure::Usage(error.to_string())
}
