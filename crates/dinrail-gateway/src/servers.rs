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
}

/// A server that is not started, and the place of what it answers from.
type Built = (Live, Server<Live, Endpoint>);

/// What a change of plan did, by the names of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Servers that are new.
    pub added: Vec<Arc<str>>,
    /// Servers that are gone.
    pub removed: Vec<Arc<str>>,
    /// Servers that were stopped and started again, since they listen in another way or with other options.
    pub restarted: Vec<Arc<str>>,
    /// Servers whose data, identity or rules are others now; their connections are as they were.
    pub changed: Vec<Arc<str>>,
    /// Servers whose certificates were read again; their connections are as they were.
    pub renewed: Vec<Arc<str>>,
}

impl Changes {
    /// Whether everything is as it was.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("restarted", &self.restarted),
            ("changed", &self.changed),
            ("certificates renewed of", &self.renewed),
        ];
        let said: Vec<_> = all
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        f.write_str(if said.is_empty() { "nothing has changed" } else { "" })?;
        f.write_str(&said.join("; "))
    }
}

impl Servers {
    /// Starts all servers of a plan, or none.
    ///
    /// # Errors
    /// Of the first server that cannot be started.
    pub async fn start(plan: Plan) -> Result<Self, Failed> {
        Self::start_with(plan, None).await
    }

    /// As [`start`](Self::start), and tells `hooks` of what happens on the connections of all servers.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(plan: Plan, hooks: Option<Arc<dyn Hooks>>) -> Result<Self, Failed> {
        let manager = Arc::new(Manager::new());
        let mut this = Self {
            desk: Desk::new(&manager),
            manager,
            plan: Plan::default(),
            data: Data::default(),
            live: HashMap::new(),
            hooks,
        };
        for server in &plan.servers {
            let (live, built) = this.build(server);
            this.live.insert(server.name.clone(), live);
            this.manager.add(server.name.clone(), built)?;
        }
        this.manager.start_all().await?;
        this.show(&plan);
        this.plan = plan;
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

    /// Stops all servers gracefully, and at the same time.
    pub async fn stop(&self) -> Report {
        self.manager.stop_all().await
    }

    /// Changes over to another plan and touches only what differs: a server that is written as before is not touched and
    /// keeps its connections, and a store that is written as before keeps its values. When a server cannot be started,
    /// everything is as it was before; only servers that had to make room for it were interrupted.
    ///
    /// # Errors
    /// Of the server that cannot be started.
    pub async fn change(&mut self, mut plan: Plan) -> Result<Changes, Failed> {
        let mut changes = Changes::default();
        let mut data = self.data.clone();
        let mut starts = Vec::new();
        for server in &plan.servers {
            match self.plan.server(&server.name) {
                None => changes.added.push(server.name.clone()),
                Some(before) if !server.listens_like(before) => changes.restarted.push(server.name.clone()),
                Some(_) => continue,
            }
            starts.push((server, build(server, &mut data, &self.hooks)));
        }
        let gone = self.plan.servers.iter().filter(|before| plan.server(&before.name).is_none());
        changes.removed = gone.map(|before| before.name.clone()).collect();

        let mut done = Vec::new();
        if let Err(failed) = self.begin(starts, &changes, &mut done).await {
            self.go_back(&changes, done).await;
            return Err(failed);
        }
        // From here on nothing can fail.
        for name in &changes.removed {
            self.manager.remove(name).await;
            self.live.remove(name);
        }
        self.live.extend(done);
        for server in &mut plan.servers {
            let Some(before) = self.plan.server(&server.name).filter(|before| server.listens_like(before)) else {
                continue;
            };
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
        self.data = data;
        self.show(&plan);
        self.plan = plan;
        Ok(changes)
    }

    /// Starts what is new and restarts what listens in another way. A server whose port an old one has is put off until
    /// that one has stopped.
    async fn begin(
        &self,
        starts: Vec<(&ServerPlan, Built)>,
        changes: &Changes,
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
        for name in changes.removed.iter().chain(put_off.iter().map(|(plan, ..)| &plan.name)) {
            self.manager.stop(name).await;
        }
        for (plan, live, server) in put_off {
            self.manager.replace(plan.name.clone(), server).await?;
            done.push((plan.name.clone(), live));
        }
        Ok(())
    }

    /// Lets a console see the data of this plan.
    fn show(&mut self, plan: &Plan) {
        let stations = plan.servers.iter().map(|server| (server.name.clone(), server.station(&mut self.data)));
        self.desk.replace(stations);
    }

    fn build(&mut self, plan: &ServerPlan) -> Built {
        build(plan, &mut self.data, &self.hooks)
    }

    /// Undoes what has begun.
    async fn go_back(&mut self, changes: &Changes, done: Vec<(Arc<str>, Live)>) {
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
        for name in changes.removed.iter().chain(&changes.restarted) {
            if let Err(failed) = self.manager.start(name).await {
                error!(target: "dinrail::server", error = %failed, "cannot go back");
            }
        }
        info!(target: "dinrail::server", "every server is as it was before");
    }
}

fn build(plan: &ServerPlan, data: &mut Data, hooks: &Option<Arc<dyn Hooks>>) -> Built {
    let live = Live::new(plan.service(data).boxed());
    let server = Server::on(plan.endpoint.clone(), live.clone()).with_options(plan.options.clone());
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
