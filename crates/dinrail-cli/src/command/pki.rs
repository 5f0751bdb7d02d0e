//! `dinrail pki`: certificates to try Modbus Security with, in one step.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::builder::{NonEmptyStringValueParser, TypedValueParser as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::failure::Failure;
use crate::output;

/// Make certificates for trying TLS and Modbus Security: a CA, a server, and a client for each role
///
/// Keys are not encrypted, and only you may read them. Whoever has ca.key can make any client: for a plant, use the CA
/// that you have.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, verbatim_doc_comment)]
pub(crate) struct Pki {
    /// Where to put them; made when it is not there.
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// The names and addresses of the server.
    #[arg(long = "host", value_name = "HOST,...", value_delimiter = ',', default_value = "localhost,127.0.0.1,::1")]
    hosts: Vec<String>,

    /// Make a client with this role; may be given several times.
    #[arg(
        long = "role", value_name = "ROLE", default_values = ["operator", "engineer"],
        value_parser = NonEmptyStringValueParser::new().try_map(parse_role)
    )]
    roles: Vec<String>,

    /// The role in the server's own certificate; none unless given.
    #[arg(long, value_name = "ROLE", value_parser = NonEmptyStringValueParser::new().try_map(parse_role))]
    server_role: Option<String>,

    /// For how many days the certificates are valid.
    #[arg(long, value_name = "N", default_value = "365", value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,

    /// Write over what is there
    ///
    /// The CA is another one then, and what the one before has issued is worth nothing.
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  dinrail pki certs                                   for a server on this machine; roles operator and engineer
  dinrail pki certs --host plc.example,10.0.0.7 --role operator --role viewer
  dinrail pki certs --force                           anew

It makes ca.pem, server.pem and ROLE.pem, which may be read by everybody, and ca.key, server.key and ROLE.key, which
may not. The role stands in the extension 1.3.6.1.4.1.50316.802.1 of a certificate, as Modbus Security has it.";

/// The extension that holds a role.
const ROLE: [u64; 9] = [1, 3, 6, 1, 4, 1, 50316, 802, 1];

/// A role is the name of its files, too.
fn parse_role(role: String) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match role.as_str() {
        "ca" | "server" => Err(format!("{role} is the name of another file: take another role")),
        _ if role.len() > 64 || role.starts_with(['.', '-']) || !role.chars().all(is_plain) => {
            Err("files are named after it: take up to 64 letters, digits, -, _ and . that begin with none of - and ."
                .to_owned())
        }
        _ => Ok(role),
    }
}

/// A file to be written, and whether it is for its owner alone.
struct File {
    name: String,
    text: String,
    is_secret: bool,
}

impl Pki {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let files = self.files().map_err(|error| match error {
            rcgen::Error::InvalidAsn1String(_) => {
                Failure::Usage("a host or role holds letters that no certificate can hold".to_owned())
            }
            error => Failure::Refused(format!("no certificate can be made: {error}")),
        })?;
        self.write(&files)?;
        output::print(&self.report())
    }

    /// Everything, made before anything is written.
    fn files(&self) -> Result<Vec<File>, rcgen::Error> {
        let ca = CertifiedIssuer::self_signed(self.ca(), KeyPair::generate()?)?;
        let mut files = pair("ca", ca.pem(), ca.key());
        let mut issue = |name: &str, params: CertificateParams| {
            let key = KeyPair::generate()?;
            files.extend(pair(name, params.signed_by(&key, &ca)?.pem(), &key));
            Ok::<_, rcgen::Error>(())
        };
        let mut server = self.leaf("server", &self.hosts, ExtendedKeyUsagePurpose::ServerAuth)?;
        server.custom_extensions.extend(self.server_role.as_deref().map(role));
        issue("server", server)?;
        for name in &self.roles {
            let mut client = self.leaf(name, &[], ExtendedKeyUsagePurpose::ClientAuth)?;
            client.custom_extensions.push(role(name));
            issue(name, client)?;
        }
        Ok(files)
    }

    fn ca(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        let now = OffsetDateTime::now_utc();
        // A name of its own for each, so that one that was made anew is told from the one before.
        params.distinguished_name = name(&format!("dinrail development CA {}", now.unix_timestamp()));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        self.limit(&mut params, now);
        params
    }

    fn leaf(
        &self,
        common_name: &str,
        hosts: &[String],
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = name(common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        self.limit(&mut params, OffsetDateTime::now_utc());
        Ok(params)
    }

    fn limit(&self, params: &mut CertificateParams, now: OffsetDateTime) {
        // Clocks of devices are often a little behind.
        params.not_before = now - Duration::hours(1);
        params.not_after = now + Duration::days(self.days.into());
    }

    fn write(&self, files: &[File]) -> Result<(), Failure> {
        let directory = self.directory.display();
        fs::create_dir_all(&self.directory)
            .map_err(|error| Failure::Refused(format!("cannot make the directory {directory}: {error}")))?;
        if !self.force
            && let Some(file) = files.iter().find(|file| self.directory.join(&file.name).exists())
        {
            return Err(Failure::Refused(format!(
                "{directory} holds a {} already: take another directory, or --force to write over what is there",
                file.name
            )));
        }
        for file in files {
            let path = self.directory.join(&file.name);
            put(&path, file).map_err(|error| Failure::Refused(format!("cannot write {}: {error}", path.display())))?;
        }
        Ok(())
    }

    /// What there is now, and what to do with it.
    fn report(&self) -> String {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let mut lines = vec![
            format!("made in {}:", self.directory.display()),
            "  ca.pem      the CA; servers and clients are told to trust it".to_owned(),
            format!("  server.pem  a server at {}", self.hosts.join(", ")),
        ];
        lines.extend(
            self.roles.iter().map(|role| format!("  {:<10}  a client with the role {role}", format!("{role}.pem"))),
        );
        lines.push("and a .key for each, for its owner alone. Try it:".to_owned());
        lines.push(format!(
            "  dinrail serve --listen tls://127.0.0.1:8802 --cert {} --key {} --client-ca {}",
            at("server.pem"),
            at("server.key"),
            at("ca.pem")
        ));
        if let Some(role) = self.roles.first() {
            let host = self.hosts.first().map_or("localhost", String::as_str);
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            lines.push(format!(
                "  dinrail read tls://{host}:8802 hr:0 --ca {} --cert {} --key {}",
                at("ca.pem"),
                at(&format!("{role}.pem")),
                at(&format!("{role}.key"))
            ));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

fn pair(name: &str, certificate: String, key: &KeyPair) -> Vec<File> {
    vec![
        File { name: format!("{name}.pem"), text: certificate, is_secret: false },
        File { name: format!("{name}.key"), text: key.serialize_pem(), is_secret: true },
    ]
}

fn name(common_name: &str) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// One UTF8String.
fn role(role: &str) -> CustomExtension {
    // At most 64 bytes, so that one byte tells the length.
    let mut content = vec![0x0c, role.len() as u8];
    content.extend(role.as_bytes());
    CustomExtension::from_oid_content(&ROLE, content)
}

/// Makes a file anew: it never has other rights than it should, not even for a moment.
fn put(path: &Path, file: &File) -> io::Result<()> {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if file.is_secret { 0o600 } else { 0o644 });
    }
    options.open(path)?.write_all(file.text.as_bytes())
}
