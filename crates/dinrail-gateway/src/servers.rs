//! Running what a plan says, and changing over to another plan while clients are served.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use dinrail::Server;
use dinrail::server::{Failed, Hooks, Manager, Report, Status};
use dinrail::service::Service;
use dinrail::transport::Endpoint;
use tracing::{error, info};

use crate::console::Desk;
use crate::live::Live;
use crate::metrics::{Endpoint as MetricsEndpoint, Watched};
use crate::outcome::{Changes, NotStarted};
use crate::plan::{Data, Plan, ServerPlan};

/// The servers of a file, running.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut servers = dinrail_gateway::Servers::start(dinrail_gateway::load("dinrail.toml")?).await?;
/// for server in servers.status() {
///     println!("{} listens on {}", server.name, server.address);
/// }
/// let changes = servers.change(dinrail_gateway::load("dinrail.toml")?).await?;
/// println!("{changes}");
/// servers.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Servers {
    manager: Arc<Manager>,
    plan: Plan,
    data: Data,
    /// What each server answers from.
    live: HashMap<Arc<str>, Live>,
    desk: Desk,
    hooks: Option<Arc<dyn Hooks>>,
    /// Figures of the servers, and where they are shown.
    watched: Watched,
    endpoint: Option<MetricsEndpoint>,
}

/// A server that is not started, and the place of what it answers from.
type Built = (Live, Server<Live, Endpoint>);

impl Servers {
    /// Starts all servers of a plan, or none, and shows their figures where it says so.
    ///
    /// # Errors
    /// Of the first server that cannot be started, or when the figures cannot be shown.
    pub async fn start(plan: Plan) -> Result<Self, NotStarted> {
        Self::start_with(plan, None).await
    }

    /// As [`start`](Self::start), and tells `hooks` of what happens on the connections of all servers.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(plan: Plan, hooks: Option<Arc<dyn Hooks>>) -> Result<Self, NotStarted> {
        let mut this = Self::prepare(&plan, hooks).await?;
        this.manager.start_all().await?;
        this.show(&plan);
        this.plan = plan;
        Ok(this)
    }

    /// As [`start_with`](Self::start_with), but starts every server that can be started. The log says at ERROR what is wrong
    /// with each of the others, and so does their [`status`](Self::status); every [`change`](Self::change) tries them again.
    ///
    /// # Errors
    /// When no server can be started, or the figures cannot be shown.
    pub async fn start_what_can(plan: Plan, hooks: Option<Arc<dyn Hooks>>) -> Result<Self, NotStarted> {
        let mut this = Self::prepare(&plan, hooks).await?;
        let mut failed = Vec::new();
        for server in &plan.servers {
            failed.extend(this.manager.start(&server.name).await.err());
        }
        if !failed.is_empty() && failed.len() == plan.servers.len() {
            return Err(NotStarted::Every(failed));
        }
        failed.iter().for_each(say_not_started);
        this.show(&plan);
        this.plan = plan;
        Ok(this)
    }

    /// All servers of a plan, none of which runs; figures are shown.
    async fn prepare(plan: &Plan, hooks: Option<Arc<dyn Hooks>>) -> Result<Self, NotStarted> {
        let manager = Arc::new(Manager::new());
        let mut this = Self {
            desk: Desk::new(&manager),
            manager,
            plan: Plan::default(),
            data: Data::default(),
            live: HashMap::new(),
            hooks,
            watched: Watched::new(),
            endpoint: None,
        };
        this.show_at(plan.metrics.as_deref()).await?;
        for server in &plan.servers {
            let (live, built) = this.build(server);
            this.live.insert(server.name.clone(), live);
            this.manager.add(server.name.clone(), built)?;
        }
        Ok(this)
    }

    /// How each server is, in the file's order of when they were added.
    pub fn status(&self) -> Vec<Status> {
        self.manager.status()
    }

    /// What a [`Console`](crate::console::Console) is about; after a [`change`](Self::change) it is about what is there
    /// then.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// The URL at which their figures are shown; `None` when they are not.
    pub fn metrics(&self) -> Option<String> {
        self.endpoint.as_ref().map(MetricsEndpoint::to_string)
    }

    /// Stops all servers gracefully, and at the same time.
    pub async fn stop(&self) -> Report {
        self.manager.stop_all().await
    }

    /// Changes over to another plan and touches only what differs: a server that is written as before is not touched and
    /// keeps its connections, and a store that is written as before keeps its values. When a server cannot be started,
    /// everything is as it was before; only servers that had to make room for it were interrupted. Figures go on, and may be
    /// shown at another address, or begin or end to be shown, without any server being touched.
    ///
    /// A server that [could not be started](Self::start_what_can) before is tried again when all others are as they are to
    /// be. If it still cannot be started, that is no error: the log says so at ERROR, and the others serve.
    ///
    /// # Errors
    /// Of the server that cannot be started, or when the figures cannot be shown.
    pub async fn change(&mut self, mut plan: Plan) -> Result<Changes, NotStarted> {
        let is_shown_elsewhere = self.plan.metrics != plan.metrics;
        let shown = match is_shown_elsewhere {
            true => self.show_at(plan.metrics.as_deref()).await?,
            false => None,
        };
        let mut changes = Changes::default();
        let mut data = self.data.clone();
        let mut starts = Vec::new();
        let down = self.down();
        for server in &plan.servers {
            match self.plan.server(&server.name) {
                Some(_) if down.contains(&server.name) => continue,
                None => changes.added.push(server.name.clone()),
                Some(before) if !server.listens_like(before) => changes.restarted.push(server.name.clone()),
                Some(_) => continue,
            }
            starts.push((server, build(server, &mut data, &self.hooks, &self.watched)));
        }
        let gone = self.plan.servers.iter().filter(|before| plan.server(&before.name).is_none());
        changes.removed = gone.map(|before| before.name.clone()).collect();

        let mut done = Vec::new();
        if let Err(failed) = self.begin(starts, &changes, &down, &mut done).await {
            self.go_back(&changes, &down, done).await;
            self.watched.keep(|name| self.plan.server(name).is_some());
            if is_shown_elsewhere {
                self.show_as(shown).await;
            }
            return Err(failed.into());
        }
        // From here on nothing can fail.
        for name in &changes.removed {
            self.manager.remove(name).await;
            self.live.remove(name);
        }
        self.live.extend(done);
        for server in &mut plan.servers {
            let Some(before) = self.plan.server(&server.name) else { continue };
            if !server.listens_like(before) {
                if down.contains(&server.name) {
                    let (live, built) = build(server, &mut data, &self.hooks, &self.watched);
                    self.live.insert(server.name.clone(), live);
                    self.manager.remove(&server.name).await;
                    self.manager.add(server.name.clone(), built)?; // there is none of this name any more
                }
                continue;
            }
            if !server.answers_like(before) {
                if let Some(live) = self.live.get(&server.name) {
                    live.put(server.service(&mut data));
                }
                changes.changed.push(server.name.clone());
            }
            if let (Some(tls), Some(running)) = (&mut server.tls, &before.tls) {
                tls.tls = running.tls.clone();
                // Whoever starts this server again renews the certificates that it shows.
                server.endpoint = server.endpoint.clone().with_server_tls(running.tls.clone());
                let is_new = tls.fingerprint != running.fingerprint;
                // They were read a moment ago, by the check.
                match is_new.then(|| running.tls.reload()) {
                    Some(Ok(())) => changes.renewed.push(server.name.clone()),
                    Some(Err(error)) => {
                        error!(target: "dinrail::server", server = %server.name, %error, "the certificates stay as they were");
                        tls.fingerprint = running.fingerprint;
                    }
                    None => {}
                }
            }
        }
        data.keep(&plan);
        self.watched.keep(|name| plan.server(name).is_some());
        changes.metrics = is_shown_elsewhere;
        if let Some(before) = shown {
            before.close().await;
        }
        self.data = data;
        self.show(&plan);
        self.plan = plan;
        for name in down.into_iter().filter(|name| self.plan.server(name).is_some()) {
            match self.manager.start(&name).await {
                Ok(()) => changes.started.push(name),
                Err(failed) => say_not_started(&failed),
            }
        }
        Ok(changes)
    }

    /// Shows the figures at this address. Returns where they are shown still, until that is dropped; it is ended already when
    /// it is in the way. When the figures cannot be shown there, they are where they were.
    async fn show_at(&mut self, address: Option<&str>) -> Result<Option<MetricsEndpoint>, NotStarted> {
        let is_in_the_way = |before: &mut MetricsEndpoint| {
            let port = format!(":{}", before.local_addr().port());
            address.is_some_and(|address| address.ends_with(&port))
        };
        if let Some(before) = self.endpoint.take_if(is_in_the_way) {
            before.close().await;
        }
        let new = match address {
            Some(address) => match MetricsEndpoint::listen(address, self.watched.clone()).await {
                Ok(new) => Some(new),
                Err(error) => {
                    self.show_again().await;
                    return Err(NotStarted::Metrics(error));
                }
            },
            None => None,
        };
        self.watched.set_counting(new.is_some());
        Ok(std::mem::replace(&mut self.endpoint, new))
    }

    /// Shows the figures where they were shown before: `before`, unless that had to end.
    async fn show_as(&mut self, before: Option<MetricsEndpoint>) {
        if let Some(new) = std::mem::replace(&mut self.endpoint, before) {
            new.close().await;
        }
        self.show_again().await;
        self.watched.set_counting(self.endpoint.is_some());
    }

    /// Shows the figures where the plan says, if they are shown nowhere.
    async fn show_again(&mut self) {
        if let (None, Some(address)) = (&self.endpoint, &self.plan.metrics) {
            match MetricsEndpoint::listen(address, self.watched.clone()).await {
                Ok(again) => self.endpoint = Some(again),
                Err(error) => error!(target: "dinrail::metrics", %error, "cannot go back"),
            }
        }
    }

    /// Starts what is new and restarts what listens in another way. A server whose port an old one has is put off until
    /// that one has stopped.
    async fn begin(
        &self,
        starts: Vec<(&ServerPlan, Built)>,
        changes: &Changes,
        down: &[Arc<str>],
        done: &mut Vec<(Arc<str>, Live)>,
    ) -> Result<(), Failed> {
        let mut put_off = Vec::new();
        for (plan, (live, server)) in starts {
            let is_in_the_way = |name: &Arc<str>| {
                *name != plan.name
                    && self.plan.server(name).is_some_and(|old| may_be_one(&old.endpoint, &plan.endpoint))
            };
            if changes.removed.iter().chain(&changes.restarted).any(is_in_the_way) {
                put_off.push((plan, live, server));
                continue;
            }
            self.manager.replace(plan.name.clone(), server).await?;
            done.push((plan.name.clone(), live));
        }
        if put_off.is_empty() {
            return Ok(());
        }
        let goes = changes.removed.iter().chain(put_off.iter().map(|(plan, ..)| &plan.name));
        for name in goes.filter(|name| !down.contains(name)) {
            self.manager.stop(name).await;
        }
        for (plan, live, server) in put_off {
            self.manager.replace(plan.name.clone(), server).await?;
            done.push((plan.name.clone(), live));
        }
        Ok(())
    }

    /// The servers that could not be started.
    fn down(&self) -> Vec<Arc<str>> {
        let all = self.manager.status().into_iter();
        all.filter(|server| !server.running && server.error.is_some()).map(|server| server.name).collect()
    }

    /// Lets a console see the data of this plan.
    fn show(&mut self, plan: &Plan) {
        let stations = plan.servers.iter().map(|server| (server.name.clone(), server.station(&mut self.data)));
        self.desk.replace(stations);
    }

    fn build(&mut self, plan: &ServerPlan) -> Built {
        build(plan, &mut self.data, &self.hooks, &self.watched)
    }

    /// Undoes what has begun.
    async fn go_back(&mut self, changes: &Changes, down: &[Arc<str>], done: Vec<(Arc<str>, Live)>) {
        for (name, _) in &done {
            if self.plan.server(name).is_none() {
                self.manager.remove(name).await;
            } else {
                self.manager.stop(name).await;
            }
        }
        for (name, _) in done {
            let Some(before) = self.plan.server(&name).cloned() else { continue };
            let (live, server) = self.build(&before);
            match self.manager.replace(name.clone(), server).await {
                Ok(()) => drop(self.live.insert(name, live)),
                Err(failed) => error!(target: "dinrail::server", error = %failed, "cannot go back"),
            }
        }
        for name in changes.removed.iter().chain(&changes.restarted).filter(|name| !down.contains(name)) {
            if let Err(failed) = self.manager.start(name).await {
                error!(target: "dinrail::server", error = %failed, "cannot go back");
            }
        }
        info!(target: "dinrail::server", "every server is as it was before");
    }
}

fn say_not_started(failed: &Failed) {
    error!(target: "dinrail::server", server = %failed.name, error = %failed.error, "not started");
}

fn build(plan: &ServerPlan, data: &mut Data, hooks: &Option<Arc<dyn Hooks>>, watched: &Watched) -> Built {
    let live = Live::new(plan.service(data).boxed());
    let server = Server::on(plan.endpoint.clone(), live.clone())
        .with_options(plan.options.clone().with_metrics(watched.of(&plan.name)));
    match hooks {
        Some(hooks) => (live, server.with_hooks(hooks.clone())),
        None => (live, server),
    }
}

/// Whether they have the same port, or the same path, and the system does not choose it.
fn may_be_one(one: &Endpoint, other: &Endpoint) -> bool {
    let port = |endpoint: &Endpoint| endpoint.to_string().rsplit(':').next().unwrap_or_default().to_owned();
    port(one) == port(other) && port(one) != "0"
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.manager.fmt(f)
    }
}
