//! Servers of every type as one, and what a manager knows of each.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::super::{Medium, Report, Server, Statistics};
use super::{Failed, Status};
use crate::Error;
use crate::service::Service;

type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Server`] without its types.
pub(super) trait Managed: Send + Sync {
    /// Whether it was started by this; `false` when it ran already.
    fn start(&self) -> Pending<'_, Result<bool, Error>>;
    fn stop(&self, grace: Option<Duration>) -> Pending<'_, Report>;
    fn is_running(&self) -> bool;
    /// As [`Status::address`].
    fn address(&self) -> String;
    fn statistics(&self) -> Statistics;
    fn uptime(&self) -> Option<Duration>;
    /// Why it has ended by itself.
    fn failure(&self) -> Option<Error>;
    fn active_connections(&self) -> usize;
}

impl<S: Service, M: Medium> Managed for Server<S, M> {
    fn start(&self) -> Pending<'_, Result<bool, Error>> {
        Box::pin(async {
            if self.is_running() {
                return Ok(false);
            }
            self.start().await.map(|_| true)
        })
    }

    fn stop(&self, grace: Option<Duration>) -> Pending<'_, Report> {
        Box::pin(self.stop_within(grace.unwrap_or(self.options.grace)))
    }

    fn is_running(&self) -> bool {
        self.is_running()
    }

    fn address(&self) -> String {
        self.local_addr().map_or_else(|| self.medium.to_string(), |local| self.medium.url(&local))
    }

    fn statistics(&self) -> Statistics {
        self.statistics()
    }

    fn uptime(&self) -> Option<Duration> {
        self.uptime()
    }

    fn failure(&self) -> Option<Error> {
        self.shared()?.failure.get().cloned()
    }

    fn active_connections(&self) -> usize {
        self.active_connections()
    }
}

/// A server of a manager.
pub(super) struct Member {
    pub(super) name: Arc<str>,
    server: Box<dyn Managed>,
    /// Held while it is started or stopped: one at a time. Whether it belongs to nobody any more, and is not to be started.
    retired: tokio::sync::Mutex<bool>,
    error: Mutex<Option<Error>>,
}

impl Member {
    pub(super) fn new<S: Service, M: Medium>(name: Arc<str>, mut server: Server<S, M>) -> Self {
        server.options.name = name.to_string();
        Self { name, server: Box::new(server), retired: tokio::sync::Mutex::new(false), error: Mutex::new(None) }
    }

    /// Whether it was started by this; `false` when it ran already, or is removed just now.
    pub(super) async fn start(&self) -> Result<bool, Failed> {
        let retired = self.retired.lock().await;
        if *retired {
            return Ok(false);
        }
        let started = self.server.start().await;
        *self.error() = started.as_ref().err().cloned();
        started.map_err(|error| Failed { name: self.name.clone(), error })
    }

    /// Stops within its own grace time, or this one.
    pub(super) async fn stop(&self, grace: Option<Duration>) -> Report {
        let _alone = self.retired.lock().await;
        *self.error() = None;
        self.server.stop(grace).await
    }

    /// Stops for good.
    pub(super) async fn retire(&self) -> Report {
        let mut retired = self.retired.lock().await;
        *retired = true;
        self.server.stop(None).await
    }

    pub(super) fn is_running(&self) -> bool {
        self.server.is_running()
    }

    pub(super) fn address(&self) -> String {
        self.server.address()
    }

    pub(super) fn status(&self) -> Status {
        let statistics = self.server.statistics();
        Status {
            name: self.name.clone(),
            address: self.address(),
            running: self.is_running(),
            error: self.error().clone().or_else(|| self.server.failure()),
            uptime: self.server.uptime(),
            requests: statistics.requests,
            exceptions: statistics.exceptions,
            active_connections: self.server.active_connections(),
        }
    }

    /// Nothing panics while this is held.
    fn error(&self) -> MutexGuard<'_, Option<Error>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for all of them at the same time, in this task; what they return, in their order.
pub(super) async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        for (future, output) in &mut pending {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *output = Some(ready);
            }
        }
        if pending.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}
