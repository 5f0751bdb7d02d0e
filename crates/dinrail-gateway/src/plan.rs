//! A file as it is meant: servers with all that they need, checked and not started.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use dinrail::server;
use dinrail::service::{
    BoxService, DeviceIdentity, ExceptionStatus, Fifos, Files, Memory, Rules, ServerId, Service as _, Sparse,
};
use dinrail::transport::{Endpoint, ServerTls};

use crate::config::{Cells, Invalid, Server, Store};
use crate::console::{self, Listen, Station};
use crate::read_only::{Guarded, ReadOnly};

/// What a file asks for, checked. [`Servers`](crate::Servers) runs it. Its `Display` is a summary, a line a server.
#[derive(Debug, Default)]
pub struct Plan {
    pub(crate) servers: Vec<ServerPlan>,
    pub(crate) console: Option<Listen>,
    pub(crate) warnings: Option<Invalid>,
    /// Where the figures are shown, as "host:port".
    pub(crate) metrics: Option<String>,
}

impl Plan {
    /// Where it asks for a [`Console`](crate::console::Console), which whoever runs it starts for
    /// [`Servers::desk`](crate::Servers::desk).
    pub fn console(&self) -> Option<Listen> {
        self.console
    }

    /// How many servers it has.
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// What is odd in the file, if anything is.
    pub fn warnings(&self) -> Option<&Invalid> {
        self.warnings.as_ref()
    }

    /// Shows figures at this address, "host:port", in place of the one that the file names.
    #[must_use]
    pub fn with_metrics(mut self, address: impl Into<String>) -> Self {
        self.metrics = Some(address.into());
        self
    }

    pub(crate) fn server(&self, name: &str) -> Option<&ServerPlan> {
        self.servers.iter().find(|server| *server.name == *name)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.servers.iter().map(|server| server.name.chars().count()).max().unwrap_or(0);
        for server in &self.servers {
            writeln!(f, "{:width$}  {}", server.name, server.endpoint)?;
        }
        match self.console {
            Some(listen) => writeln!(f, "with a console on {listen}"),
            None => Ok(()),
        }
    }
}

/// A server, and what it was made from.
#[derive(Clone, Debug)]
pub(crate) struct ServerPlan {
    pub(crate) name: Arc<str>,
    /// As it is typed; the same section makes the same server.
    pub(crate) section: Server,
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: Option<TlsPlan>,
    pub(crate) options: server::Options,
    pub(crate) store: StorePlan,
    pub(crate) read_only: Option<ReadOnly>,
    pub(crate) server_id: Option<ServerId>,
    pub(crate) identity: Option<DeviceIdentity>,
    pub(crate) rules: Option<Rules>,
    /// The text of the file that the rules are from.
    pub(crate) rules_text: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
pub(crate) struct TlsPlan {
    pub(crate) tls: ServerTls,
    /// Differs when the files differ.
    pub(crate) fingerprint: u64,
}

/// Whose a store is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StoreKey {
    Shared(String),
    Own(Arc<str>),
}

#[derive(Clone, Debug)]
pub(crate) struct StorePlan {
    pub(crate) key: StoreKey,
    pub(crate) section: Store,
    pub(crate) cells: Arc<[Cells]>,
}

impl ServerPlan {
    /// Whether another one listens in the same way, with the same options: then only what is answered may differ.
    pub(crate) fn listens_like(&self, other: &Self) -> bool {
        let listening = |section: &Server| Server {
            store: None,
            read_only: None,
            files: None,
            fifos: None,
            server_id: None,
            exception_status: None,
            identity: None,
            rule: None,
            rules: None,
            ..section.clone()
        };
        listening(&self.section) == listening(&other.section)
    }

    /// Whether another one answers in the same way.
    pub(crate) fn answers_like(&self, other: &Self) -> bool {
        self.section == other.section && self.store.is_same(&other.store) && self.rules_text == other.rules_text
    }

    /// What answers, from this data.
    pub(crate) fn service(&self, data: &mut Data) -> BoxService {
        let mut service = self.values(data);
        if let Some(files) = data.files(self) {
            service = service.with_part(files).boxed();
        }
        if let Some(bits) = &self.section.exception_status {
            service = service.with_part(ExceptionStatus::new(bits.value)).boxed();
        }
        if let Some(id) = &self.server_id {
            service = service.with_part(id.clone()).boxed();
        }
        if let Some(read_only) = &self.read_only {
            service = Guarded { service, read_only: read_only.clone() }.boxed();
        }
        if let Some(identity) = &self.identity {
            service = service.with_identity(identity.clone()).boxed();
        }
        match &self.rules {
            Some(rules) => service.with_rules(rules.clone()).boxed(),
            None => service,
        }
    }

    /// The values of the four areas as clients read them, from this data.
    fn values(&self, data: &mut Data) -> BoxService {
        let store = data.store(&self.store).boxed();
        match data.fifos(self) {
            Some(fifos) => store.with_part(fifos).boxed(),
            None => store,
        }
    }

    /// What the console sees of it. Neither rules nor `read_only` are about the operator.
    pub(crate) fn station(&self, data: &mut Data) -> Station {
        let station = Station::new(self.values(data)).with_units(self.options.units.clone());
        station.with_store(data.store(&self.store))
    }
}

impl StorePlan {
    fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.section == other.section
    }

    /// A store with the values of the file.
    fn make(&self) -> console::Store {
        if self.section.partial.as_ref().is_some_and(|partial| partial.value) {
            let store = Sparse::new();
            self.cells.iter().for_each(|cells| store.set(cells.area, cells.first, &cells.values));
            return console::Store::Sparse(store);
        }
        let [co, di, hr, ir] = self.section.sizes();
        let store = Memory::with_sizes(co, di, hr, ir);
        for Cells { area, first, values, .. } in self.cells.iter() {
            store.set(*area, *first, values).expect("the check has compared them with the size");
        }
        console::Store::Memory(store)
    }
}

/// The data of running servers. What is asked for again, in the same words, is the same data: clients' writes stay.
#[derive(Clone, Default)]
pub(crate) struct Data {
    stores: HashMap<StoreKey, (Store, console::Store)>,
    files: HashMap<Arc<str>, (Server, Files)>,
    fifos: HashMap<Arc<str>, (Server, Fifos)>,
}

impl Data {
    fn store(&mut self, plan: &StorePlan) -> console::Store {
        match self.stores.get(&plan.key) {
            Some((section, store)) if *section == plan.section => store.clone(),
            _ => {
                let store = plan.make();
                self.stores.insert(plan.key.clone(), (plan.section.clone(), store.clone()));
                store
            }
        }
    }

    fn files(&mut self, plan: &ServerPlan) -> Option<Files> {
        let wanted = plan.section.files.as_ref()?;
        match self.files.get(&plan.name) {
            Some((section, files)) if section.files.as_ref() == Some(wanted) => Some(files.clone()),
            _ => {
                let files = Files::new();
                for (number, entry) in &wanted.0 {
                    let number = number.parse().expect("checked");
                    files.put(number, entry.value.value.iter().map(|record| record.value));
                }
                self.files.insert(plan.name.clone(), (plan.section.clone(), files.clone()));
                Some(files)
            }
        }
    }

    fn fifos(&mut self, plan: &ServerPlan) -> Option<Fifos> {
        let wanted = plan.section.fifos.as_ref()?;
        match self.fifos.get(&plan.name) {
            Some((section, fifos)) if section.fifos.as_ref() == Some(wanted) => Some(fifos.clone()),
            _ => {
                let fifos = wanted.0.iter().fold(Fifos::new(), |fifos, (pointer, entry)| {
                    let pointer = pointer.parse().expect("checked");
                    fifos.with_queue(pointer, entry.value.value.iter().map(|value| value.value))
                });
                self.fifos.insert(plan.name.clone(), (plan.section.clone(), fifos.clone()));
                Some(fifos)
            }
        }
    }

    /// Forgets what this plan does not ask for.
    pub(crate) fn keep(&mut self, plan: &Plan) {
        self.stores.retain(|key, _| plan.servers.iter().any(|server| server.store.key == *key));
        self.files.retain(|name, _| plan.server(name).is_some_and(|server| server.section.files.is_some()));
        self.fifos.retain(|name, _| plan.server(name).is_some_and(|server| server.section.fifos.is_some()));
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.stores.keys()).finish()
    }
}
