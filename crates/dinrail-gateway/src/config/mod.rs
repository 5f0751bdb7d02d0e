//! The file as it is typed: TOML, whose tables are the types here. [`load`] reads one and checks it.

mod check;
mod data;
mod kinds;
mod problem;
mod read;

use std::fs::File as OnDisk;
use std::io::Read as _;
use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use self::data::{Cells, Store};
pub(crate) use self::kinds::{Bytes, ClientAuth, Diagnostics, Limit, OneOrMany, Ranges, StoreRef, WhenFull};
pub use self::problem::Invalid;
use self::problem::Problem;
pub(crate) use self::problem::Problems;
pub(crate) use self::read::{At, Named, Read};
use crate::Plan;

/// Declares a table of the file: its keys, their types, and what an editor says about them.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($(#[$key:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$key])* pub(crate) $field: Option<$crate::config::read::At<$type>>,)*
        }

        impl $crate::config::read::Read for $name {
            const IS_TABLE: bool = true;

            fn read(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                problems: &mut $crate::config::problem::Problems,
            ) -> Option<Self> {
                let table = $crate::config::read::Table::of(value, &[$(stringify!($field)),*], problems)?;
                Some(Self { $($field: table.field(stringify!($field), problems),)* })
            }
        }
    };
}
pub(crate) use section;

section! {
    /// A dinrail file.
    File {
        /// The servers.
        server: Vec<At<Server>>,
        /// Stores that several servers share, by name.
        store: Named<Store>,
        /// Shows how the servers do, for Prometheus, by HTTP at this address: "127.0.0.1:9100".
        metrics: String,
        /// A console for operators; none unless set.
        console: Console,
    }
}

section! {
    /// An operator's way to look at the servers and to set their values, by lines of text: `dinrail console`. It knows no
    /// passwords.
    Console {
        #[schemars(required)]
        /// Where it listens: an IP address of this machine only and a port, such as "127.0.0.1:7020".
        listen: String,
        /// Let it listen where other machines can reach it: whoever connects can read and set every value.
        public: bool,
    }
}

section! {
    /// A server: where it listens, and what it answers from.
    Server {
        #[schemars(required)]
        /// What it is called in logs, status and messages; every server has a name of its own.
        name: String,
        /// Where it listens, as a URL: tcp://127.0.0.1:5020, tls://0.0.0.0:802, udp://127.0.0.1:5020, rtu:///dev/ttyUSB0?baud=9600.
        listen: String,
        /// Where it listens by TCP, in place of a URL; with port.
        host: String,
        /// The TCP port; 502 unless set. With host.
        port: u16,
        /// The units that it serves: numbers, and ranges as "1-10"; all unless set.
        units: Ranges,
        /// Stay silent to requests for other units, instead of exception 0x0B.
        ignore_missing_units: bool,
        /// The data: a table of its own, or the name of a [store.NAME]; 65536 zeros in each area unless set.
        store: StoreRef,
        /// What clients may not write: true for everything, or addresses by area.
        read_only: kinds::ReadOnly,
        /// Files of FC 20 and 21: records by number of the file.
        files: Named<Vec<At<u16>>>,
        /// Queues of FC 24: values by pointer address, the oldest first.
        fifos: Named<Vec<At<u16>>>,
        /// What FC 17 answers: a text, or a list of bytes.
        server_id: Bytes,
        /// The eight bits of FC 7.
        exception_status: u8,
        /// What FC 43/14 answers.
        identity: Identity,
        /// Who answers FC 8, 11 and 12: the server ("live"), the server with counters that stay 0 ("frozen"), or nobody
        /// ("off"). Live on serial ports unless set, off elsewhere.
        diagnostics: Diagnostics,
        /// Writes to unit 0 are done by every unit and not answered; if false, RTU, ASCII and binary servers ignore unit 0.
        /// Unless set on for serial ports and these framings, off elsewhere.
        broadcast: bool,
        /// The most connections at once; 1024 unless set.
        max_connections: u32,
        /// What happens to one more: "evict-idle" closes the longest idle one for it, "refuse" closes the new one.
        when_full: WhenFull,
        /// Connections that ask nothing for this long are closed, such as "5m"; "off" unless set.
        idle_timeout: Limit,
        /// How long a request may take before it is answered with deadline_exception; "10s" unless set, "off" for ever.
        request_timeout: Limit,
        /// The exception code for a request that takes too long, such as 0x04 (device failure); 0x0B (the target does not
        /// answer) unless set.
        #[schemars(range(min = 1, max = 255))]
        deadline_exception: u8,
        /// How long a TLS handshake may take; "5s" unless set.
        handshake_timeout: Limit,
        /// How many requests of one connection are worked on at once; 1 unless set.
        concurrency: u32,
        /// The most requests a second from one address.
        rate: u32,
        /// Addresses and networks that may connect, such as "10.0.0.0/8"; all unless set.
        allow: Vec<At<String>>,
        /// How long a stop waits for requests that are being worked on; "5s" unless set.
        grace: Limit,
        /// After how long without traffic it is asked whether a client still lives; "60s" unless set, "off" for never.
        keep_alive: Limit,
        /// The network interface that it listens on, such as "eth1"; all unless set. On Linux.
        interface: String,
        /// How many new connections the system keeps until they are accepted; 4096 unless set.
        backlog: u32,
        /// Whether a restarted server may take its port at once; true unless set.
        reuse_address: bool,
        /// Whether other programs may listen on the same port, if they say so too; false unless set.
        reuse_port: bool,
        /// Threads of its own, for a server that much is asked of; unless set, all such servers share one.
        threads: u16,
        /// Certificates, for listen = "tls://...".
        tls: Tls,
        /// Who may do what; what no rule allows is refused. Unless set everybody may do everything.
        rule: Vec<At<Rule>>,
        /// A file of such rules, in place of them: as `dinrail serve --rules` takes it. Its path begins where this file is.
        rules: String,
    }
}

section! {
    /// What a device says of itself (FC 43/14).
    Identity {
        /// Object 0.
        vendor: String,
        /// Object 1.
        product: String,
        /// Object 2, such as "V2.11".
        revision: String,
        /// Object 3.
        url: String,
        /// Object 4.
        product_name: String,
        /// Object 5.
        model: String,
        /// Object 6.
        application: String,
        /// Objects of its own, by number from 128 to 255.
        objects: Named<String>,
    }
}

section! {
    /// Files of a TLS server, in PEM. Their paths begin where the dinrail file is.
    Tls {
        #[schemars(required)]
        /// The server's certificate, and those between it and its CA.
        certificate: String,
        #[schemars(required)]
        /// Its private key.
        key: String,
        /// A file whose first line is the key's password.
        key_password_file: String,
        /// The CAs of clients' certificates: a file, or a list of them.
        client_ca: OneOrMany,
        /// Whether clients show certificates: "required" unless set, "optional" or "none".
        client_auth: ClientAuth,
        /// The oldest version of TLS: "1.2" unless set, or "1.3".
        min_version: kinds::MinVersion,
    }
}

section! {
    /// Allows something to a role, or to anyone. Ranges are numbers, "FIRST-LAST", or a list of both.
    Rule {
        /// The role in the client's certificate.
        role: String,
        /// For everybody, with any role or without.
        anyone: bool,
        #[schemars(required)]
        /// "read", "write" or "all".
        access: kinds::Access,
        /// At these units.
        units: Ranges,
        /// By these function codes.
        functions: Ranges,
        /// At these coils.
        co: Ranges,
        /// At these discrete inputs.
        di: Ranges,
        /// At these holding registers.
        hr: Ranges,
        /// At these input registers.
        ir: Ranges,
        /// In these files.
        files: Ranges,
    }
}

/// Reads a file and checks all of it. Nothing is started, and no port is touched; certificates are read.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: impl AsRef<Path>) -> Result<Plan, Invalid> {
    let path = path.as_ref();
    let text = text(path)?;
    let mut problems = Problems::default();
    let plan = parse(&text, &mut problems).and_then(|file| {
        let directory = path.parent().unwrap_or(Path::new(""));
        check::check(&file, directory, &mut problems)
    });
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        Some(plan) if !problems.has_errors() => Ok(Plan { warnings: Some(problems.of(path, text)), ..plan }),
        _ => Err(problems.of(path, text)),
    }
}

/// What the file holds, if that is text of a size that somebody can have meant.
fn text(path: &Path) -> Result<String, Invalid> {
    const LARGEST: u64 = 16 << 20;
    let there = "name a file that is there and that this user may read";
    let unreadable = |why: std::io::Error| Invalid::unreadable(path, &why.to_string(), there);
    let mut bytes = Vec::new();
    OnDisk::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Invalid::unreadable(path, "it has more than 16 MiB", "name a TOML file that describes servers"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let mend = "save the file as UTF-8, without which letters such as é have no meaning";
        Invalid::unreadable(path, &format!("line {line} is no UTF-8 text"), mend)
    })
}

/// The file as it is typed. What cannot be read of it is left out and said; of a file that is no TOML only that is said.
fn parse(text: &str, problems: &mut Problems) -> Option<File> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            problems.add(Problem::new(error.message(), &span, "this is no TOML"));
        }
        return None;
    }
    let span = table.span();
    File::read(&Spanned::new(span, DeValue::Table(table.into_inner())), problems)
}

/// The JSON Schema of the file, for editors.
pub fn schema() -> String {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(without_null));
    let schema = SchemaGenerator::new(settings).into_root_schema_for::<File>();
    serde_json::to_string_pretty(&schema).expect("a schema is a JSON value with texts as keys")
}

/// TOML has no null: a key that has no value is left out.
fn without_null(schema: &mut Schema) {
    let is_null = |of: &serde_json::Value| of == "null" || of.get("type").is_some_and(|of| of == "null");
    for key in ["type", "anyOf"] {
        if let Some(serde_json::Value::Array(kinds)) = schema.get_mut(key) {
            kinds.retain(|kind| !is_null(kind));
        }
    }
}

/// A key that must be there.
fn required<'a, T>(
    value: Option<&'a At<T>>,
    name: &str,
    of: &problem::Span,
    mend: &str,
    problems: &mut Problems,
) -> Option<&'a At<T>> {
    if value.is_none() && !problems.has_spoiled(name, of) {
        problems.add(Problem::new(format!("`{name}` is missing"), of, "here").with_mend(mend));
    }
    value
}
