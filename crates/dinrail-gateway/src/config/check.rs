//! The file as it is meant: what each key says together with the others, and with the files that it names.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dinrail::proto::FunctionCode;
use dinrail::server::{DiagnosticsMode, MissingUnit, Options};
use dinrail::service::{DeviceIdentity, Rules, ServerId};
use dinrail::transport::{Endpoint, TlsOptions, TlsVersion};
use dinrail::{Area, transport};
use ipnet::IpNet;

use super::kinds::{Access, MinVersion, ReadOnly};
use super::problem::{Problem, Problems, Span};
use super::read::{At, Named};
use super::{
    Bytes, ClientAuth, Diagnostics, File, Identity, Limit, Ranges, Rule, Server, StoreRef, Tls, WhenFull, required,
};
use crate::plan::{Plan, ServerPlan, StoreKey, StorePlan, TlsPlan};
use crate::read_only;

/// The most threads that one server may have.
const MOST_THREADS: u16 = 256;
/// The numbers of files are 1 to 65535; a file has records 0 to 9999.
const MOST_RECORDS: usize = 10_000;

pub(super) fn check(file: &File, directory: &Path, problems: &mut Problems) -> Option<Plan> {
    let Some(servers) = file.server.as_ref().filter(|servers| !servers.is_empty()) else {
        if problems.is_empty() {
            let mend = "write one: [[server]], and below it name = \"plc\" and listen = \"tcp://127.0.0.1:5020\"";
            problems.add(Problem::new("there is no [[server]]", &(0..0), "nothing to serve").with_mend(mend));
        }
        return None;
    };
    let mut checker = Checker { file, directory, problems, shared: HashMap::new(), places: Vec::new() };
    checker.check_shared_stores();
    checker.check_names(servers);
    let plans: Vec<_> = servers.iter().filter_map(|server| checker.server(server)).collect();
    checker.check_ports();
    (plans.len() == servers.len()).then_some(Plan { servers: plans })
}

struct Checker<'a> {
    file: &'a File,
    directory: &'a Path,
    problems: &'a mut Problems,
    /// Stores by name.
    shared: HashMap<&'a str, StorePlan>,
    /// Where servers listen.
    places: Vec<Place<'a>>,
}

struct Place<'a> {
    name: &'a str,
    endpoint: Endpoint,
    span: Span,
}

impl<'a> Checker<'a> {
    fn add(&mut self, problem: Problem) {
        self.problems.add(problem);
    }

    fn check_shared_stores(&mut self) {
        for (name, entry) in self.file.store.iter().flat_map(|stores| &stores.0) {
            let section = &entry.value.value;
            let plan = StorePlan {
                key: StoreKey::Shared(name.clone()),
                section: section.clone(),
                cells: section.cells(self.problems).into(),
            };
            self.shared.insert(name, plan);
        }
    }

    fn check_names(&mut self, servers: &[At<Server>]) {
        let mut seen: HashMap<&str, &Span> = HashMap::new();
        for name in servers.iter().filter_map(|server| server.name.as_ref()) {
            if name.value.trim().is_empty() {
                let problem = Problem::new("a name is empty", &name.span, "empty");
                self.add(problem.with_mend("name the server, such as \"plc\""));
            }
            if let Some(first) = seen.get(name.value.as_str()) {
                let problem = Problem::new(format!("two servers are called {:?}", name.value), &name.span, "again");
                self.add(problem.with_other(first, "first here").with_mend("give each server a name of its own"));
            } else {
                seen.insert(&name.value, &name.span);
            }
        }
    }

    /// Two servers cannot listen at the same place.
    fn check_ports(&mut self) {
        let places = std::mem::take(&mut self.places);
        for (index, later) in places.iter().enumerate() {
            let Some(earlier) = places[..index].iter().find(|earlier| collide(&earlier.endpoint, &later.endpoint))
            else {
                continue;
            };
            let what = if earlier.endpoint.to_string() == later.endpoint.to_string() {
                format!("two servers listen on {}", later.endpoint)
            } else {
                format!("{} and {} are in each other's way", earlier.endpoint, later.endpoint)
            };
            let problem = Problem::new(what, &later.span, format!("{:?} listens here", later.name))
                .with_other(&earlier.span, format!("{:?} listens here", earlier.name));
            self.add(problem.with_mend("give one of them another port"));
        }
    }

    fn server(&mut self, at: &'a At<Server>) -> Option<ServerPlan> {
        let section = &at.value;
        let mend = "name the server: name = \"plc\"";
        let name = required(section.name.as_ref(), "name", &at.span, mend, self.problems);
        let endpoint = self.endpoint(at);
        let listen = section.listen.as_ref().map(|listen| &listen.span);
        let said =
            listen.or(section.port.as_ref().map(|port| &port.span)).or(section.host.as_ref().map(|host| &host.span));
        if let (Some(endpoint), Some(span)) = (&endpoint, said) {
            let name = name.map_or("", |name| &name.value);
            self.places.push(Place { name, endpoint: endpoint.clone(), span: span.clone() });
        }
        let tls = endpoint.as_ref().and_then(|endpoint| self.tls(section, endpoint));
        let options = self.options(section);
        let store = self.store(section, name.map_or("", |name| &name.value));
        let read_only = section.read_only.as_ref().and_then(|read_only| read_only_of(&read_only.value));
        self.check_numbered(section.files.as_ref(), "a file's number", 1);
        self.check_numbered(section.fifos.as_ref(), "a queue's pointer address", 0);
        self.check_lengths(section);
        let identity = section.identity.as_ref().map(|identity| self.identity(&identity.value));
        let rules = section.rule.as_ref().map(|rules| self.rules(rules));
        let endpoint = endpoint?;
        Some(ServerPlan {
            name: Arc::from(name?.value.as_str()),
            section: section.clone(),
            endpoint: match &tls {
                Some(plan) => endpoint.with_server_tls(plan.tls.clone()),
                None => endpoint,
            },
            tls,
            options,
            store: store?,
            read_only,
            server_id: section.server_id.as_deref().map(|Bytes(id)| ServerId::new(id)),
            identity,
            rules,
        })
    }

    fn endpoint(&mut self, at: &At<Server>) -> Option<Endpoint> {
        match (&at.listen, &at.host, &at.port) {
            (Some(listen), None, None) => match listen.value.parse() {
                Ok(endpoint) => Some(endpoint),
                Err(error) => {
                    let error: transport::BadUrl = error;
                    self.add(Problem::new(error.to_string(), &listen.span, "no place to listen"));
                    None
                }
            },
            (Some(listen), host, port) => {
                let other = host.as_ref().map(|host| &host.span).or(port.as_ref().map(|port| &port.span));
                let problem = Problem::new("the place to listen is said twice", &listen.span, "here")
                    .with_other(other.unwrap_or(&listen.span), "and here");
                self.add(problem.with_mend("keep `listen`, or `host` and `port`"));
                None
            }
            (None, Some(host), port) => {
                let number = port.as_ref().map_or(502, |port| port.value);
                let bracketed = if host.contains(':') && !host.starts_with('[') {
                    format!("[{}]", host.value)
                } else {
                    host.value.clone()
                };
                match format!("tcp://{bracketed}:{number}").parse() {
                    Ok(endpoint) => Some(endpoint),
                    Err(_) => {
                        let problem = Problem::new(format!("{:?} is no host", host.value), &host.span, "no host");
                        self.add(problem.with_mend("write a name or an address, such as \"127.0.0.1\""));
                        None
                    }
                }
            }
            (None, None, _) => {
                let mend = "say where it listens: listen = \"tcp://127.0.0.1:5020\"";
                required::<String>(None, "listen", &at.span, mend, self.problems);
                None
            }
        }
    }

    fn tls(&mut self, section: &Server, endpoint: &Endpoint) -> Option<TlsPlan> {
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

    fn options(&mut self, section: &Server) -> Options {
        let mut options = Options::default();
        if let Some(units) = &section.units {
            options = options.with_units(self.units(&units.value).into_iter().flatten());
        }
        if section.ignore_missing_units.as_ref().is_some_and(|ignore| ignore.value) {
            options = options.with_missing_units(MissingUnit::Ignore);
        }
        if let Some(limit) =
            self.at_least_one(&section.max_connections, "max_connections", "allow at least one connection")
        {
            options = options.with_max_connections(limit as usize);
        }
        if let Some(concurrency) =
            self.at_least_one(&section.concurrency, "concurrency", "allow at least one request at a time")
        {
            options = options.with_concurrency(concurrency as usize);
        }
        if let Some(rate) = self.at_least_one(&section.rate, "rate", "allow at least one request a second") {
            options = options.with_rate(rate);
        }
        if section.when_full.as_ref().is_some_and(|when| when.value == WhenFull::Refuse) {
            options = options.with_when_full(dinrail::server::WhenFull::Refuse);
        }
        if let Some(Limit(time)) = section.idle_timeout.as_deref() {
            options = options.with_idle_timeout(*time);
        }
        if let Some(Limit(time)) = section.request_timeout.as_deref() {
            options = options.with_request_deadline(*time);
        }
        if let Some(Limit(time)) = section.keep_alive.as_deref() {
            options = options.with_keep_alive(*time);
        }
        if let Some(time) = self.time(&section.handshake_timeout, "a handshake has an end") {
            options = options.with_handshake_timeout(time);
        }
        if let Some(time) = self.time(&section.grace, "a stop has an end") {
            options = options.with_grace(time);
        }
        if let Some(broadcast) = &section.broadcast {
            options = options.with_broadcast(broadcast.value);
        }
        if let Some(diagnostics) = &section.diagnostics {
            options = options.with_diagnostics(match diagnostics.value {
                Diagnostics::Off => DiagnosticsMode::Off,
                Diagnostics::Live => DiagnosticsMode::Live,
                Diagnostics::Frozen => DiagnosticsMode::Frozen,
            });
        }
        if let Some(threads) = &section.threads {
            if (1..=MOST_THREADS).contains(&threads.value) {
                options = options.with_threads(usize::from(threads.value));
            } else {
                let problem =
                    Problem::new(format!("{} is no number of threads", threads.value), &threads.span, "1 to 256");
                self.add(problem.with_mend("take a number from 1 to 256, or leave the key out to share one"));
            }
        }
        options.with_allow(self.allowed(section))
    }

    fn at_least_one(&mut self, value: &Option<At<u32>>, name: &str, mend: &str) -> Option<u32> {
        let value = value.as_ref()?;
        if value.value == 0 {
            self.add(Problem::new(format!("`{name}` is 0"), &value.span, "0 allows nothing").with_mend(mend));
            return None;
        }
        Some(value.value)
    }

    fn time(&mut self, value: &Option<At<Limit>>, why: &str) -> Option<Duration> {
        let value = value.as_ref()?;
        if value.value.0.is_none() {
            self.add(
                Problem::new("\"off\" cannot be here", &value.span, why).with_mend("write a time, such as \"5s\""),
            );
        }
        value.value.0
    }

    fn allowed(&mut self, section: &Server) -> Vec<IpNet> {
        let mut nets = Vec::new();
        for text in section.allow.iter().flat_map(|allow| &allow.value) {
            let net = text.value.parse::<IpNet>().ok();
            match net.or_else(|| text.value.parse::<IpAddr>().ok().map(IpNet::from)) {
                Some(net) => nets.push(net),
                None => {
                    let title = format!("{:?} is no address and no network", text.value);
                    let problem = Problem::new(title, &text.span, "neither");
                    self.add(problem.with_mend("write one such as \"192.168.1.7\" or \"10.0.0.0/8\""));
                }
            }
        }
        nets
    }

    /// Each range of units; what is beyond 255 is said.
    fn units(&mut self, Ranges(ranges): &Ranges) -> Vec<std::ops::RangeInclusive<u8>> {
        let mut units = Vec::new();
        for range in ranges {
            match (u8::try_from(*range.start()), u8::try_from(*range.end())) {
                (Ok(first), Ok(last)) => units.push(first..=last),
                _ => {
                    let title = format!("units end at 255, not at {}", range.end());
                    self.add(Problem::new(title, &range.span, "too large").with_mend("take units from 0 to 255"));
                }
            }
        }
        units
    }

    fn store(&mut self, section: &Server, server: &str) -> Option<StorePlan> {
        let own = match &section.store {
            None => super::Store::default(),
            Some(At { value: StoreRef::Own(own), .. }) => (**own).clone(),
            Some(At { value: StoreRef::Named(name), span }) => {
                if let Some(shared) = self.shared.get(name.as_str()) {
                    return Some(shared.clone());
                }
                let known: Vec<_> = self.shared.keys().copied().collect();
                let mend = match super::read::similar(name, &known) {
                    Some(similar) => format!("did you mean {similar:?}?"),
                    None => format!("write a table [store.{name}]"),
                };
                self.add(Problem::new(format!("there is no store {name:?}"), span, "not there").with_mend(mend));
                return None;
            }
        };
        let cells = own.cells(self.problems).into();
        Some(StorePlan { key: StoreKey::Own(server.into()), section: own, cells })
    }

    /// Keys that are numbers.
    fn check_numbered<T>(&mut self, table: Option<&At<Named<T>>>, what: &str, least: u16) {
        for (key, entry) in table.iter().flat_map(|table| &table.value.0) {
            if !key.parse::<u16>().is_ok_and(|number| number >= least) {
                let problem = Problem::new(format!("{key:?} is not {what}"), &entry.key, "no such number");
                self.add(problem.with_mend(format!("take a number from {least} to 65535")));
            }
        }
    }

    fn check_lengths(&mut self, section: &Server) {
        for (_, entry) in section.files.iter().flat_map(|files| &files.value.0) {
            let length = entry.value.value.len();
            if length > MOST_RECORDS {
                let problem =
                    Problem::new(format!("a file cannot have {length} records"), &entry.value.span, "too many");
                self.add(problem.with_mend("write 10000 at most"));
            }
        }
        if let Some(id) = &section.server_id
            && id.value.0.len() > 249
        {
            let title = format!("a server id of {} bytes does not fit in a reply", id.value.0.len());
            self.add(Problem::new(title, &id.span, "too long").with_mend("write 249 bytes at most"));
        }
    }

    fn identity(&mut self, section: &Identity) -> DeviceIdentity {
        let texts = [
            (0, &section.vendor),
            (1, &section.product),
            (2, &section.revision),
            (3, &section.url),
            (4, &section.product_name),
            (5, &section.model),
            (6, &section.application),
        ];
        let mut identity = DeviceIdentity::default();
        for (id, text) in texts {
            if let Some(text) = text {
                identity = identity.with_object(id, self.object(&text.value, &text.span));
            }
        }
        for (key, entry) in section.objects.iter().flat_map(|objects| &objects.value.0) {
            match key.parse() {
                Ok(id @ 128..) => {
                    identity = identity.with_object(id, self.object(&entry.value.value, &entry.value.span))
                }
                _ => {
                    let problem =
                        Problem::new(format!("{key:?} is no object of one's own"), &entry.key, "no such object");
                    self.add(problem.with_mend("take a number from 128 to 255"));
                }
            }
        }
        identity
    }

    fn object<'t>(&mut self, text: &'t str, span: &Span) -> &'t [u8] {
        if text.len() > 244 {
            let title = format!("an object of {} bytes does not fit in a reply", text.len());
            self.add(Problem::new(title, span, "too long").with_mend("write 244 bytes at most"));
        }
        text.as_bytes()
    }

    fn rules(&mut self, rules: &At<Vec<At<Rule>>>) -> Rules {
        rules.value.iter().filter_map(|rule| self.rule(rule)).collect()
    }

    fn rule(&mut self, at: &At<Rule>) -> Option<dinrail::service::Rule> {
        let section = &at.value;
        let mend = "say what it allows: access = \"read\", \"write\" or \"all\"";
        let access = required(section.access.as_ref(), "access", &at.span, mend, self.problems);
        let anyone = section.anyone.as_ref().filter(|anyone| anyone.value);
        let made = match (&section.role, anyone) {
            (Some(role), None) if !role.value.is_empty() => Some(Some(Arc::<str>::from(role.value.as_str()))),
            (Some(role), None) => {
                let problem = Problem::new("a role is empty", &role.span, "no certificate has such a one");
                self.add(problem.with_mend("write the role that is in the certificate"));
                None
            }
            (None, Some(_)) => Some(None),
            (Some(role), Some(anyone)) => {
                let problem = Problem::new("the rule has a role and is for anyone", &role.span, "a role")
                    .with_other(&anyone.span, "anyone");
                self.add(problem.with_mend("take one of the two"));
                None
            }
            (None, None) => {
                let problem = Problem::new("the rule is for nobody", &at.span, "here");
                self.add(problem.with_mend("give it a role, or anyone = true"));
                None
            }
        };
        let access = match access?.value {
            Access::Read => dinrail::service::Access::Read,
            Access::Write => dinrail::service::Access::Write,
            Access::All => dinrail::service::Access::All,
        };
        let mut rule = match made? {
            Some(role) => dinrail::service::Rule::new(role, access),
            None => dinrail::service::Rule::anyone(access),
        };
        for units in section.units.iter().flat_map(|units| self.units(&units.value)) {
            rule = rule.with_units(units);
        }
        for range in section.functions.iter().flat_map(|functions| &functions.value.0) {
            for code in range.value.clone() {
                match u8::try_from(code).ok().and_then(FunctionCode::new) {
                    Some(function) => rule = rule.with_functions([function]),
                    None => {
                        let problem = Problem::new(format!("{code} is no function code"), &range.span, "no function");
                        self.add(problem.with_mend("take codes from 1 to 127"));
                        break;
                    }
                }
            }
        }
        let areas = [
            (Area::Coil, &section.co),
            (Area::DiscreteInput, &section.di),
            (Area::HoldingRegister, &section.hr),
            (Area::InputRegister, &section.ir),
        ];
        for (area, ranges) in areas {
            for range in ranges.iter().flat_map(|ranges| &ranges.value.0) {
                rule = rule.with_area(area, range.value.clone());
            }
        }
        for range in section.files.iter().flat_map(|files| &files.value.0) {
            rule = rule.with_files(range.value.clone());
        }
        Some(rule)
    }
}

fn read_only_of(section: &ReadOnly) -> Option<read_only::ReadOnly> {
    match section {
        ReadOnly::All(true) => Some(read_only::ReadOnly::Everything),
        ReadOnly::All(false) => None,
        ReadOnly::Places(places) => {
            let areas = [(Area::Coil, &places.co), (Area::HoldingRegister, &places.hr)];
            let ranges = areas.into_iter().flat_map(|(area, place)| {
                place.iter().flat_map(move |place| place.0.0.iter().map(move |range| (area, range.value.clone())))
            });
            Some(read_only::ReadOnly::These(ranges.collect()))
        }
    }
}

/// Whether two servers cannot both listen there: the same port of the same address or of all, or the same serial port.
fn collide(one: &Endpoint, other: &Endpoint) -> bool {
    let place = |endpoint: &Endpoint| {
        let url = endpoint.to_string();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", &url));
        let rest = rest.split('?').next().unwrap_or(rest).to_owned();
        let transport = scheme.rsplit('+').next().unwrap_or(scheme);
        match transport {
            "tcp" | "tls" => ("tcp", rest),
            "udp" => ("udp", rest),
            _ => ("serial", rest),
        }
    };
    let ((kind, one), (other_kind, other)) = (place(one), place(other));
    if kind != other_kind {
        return false;
    }
    let (Some((host, port)), Some((other_host, other_port))) = (one.rsplit_once(':'), other.rsplit_once(':')) else {
        return one == other;
    };
    if kind == "serial" {
        return one == other;
    }
    let is_any = |host: &str| matches!(host, "0.0.0.0" | "[::]");
    port == other_port && port != "0" && (host == other_host || is_any(host) || is_any(other_host))
}
