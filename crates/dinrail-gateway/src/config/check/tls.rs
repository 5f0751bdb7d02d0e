//! Certificates: whether the files that are named are there, and can be used together.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use dinrail::transport::{self, Endpoint, TlsOptions, TlsVersion};

use super::Checker;
use crate::config::kinds::MinVersion;
use crate::config::problem::Problem;
use crate::config::read::At;
use crate::config::{ClientAuth, Server, Tls, required};
use crate::plan::TlsPlan;

impl Checker<'_> {
    pub(super) fn tls(&mut self, section: &Server, endpoint: &Endpoint) -> Option<TlsPlan> {
        let is_tls = matches!(endpoint, Endpoint::Tls(..));
        let listen = section.listen.as_ref()?;
        match &section.tls {
            None if is_tls => {
                let problem = Problem::new("a TLS server has a certificate to show", &listen.span, "this is TLS");
                self.add(problem.with_mend("add [server.tls] with certificate, key and client_ca"));
                None
            }
            Some(tls) if !is_tls => {
                let problem = Problem::new("certificates are for TLS", &tls.span, "for TLS")
                    .with_other(&listen.span, "and this is none");
                self.add(problem.with_mend("listen on tls://HOST:PORT, or take [server.tls] away"));
                None
            }
            Some(tls) => self.certificates(tls),
            None => None,
        }
    }

    fn certificates(&mut self, at: &At<Tls>) -> Option<TlsPlan> {
        let tls = &at.value;
        let mend = "name a file in PEM; `dinrail pki` makes some to try with";
        let certificate = required(tls.certificate.as_ref(), "certificate", &at.span, mend, self.problems);
        let key = required(tls.key.as_ref(), "key", &at.span, mend, self.problems);
        let cas = tls.client_ca.as_ref().map_or(&[][..], |cas| &cas.value.0);
        let files = certificate.into_iter().chain(key).chain(tls.key_password_file.as_ref()).chain(cas);
        let mut hasher = DefaultHasher::new();
        let mut missing = false;
        for file in files {
            let path = self.directory.join(&file.value);
            match std::fs::read(&path) {
                Ok(bytes) => bytes.hash(&mut hasher),
                Err(error) => {
                    missing = true;
                    let problem =
                        Problem::new(format!("cannot read {}: {error}", path.display()), &file.span, "this file");
                    self.add(problem.with_mend("name a file that is there; paths begin where the dinrail file is"));
                }
            }
        }
        if missing {
            return None;
        }
        let mut options = TlsOptions::new(self.directory.join(&certificate?.value), self.directory.join(&key?.value));
        if let Some(file) = &tls.key_password_file {
            let text = std::fs::read_to_string(self.directory.join(&file.value)).unwrap_or_default();
            options = options.with_password(text.lines().next().unwrap_or_default());
        }
        for ca in cas {
            options = options.with_client_ca(self.directory.join(&ca.value));
        }
        options = options.with_client_auth(match tls.client_auth.as_ref().map(|auth| auth.value) {
            None | Some(ClientAuth::Required) => transport::ClientAuth::Required,
            Some(ClientAuth::Optional) => transport::ClientAuth::Optional,
            Some(ClientAuth::None) => transport::ClientAuth::None,
        });
        if tls.min_version.as_ref().is_some_and(|version| version.value == MinVersion::V1_3) {
            options = options.with_min_version(TlsVersion::V1_3);
        }
        let asks = tls.client_auth.as_ref().is_none_or(|auth| auth.value != ClientAuth::None);
        if asks && cas.is_empty() {
            let problem =
                Problem::new("clients are to show certificates, and no CA is named to check them", &at.span, "here");
            self.add(
                problem.with_mend("name one: client_ca = \"ca.pem\"; or ask clients for none: client_auth = \"none\""),
            );
            return None;
        }
        match options.load() {
            Ok(tls) => Some(TlsPlan { tls, fingerprint: hasher.finish() }),
            Err(error) => {
                self.add(Problem::new(error.to_string(), &certificate?.span, "with this certificate"));
                None
            }
        }
    }
}
