//! The file as it is meant: what each key says together with the others, and with the files that it names.

mod console;
mod device;
mod options;
mod rules;
mod tls;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use dinrail::service::ServerId;
use dinrail::transport::{self, Endpoint};

use super::problem::{Problem, Problems, Span};
use super::read::{At, similar};
use super::{Bytes, File, Server, Store, StoreRef, required};
use crate::metrics::check_address;
use crate::plan::{Plan, ServerPlan, StoreKey, StorePlan};

pub(super) fn check(file: &File, directory: &Path, problems: &mut Problems) -> Option<Plan> {
    let Some(servers) = file.server.as_ref().filter(|servers| !servers.is_empty()) else {
        if !problems.has_errors() {
            let mend = "write one: [[server]], and below it name = \"plc\" and listen = \"tcp://127.0.0.1:5020\"";
            problems.add(Problem::new("there is no [[server]]", &(0..0), "nothing to serve").with_mend(mend));
        }
        return None;
    };
    let mut checker = Checker { file, directory, problems, shared: HashMap::new(), places: Vec::new() };
    checker.check_shared_stores();
    checker.check_names(servers);
    let plans: Vec<_> = servers.iter().filter_map(|server| checker.server(server)).collect();
    let console = file.console.as_ref().and_then(|console| checker.console(console));
    let metrics = checker.metrics();
    checker.check_ports();
    checker.check_unused(servers);
    (plans.len() == servers.len()).then_some(Plan { servers: plans, console, metrics, warnings: None })
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
    /// The network interface that it keeps to.
    interface: Option<&'a str>,
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

    /// A store that no server has is no error: the server may be there again tomorrow.
    fn check_unused(&mut self, servers: &[At<Server>]) {
        let used: HashSet<&str> = servers
            .iter()
            .filter_map(|server| match &server.store.as_ref()?.value {
                StoreRef::Named(name) => Some(name.as_str()),
                StoreRef::Own(_) => None,
            })
            .collect();
        let stores = self.file.store.iter().flat_map(|stores| &stores.0);
        for (name, entry) in stores.filter(|(name, _)| !used.contains(name.as_str())) {
            let problem = Problem::warning(format!("no server has the store {name:?}"), &entry.key, "not used");
            self.problems.add(problem.with_mend(format!("write store = {name:?} below a [[server]], or take it away")));
        }
    }

    /// Where the figures are shown.
    fn metrics(&mut self) -> Option<String> {
        let address = self.file.metrics.as_ref()?;
        if check_address(&address.value).is_err() {
            let problem = Problem::new(format!("{:?} is no address with a port", address.value), &address.span, "here");
            self.add(problem.with_mend("write host and port, such as \"127.0.0.1:9100\""));
        } else if let Ok(endpoint) = format!("tcp://{}", address.value).parse() {
            self.places.push(Place { name: "metrics", endpoint, interface: None, span: address.span.clone() });
        }
        Some(address.value.clone())
    }

    /// Two servers cannot listen at the same place.
    fn check_ports(&mut self) {
        let places = std::mem::take(&mut self.places);
        let mut at_port: HashMap<String, Vec<(Host, &Place<'_>)>> = HashMap::new();
        for later in &places {
            let Some((host, port)) = listens(&later.endpoint) else { continue };
            let there = at_port.entry(port).or_default();
            let apart = |other: Option<&str>| other.zip(later.interface).is_some_and(|(one, other)| one != other);
            let in_the_way = |(there, place): &&(Host, &Place<'_>)| there.collides(&host) && !apart(place.interface);
            let Some((_, earlier)) = there.iter().find(in_the_way) else {
                there.push((host, later));
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
            let interface = section.interface.as_ref().map(|interface| interface.value.as_str());
            self.places.push(Place { name, endpoint: endpoint.clone(), interface, span: span.clone() });
        }
        let tls = endpoint.as_ref().and_then(|endpoint| self.tls(section, endpoint));
        let options = self.options(section);
        let store = self.store(section, name.map_or("", |name| &name.value));
        let read_only = section.read_only.as_ref().and_then(|read_only| device::read_only(&read_only.value));
        self.check_numbered(section.files.as_ref(), "a file's number", 1);
        self.check_numbered(section.fifos.as_ref(), "a queue's pointer address", 0);
        self.check_lengths(section);
        let identity = section.identity.as_ref().map(|identity| self.identity(&identity.value));
        let (rules, rules_text) = self.authorization(section);
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
            rules_text,
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

    fn store(&mut self, section: &Server, server: &str) -> Option<StorePlan> {
        let own = match &section.store {
            None => Store::default(),
            Some(At { value: StoreRef::Own(own), .. }) => (**own).clone(),
            Some(At { value: StoreRef::Named(name), span }) => {
                if let Some(shared) = self.shared.get(name.as_str()) {
                    return Some(shared.clone());
                }
                let known: Vec<_> = self.shared.keys().copied().collect();
                let mend = match similar(name, &known) {
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
}

/// Where a server listens, without the port.
#[derive(PartialEq)]
enum Host {
    Address(IpAddr),
    /// Some name, or the path of a serial port.
    Name(String),
}

impl Host {
    /// Whether a server here and one there are in each other's way. `[::]` takes the addresses of IPv4 as well.
    fn collides(&self, other: &Self) -> bool {
        let takes = |one: &Self, other: &Self| match (one, other) {
            (Self::Address(IpAddr::V6(all)), _) if all.is_unspecified() => true,
            (Self::Address(IpAddr::V4(all)), Self::Address(other)) if all.is_unspecified() => other.is_ipv4(),
            (Self::Address(IpAddr::V4(all)), Self::Name(_)) if all.is_unspecified() => true,
            (Self::Name(name), Self::Address(address)) => name == "localhost" && address.is_loopback(),
            _ => false,
        };
        self == other || takes(self, other) || takes(other, self)
    }
}

/// The host, and what two servers may share only if that differs: the transport and port, or serial ports as such. `None`
/// when the system chooses the port.
fn listens(endpoint: &Endpoint) -> Option<(Host, String)> {
    let url = endpoint.to_string();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", &url));
    let place = rest.split('?').next().unwrap_or(rest);
    let transport = match scheme.rsplit('+').next().unwrap_or(scheme) {
        "tcp" | "tls" => "tcp",
        "udp" => "udp",
        _ => return Some((Host::Name(place.to_owned()), "serial".to_owned())),
    };
    let (host, port) = place.rsplit_once(':')?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = bare.parse().map_or_else(|_| Host::Name(bare.to_lowercase()), Host::Address);
    (port != "0").then(|| (host, format!("{transport} {port}")))
}
