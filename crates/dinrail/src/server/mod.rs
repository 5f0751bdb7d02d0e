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
mod counters;
mod descriptors;
mod diagnostics;
mod entry;
mod event_loop;
mod hooks;
mod line;
mod manager;
mod medium;
mod metrics;
mod options;
mod rate;
mod run;
mod scratch;
#[cfg(feature = "serial")]
mod serial;
mod shaped;
mod shared;
mod threads;
#[cfg(feature = "tls")]
mod tls;
mod udp;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::info;

use self::accept::{Listening, Tasks};
use self::connection::Known;
pub use self::counters::Statistics;
pub use self::diagnostics::{Diagnostics, DiagnosticsMode};
use self::entry::Keeper;
pub use self::hooks::Hooks;
use self::line::Wire;
pub use self::manager::{Failed, Manager, Status};
pub use self::medium::{Medium, Network};
pub use self::metrics::{DURATION_BOUNDS, LineError, Measured, Metrics, Outcome};
pub use self::options::{MissingUnit, Options, WhenFull};
use self::run::{Ends, Running, Serving, lock};
pub use self::shared::Report;
use self::shared::Shared;
use crate::Error;
use crate::service::{Peer, Service};
use crate::transport::{Burst, Listener, Stream};

/// A Modbus server. Made with [`Server::tcp`], [`Server::serial`] and their like, it does nothing until it is
/// [started](Server::start); it can be stopped and started again, and it stops when it is dropped.
///
/// `S` is the service that it asks, `M` what it listens on: addresses of a network unless it says otherwise.
pub struct Server<S, M: Medium = Network> {
    medium: M,
    service: Arc<S>,
    options: Options,
    hooks: Option<Arc<dyn Hooks>>,
    diagnostics: Diagnostics,
    running: Mutex<Option<Running<M::Local>>>,
    /// Held while it is being started: one at a time.
    starting: tokio::sync::Mutex<()>,
}

impl<S: Service> Server<S> {
    /// A server for TCP connections to `address` (`127.0.0.1:502`, `[::]:502`; port 0 takes a free one) that asks
    /// `service`. It speaks Modbus TCP, or the [framing](Options::framing) of its options.
    pub fn tcp(address: impl fmt::Display, service: S) -> Self {
        Self::on(Network::tcp(address.to_string().into()), service)
    }

    /// A server for UDP datagrams to `address` that asks `service`. Each datagram holds one frame or several, of Modbus TCP
    /// or of the [framing](Options::framing) of the options; the replies go to whoever sent it, in order and in one
    /// datagram, or in several when they are longer than 1472 bytes. What is no frame,
    /// or a reply, is [counted](Statistics::discarded) and dropped.
    ///
    /// There are no connections. [`Options::max_connections`] limits how many datagrams are worked on at once by a service
    /// that takes its time, and so are [active connections](Self::active_connections) and what a [`Report`] counts; beyond
    /// it requests are answered 0x06, server busy, and not done. [`Options::rate`] drops what is beyond it.
    /// `when_full`, `idle_timeout`, `concurrency`, `backlog`, `reuse_address` and `keep_alive` mean nothing.
    ///
    /// Anybody can forge the address that a datagram comes from. So an [allow list](Options::allow) keeps strangers out
    /// only where the network does, and a server that strangers can reach can be made to send its replies to somebody else;
    /// that to a read of 125 registers is 22 times as long as the request.
    pub fn udp(address: impl fmt::Display, service: S) -> Self {
        Self::on(Network::udp(address.to_string().into()), service)
    }

    /// A server for TLS connections to `address`: Modbus Security, whose port is 802. The service finds the role of the
    /// client's certificate in the peer of its calls, and [`Service::with_rules`] allows and refuses by it. Keep a clone
    /// of `tls` to renew certificates while the server runs.
    #[cfg(feature = "tls")]
    pub fn tls(address: impl fmt::Display, tls: crate::transport::ServerTls, service: S) -> Self {
        Self::on(Network::tls(address.to_string().into(), tls), service)
    }
}

#[cfg(feature = "serial")]
impl<S: Service> Server<S, crate::transport::Serial> {
    /// A server on a serial port that asks `service`. It serves the units that [`Options::units`] names, or those of a
    /// service that knows [its units](Service::served_units), or every unit: name them where other devices share the line. A port that
    /// vanishes is opened again once it is back, unless [`Options::reconnect`] says otherwise.
    pub fn serial(port: crate::transport::Serial, service: S) -> Self {
        Self::on(port, service)
    }
}

impl<S: Service, M: Medium> Server<S, M> {
    /// A server on this medium that asks `service`.
    pub fn on(medium: M, service: S) -> Self {
        Self {
            medium,
            service: Arc::new(service),
            options: Options::default(),
            hooks: None,
            diagnostics: Diagnostics::default(),
            running: Mutex::new(None),
            starting: tokio::sync::Mutex::new(()),
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
    pub async fn start(&self) -> Result<M::Local, Error> {
        let _alone = self.starting.lock().await;
        if let Some(local) = self.local_addr() {
            return Ok(local);
        }
        Ok(self.begin(false).await?.1)
    }

    /// Starts; for one who holds `starting`, and has seen that it does not run.
    async fn begin(&self, served: bool) -> Result<(Arc<Shared>, M::Local), Error> {
        let mut options = self.options.clone();
        self.medium.prepare(&mut options);
        options.learn_units(&*self.service);
        options.check()?;
        // One that was cut off a moment ago lets go of its address first. Unless its runtime does not run any more.
        if let Some(last) = self.shared() {
            let _ = tokio::time::timeout(self.options.grace, last.until_deaf()).await;
        }
        let shared = Shared::new(options, self.hooks.clone()).with_diagnostics(&self.diagnostics).begun();
        // When a part of it cannot be had, or nobody waits for it any more, those that were started end.
        let ends = Ends::new(&shared);
        let local = self.medium.start(&self.service, &shared).await?;
        info!(target: "dinrail::server", server = %shared.options.name, address = %local, "listening");
        *lock(&self.running) = Some(Running { shared: shared.clone(), local: local.clone(), served });
        ends.keep();
        Ok((shared, local))
    }

    /// Starts, and serves until it is stopped from elsewhere. A server that [was started](Self::start) before is served
    /// as it runs.
    ///
    /// Dropping the future, or aborting its task, cuts off at once what it has started: connections end, and the port is
    /// free. A server that was started before goes on; [`stop`](Self::stop) it.
    ///
    /// # Errors
    /// As [`start`](Self::start); [`Error::AlreadyServing`] while another `serve` or [`serve_until`](Self::serve_until)
    /// waits for the end of this server; [`Error::Gone`] when its serial port is gone, and it is not to
    /// [wait for it](Options::reconnect). It can be started again then.
    pub async fn serve(&self) -> Result<(), Error> {
        let serving = self.begin_serving().await?;
        serving.shared.until_stopped().await;
        serving.shared.failure.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Starts, serves until `shutdown` is there, and stops gracefully. Dropping the future is as with [`serve`](Self::serve).
    ///
    /// # Errors
    /// As [`serve`](Self::serve), before `shutdown` is there.
    pub async fn serve_until(&self, shutdown: impl Future<Output = ()>) -> Result<Report, Error> {
        let serving = self.begin_serving().await?;
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(self.stop().await),
            () = serving.shared.until_stopped() => {}
        }
        if let Some(error) = serving.shared.failure.get() {
            return Err(error.clone());
        }
        // It was stopped from elsewhere.
        shutdown.await;
        Ok(self.stop().await)
    }

    async fn begin_serving(&self) -> Result<Serving<'_, M::Local>, Error> {
        let _alone = self.starting.lock().await;
        let (shared, began) = match self.join()? {
            Some(shared) => (shared, false),
            None => (self.begin(true).await?.0, true),
        };
        Ok(Serving { running: &self.running, shared, began })
    }

    /// What it runs as, to be served from now on; `None` when it does not run.
    fn join(&self) -> Result<Option<Arc<Shared>>, Error> {
        let mut running = lock(&self.running);
        let Some(running) = running.as_mut().filter(|running| !running.shared.is_stopping()) else {
            return Ok(None);
        };
        if std::mem::replace(&mut running.served, true) {
            return Err(Error::AlreadyServing { address: self.medium.url(&running.local).into() });
        }
        Ok(Some(running.shared.clone()))
    }

    /// Stops gracefully: stops accepting, lets requests that are being worked on finish for as long as
    /// [`Options::grace`], and closes every connection. Its port is free when this returns. Does nothing when it does
    /// not run. Once it has begun, dropping the future changes nothing but that nobody waits: the limit holds. While the server
    /// is being started, it waits until it has been, and stops it then.
    pub async fn stop(&self) -> Report {
        let grace = self.options.grace;
        self.stop_within(grace).await
    }

    /// As [`stop`](Self::stop), with another limit for requests that are being worked on.
    pub async fn stop_within(&self, grace: Duration) -> Report {
        let running = {
            let _none_is_starting = self.starting.lock().await;
            self.shared()
        };
        let Some(shared) = running else {
            return Report::default();
        };
        let report = shared.stop(grace).await;
        let mut running = lock(&self.running);
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
    pub fn local_addr(&self) -> Option<M::Local> {
        lock(&self.running)
            .as_ref()
            .filter(|running| !running.shared.is_stopping())
            .map(|running| running.local.clone())
    }

    /// How many connections are open.
    pub fn active_connections(&self) -> usize {
        self.shared().map_or(0, |shared| shared.connections())
    }

    /// What it has done since it was started; zeros when it does not run.
    pub fn statistics(&self) -> Statistics {
        self.shared().map(|shared| shared.statistics()).unwrap_or_default()
    }

    /// How long it has been running; `None` when it does not run.
    pub fn uptime(&self) -> Option<Duration> {
        self.shared().filter(|shared| !shared.is_stopping()).map(|shared| shared.now())
    }

    /// What FC 8, 11 and 12 report, where the server answers them: see [`Options::diagnostics`].
    pub fn diagnostics(&self) -> Diagnostics {
        self.diagnostics.clone()
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        lock(&self.running).as_ref().map(|running| running.shared.clone())
    }
}

impl<S, M: Medium> Drop for Server<S, M> {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(running) = running.take() {
            running.shared.abort();
        }
    }
}

impl<S, M: Medium> fmt::Debug for Server<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("medium", &self.medium).finish_non_exhaustive()
    }
}

/// Serves the connections of any [`Listener`] until `shutdown` is there, then stops gracefully. For transports of your
/// own; [`Server`] is this for TCP. Dropping the call ends all of it at once.
pub async fn serve_listener<S: Service>(
    listener: impl Listener,
    service: S,
    mut options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<Report, Error> {
    options.learn_units(&service);
    options.check()?;
    let grace = options.grace;
    let shared = Shared::new(options, None).begun();
    let _ends_with_this = Ends::new(&shared);
    let tasks = Tasks { service: Arc::new(service), wire: Wire::new(&shared.options, listener.burst()) };
    tokio::spawn(accept::run(listener, tasks, Listening::new(&shared)));
    shutdown.await;
    Ok(shared.stop(grace).await)
}

/// Serves one connection over any stream that is like TCP, in the [framing](Options::framing) of the options, until the
/// peer closes it.
///
/// # Errors
/// When an option is one that cannot be, or `peer` is not allowed.
pub async fn serve_stream<S: Service>(
    stream: impl Stream,
    peer: Peer,
    service: S,
    options: Options,
) -> Result<(), Error> {
    serve_line(stream, Burst::Never, peer, service, options).await
}

/// As [`serve_stream`], over a stream whose frames come in bursts: a serial line of your own, with [`Burst::Silence`], or
/// whatever keeps the pieces together in which it was written, with [`Burst::EachRead`].
///
/// # Errors
/// As [`serve_stream`].
pub async fn serve_line<S: Service>(
    stream: impl Stream,
    burst: Burst,
    peer: Peer,
    service: S,
    mut options: Options,
) -> Result<(), Error> {
    if matches!(burst, Burst::Silence(_)) {
        options.missing_units = MissingUnit::Ignore;
    }
    options.learn_units(&service);
    options.check()?;
    let shared = Shared::new(options, None).begun();
    let entry = shared.admit(peer).map_err(|_| Error::Option("this peer is not on the list of allowed addresses"))?;
    let wire = Wire::new(&shared.options, burst);
    let idle = Arc::new(Notify::new());
    entry.set_keeper(Keeper::Caller(idle.clone()));
    let served = connection::run(stream, wire, Arc::new(service), Known::new(shared.clone(), entry));
    let limited = shared.options.idle_timeout.is_some();
    tokio::select! {
        () = served => {}
        () = idle.notified() => {}
        () = shared.sweep(), if limited => {}
    }
    Ok(())
}
