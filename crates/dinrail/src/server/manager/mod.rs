//! Many servers in one process: started, watched and stopped together, each with a name, a service, a medium and options
//! of its own. What goes wrong with one is said of that one, and harms no other.

mod managed;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{error, info};

use self::managed::{Member, all};
use super::{Medium, Report, Server};
use crate::Error;
use crate::service::Service;

/// Servers by name, in the order in which they were added. They may be of any kind, and be added and removed while others
/// run. Whether two of them share their data is up to their services: clones of a [`Memory`](crate::service::Memory) do.
///
/// Servers run in the runtime that starts them, or on [threads of their own](super::Options::threads). Dropping the manager
/// ends them all at once.
///
/// ```no_run
/// use dinrail::server::Manager;
/// use dinrail::service::Memory;
/// use dinrail::Server;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let shared = Memory::new();
/// let servers = Manager::new();
/// servers.add("plant", Server::tcp("127.0.0.1:5020", shared.clone()))?;
/// servers.add("plant-udp", Server::udp("127.0.0.1:5020", shared))?;
/// servers.add("test", Server::tcp("127.0.0.1:5021", Memory::new()))?;
/// servers.start_all().await?;
/// for server in servers.status() {
///     println!("{} on {}: {} requests", server.name, server.address, server.requests);
/// }
/// servers.stop_all().await;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Manager {
    members: Mutex<Vec<Arc<Member>>>,
}

/// How a server is, at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// What it was added as.
    pub name: Arc<str>,
    /// The URL on which it listens, or, when it does not run, is to listen.
    pub address: String,
    /// Whether it listens.
    pub running: bool,
    /// Why it does not run, if it could not be started or has ended by itself.
    pub error: Option<Error>,
    /// How long it has been running; `None` when it does not run.
    pub uptime: Option<Duration>,
    /// Requests answered or silently dropped since it was started.
    pub requests: u64,
    /// Requests answered with an exception since it was started.
    pub exceptions: u64,
    /// Connections that are open.
    pub active_connections: usize,
}

/// What is wrong with which server. Its text names both.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failed {
    /// The server's name.
    pub name: Arc<str>,
    /// What is wrong.
    pub error: Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {:?}: {}", self.name, self.error)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl Failed {
    fn option(name: impl Into<Arc<str>>, what: &'static str) -> Self {
        Self { name: name.into(), error: Error::Option(what) }
    }
}

impl Manager {
    /// No server yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a server, and does not start it. Its [name in logs](super::Options::name) is `name` from its next start on.
    ///
    /// # Errors
    /// When there is a server of this name.
    pub fn add<S: Service, M: Medium>(&self, name: impl Into<Arc<str>>, server: Server<S, M>) -> Result<(), Failed> {
        self.insert(Arc::new(Member::new(name.into(), server)))
    }

    /// Stops a server as [`stop`](Self::stop) does, and takes it out; `None` when there is none of this name.
    pub async fn remove(&self, name: &str) -> Option<Report> {
        let member = self.member(name)?;
        let report = member.retire().await;
        self.take_out(&member);
        Some(report)
    }

    /// Puts `server` in the place of the one of this name, and starts it. The old one is stopped once the new one
    /// listens, or just before where both have the same address. When the new one cannot be started, the old one is still
    /// there: it goes on, or is started again if it had to stop and ran before. Without an old one the server is added and
    /// started, or not added.
    ///
    /// # Errors
    /// When the new server cannot be started.
    pub async fn replace<S: Service, M: Medium>(
        &self,
        name: impl Into<Arc<str>>,
        server: Server<S, M>,
    ) -> Result<(), Failed> {
        let new = Arc::new(Member::new(name.into(), server));
        let Some(old) = self.member(&new.name) else {
            self.insert(new.clone())?;
            return match new.start().await {
                Ok(_) => Ok(()),
                Err(failed) => {
                    self.take_out(&new);
                    Err(failed)
                }
            };
        };
        let (from, to) = (old.address(), new.address());
        let mut stopped = false;
        if old.is_running() && from == to {
            old.stop(None).await;
            stopped = true;
        }
        let mut started = new.start().await;
        // The same host may be written in another way, and then the old one may be in the way of the new one.
        let may_be_old = |failed: &Failed| is_taken(failed) && port(&from) == port(&to);
        if !stopped && old.is_running() && started.as_ref().is_err_and(may_be_old) {
            old.stop(None).await;
            stopped = true;
            started = new.start().await;
        }
        if let Err(failed) = started {
            if stopped && let Err(failed) = old.start().await {
                error!(target: "dinrail::server", server = %old.name, error = %failed.error, "cannot be started again");
            }
            return Err(failed);
        }
        let removed_meanwhile = !self.exchange(&old, &new);
        old.retire().await;
        if removed_meanwhile {
            new.retire().await;
        }
        Ok(())
    }

    /// Starts one server. Does nothing when it runs.
    ///
    /// # Errors
    /// When it cannot be started, or there is none of this name.
    pub async fn start(&self, name: &str) -> Result<(), Failed> {
        match self.member(name) {
            Some(member) => member.start().await.map(drop),
            None => Err(Failed::option(name, "there is no server of this name: add one")),
        }
    }

    /// Starts all servers, in order, or none: when one cannot be started, those that this has started are stopped again.
    ///
    /// # Errors
    /// Of the first server that cannot be started.
    pub async fn start_all(&self) -> Result<(), Failed> {
        let mut started = Vec::new();
        for member in self.every() {
            match member.start().await {
                Ok(true) => started.push(member),
                Ok(false) => {}
                Err(failed) => {
                    all(started.iter().map(|member| member.stop(None))).await;
                    return Err(failed);
                }
            }
        }
        Ok(())
    }

    /// Starts every server that can be started, and returns what is wrong with the others. They stay, stopped; their
    /// [`status`](Self::status) says why.
    pub async fn start_what_can(&self) -> Vec<Failed> {
        let mut failed = Vec::new();
        for member in self.every() {
            if let Err(error) = member.start().await {
                error!(target: "dinrail::server", server = %error.name, error = %error.error, "not started");
                failed.push(error);
            }
        }
        failed
    }

    /// Stops one server gracefully, as [`Server::stop`]; it stays and can be started again. `None` when there is none of
    /// this name.
    pub async fn stop(&self, name: &str) -> Option<Report> {
        Some(self.member(name)?.stop(None).await)
    }

    /// Stops all servers gracefully and at the same time: it takes no longer than the longest [grace
    /// time](super::Options::grace) of any of them. The report is the sum of theirs.
    pub async fn stop_all(&self) -> Report {
        self.stop_every(None).await
    }

    /// As [`stop_all`](Self::stop_all), with one grace time for all.
    pub async fn stop_all_within(&self, grace: Duration) -> Report {
        self.stop_every(Some(grace)).await
    }

    /// Starts all servers or none, serves until `shutdown` is there, and stops them gracefully.
    ///
    /// # Errors
    /// As [`start_all`](Self::start_all).
    pub async fn serve_until(&self, shutdown: impl Future<Output = ()>) -> Result<Report, Failed> {
        self.start_all().await?;
        shutdown.await;
        Ok(self.stop_all().await)
    }

    /// How every server is, in the order in which they were added.
    pub fn status(&self) -> Vec<Status> {
        self.every().iter().map(|member| member.status()).collect()
    }

    async fn stop_every(&self, grace: Option<Duration>) -> Report {
        let members = self.every();
        let reports = all(members.iter().map(|member| member.stop(grace))).await;
        let sum = reports.iter().fold(Report::default(), |sum, report| Report {
            drained: sum.drained + report.drained,
            aborted: sum.aborted + report.aborted,
        });
        info!(target: "dinrail::server", servers = members.len(), drained = sum.drained, aborted = sum.aborted, "all stopped");
        sum
    }

    fn insert(&self, member: Arc<Member>) -> Result<(), Failed> {
        let mut members = self.members();
        if members.iter().any(|there| there.name == member.name) {
            let name = member.name.clone();
            return Err(Failed::option(name, "there is a server of this name: take another, or replace it"));
        }
        members.push(member);
        Ok(())
    }

    /// Puts `new` where `old` is; `false` when that is not there.
    fn exchange(&self, old: &Arc<Member>, new: &Arc<Member>) -> bool {
        let mut members = self.members();
        let place = members.iter_mut().find(|there| Arc::ptr_eq(there, old));
        place.map(|place| *place = new.clone()).is_some()
    }

    fn take_out(&self, member: &Arc<Member>) {
        self.members().retain(|there| !Arc::ptr_eq(there, member));
    }

    fn member(&self, name: &str) -> Option<Arc<Member>> {
        self.members().iter().find(|member| &*member.name == name).cloned()
    }

    fn every(&self) -> Vec<Arc<Member>> {
        self.members().clone()
    }

    /// Nothing panics while this is held, and nothing waits.
    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_taken(failed: &Failed) -> bool {
    matches!(&failed.error, Error::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse)
}

/// What stands behind the last colon of a URL.
fn port(url: &str) -> &str {
    url.rsplit(':').next().unwrap_or(url)
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.every().iter().map(|member| (&member.name, member.address()))).finish()
    }
}
