//! Servers: they speak the protocol, and ask a [`Service`] for everything else.
//!
//! ```no_run
//! use dinrail::service::{Read, Write, callbacks};
//! use dinrail::{ExceptionCode, Server};
//!
//! # async fn run() -> Result<(), dinrail::Error> {
//! let service = callbacks(
//!     |read: Read| Ok(vec![42u16; read.count.into()]),
//!     |write: Write| Err(ExceptionCode::IllegalDataAddress.into()),
//! );
//! let server = Server::tcp("127.0.0.1:5020", service);
//! server.serve_until(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?;
//! # Ok(())
//! # }
//! ```

mod accept;
mod connection;
mod entry;
mod event_loop;
mod hooks;
mod options;
mod rate;
mod scratch;
mod shared;
mod threads;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tracing::info;

use self::accept::{Listening, Tasks};
use self::connection::Known;
pub use self::hooks::Hooks;
pub use self::options::{MissingUnit, Options, WhenFull};
use self::shared::Shared;
pub use self::shared::{Report, Statistics};
use crate::Error;
use crate::service::{Peer, Service};
use crate::transport::{Listener, Stream, TcpListener};

/// A Modbus TCP server. Made with [`Server::tcp`], it does nothing until it is [started](Server::start); it can be
/// stopped and started again, and it stops when it is dropped.
pub struct Server<S> {
    address: Arc<str>,
    service: Arc<S>,
    options: Options,
    hooks: Option<Arc<dyn Hooks>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    shared: Arc<Shared>,
    local: SocketAddr,
}

impl<S: Service> Server<S> {
    /// A server for `address` (`127.0.0.1:502`, `[::]:502`; port 0 takes a free one) that asks `service`.
    pub fn tcp(address: impl fmt::Display, service: S) -> Self {
        Self {
            address: address.to_string().into(),
            service: Arc::new(service),
            options: Options::default(),
            hooks: None,
            running: Mutex::new(None),
        }
    }

    /// With these options instead of the default ones.
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Tells `hooks` of everything that happens on its connections.
    pub fn with_hooks(mut self, hooks: impl Hooks) -> Self {
        self.hooks = Some(Arc::new(hooks));
        self
    }

    /// The service that it asks.
    pub fn service(&self) -> &S {
        &self.service
    }

    /// Starts listening and returns the address it listens on. Does nothing when it runs already.
    ///
    /// # Errors
    /// [`Error::Bind`] when the address cannot be listened on, [`Error::Option`] for an option that cannot be.
    pub async fn start(&self) -> Result<SocketAddr, Error> {
        if let Some(local) = self.local_addr() {
            return Ok(local);
        }
        self.options.check()?;
        let shared = Arc::new(Shared::new(self.options.clone(), self.hooks.clone()));
        let first = TcpListener::bind(&self.address, &self.options).await?;
        let local = first.local_addr().map_err(Error::from)?;
        match self.options.threads {
            None => {
                tokio::spawn(accept::run(first, Tasks(self.service.clone()), Listening::new(&shared)));
            }
            // When one of them cannot be had, those that were started end.
            Some(threads) => {
                threads::spawn(threads, first, local, &self.service, &shared).inspect_err(|_| shared.abort())?
            }
        }
        info!(target: "dinrail::server", server = %shared.options.name, address = %local, "listening");
        *self.running() = Some(Running { shared, local });
        Ok(local)
    }

    /// Starts, and serves until it is stopped from elsewhere.
    pub async fn serve(&self) -> Result<(), Error> {
        self.start().await?;
        if let Some(shared) = self.shared() {
            shared.until_stopped().await;
        }
        Ok(())
    }

    /// Starts, serves until `shutdown` is there, and stops gracefully.
    pub async fn serve_until(&self, shutdown: impl Future<Output = ()>) -> Result<Report, Error> {
        self.start().await?;
        shutdown.await;
        Ok(self.stop().await)
    }

    /// Stops gracefully: stops accepting, lets requests that are being worked on finish for as long as
    /// [`Options::grace`], and closes every connection. Its port is free when this returns. Does nothing when it does
    /// not run.
    pub async fn stop(&self) -> Report {
        let grace = self.options.grace;
        self.stop_within(grace).await
    }

    /// As [`stop`](Self::stop), with another limit for requests that are being worked on.
    pub async fn stop_within(&self, grace: Duration) -> Report {
        let Some(shared) = self.shared() else {
            return Report::default();
        };
        let report = shared.stop(grace).await;
        let mut running = self.running();
        if running.as_ref().is_some_and(|running| Arc::ptr_eq(&running.shared, &shared)) {
            *running = None;
        }
        report
    }

    /// Whether it listens.
    pub fn is_running(&self) -> bool {
        self.shared().is_some_and(|shared| !shared.is_stopping())
    }

    /// The address it listens on; `None` when it does not run.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.running().as_ref().filter(|running| !running.shared.is_stopping()).map(|running| running.local)
    }

    /// How many connections are open.
    pub fn active_connections(&self) -> usize {
        self.shared().map_or(0, |shared| shared.connections())
    }

    /// What it has done since it was started; zeros when it does not run.
    pub fn statistics(&self) -> Statistics {
        self.shared().map(|shared| shared.statistics()).unwrap_or_default()
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.running().as_ref().map(|running| running.shared.clone())
    }

    /// Nothing panics while this is held, and a poisoned lock would hold a whole value all the same.
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(running) = running.take() {
            running.shared.abort();
        }
    }
}

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Serves the connections of any [`Listener`] until `shutdown` is there, then stops gracefully. For transports of your
/// own; [`Server`] is this for TCP.
pub async fn serve_listener<S: Service>(
    listener: impl Listener,
    service: S,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<Report, Error> {
    options.check()?;
    let grace = options.grace;
    let shared = Arc::new(Shared::new(options, None));
    tokio::spawn(accept::run(listener, Tasks(Arc::new(service)), Listening::new(&shared)));
    shutdown.await;
    Ok(shared.stop(grace).await)
}

/// Serves one connection over any stream with Modbus TCP framing, until the peer closes it.
///
/// # Errors
/// When the stream fails, or an option is one that cannot be.
pub async fn serve_stream<S: Service>(
    stream: impl Stream,
    peer: Peer,
    service: S,
    options: Options,
) -> Result<(), Error> {
    options.check()?;
    let shared = Arc::new(Shared::new(options, None));
    let entry = shared.admit(peer).map_err(|_| Error::Option("this peer is not on the list of allowed addresses"))?;
    connection::run(stream, Arc::new(service), Known::new(shared, entry)).await;
    Ok(())
}
