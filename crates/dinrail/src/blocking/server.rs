//! The blocking server: the asynchronous one on threads of its own.

use std::fmt;
use std::time::Duration;

use super::runtime::{handle, wait};
use crate::Error;
use crate::server::{Diagnostics, Hooks, Medium, Network, Options, Report, Statistics};
use crate::service::Service;

/// A Modbus server for programs without `async`, as [`crate::Server`]: it serves on a thread of its own, or on as
/// many as [`Options::threads`] says. Callbacks run on those threads, one at a time on each; they may use a
/// [`blocking::Client`](super::Client), which holds up the other connections of their thread meanwhile.
#[derive(Debug)]
pub struct Server<S, M: Medium = Network> {
    inner: crate::Server<S, M>,
}

impl<S: Service> Server<S> {
    /// A server for TCP connections to `address` (`127.0.0.1:502`, `[::]:502`; port 0 takes a free one) that asks
    /// `service`. It does nothing until it is [started](Self::start).
    pub fn tcp(address: impl fmt::Display, service: S) -> Self {
        Self { inner: crate::Server::tcp(address, service) }.with_options(Options::default())
    }

    /// A server for UDP datagrams to `address` that asks `service`, as [`crate::Server::udp`].
    pub fn udp(address: impl fmt::Display, service: S) -> Self {
        Self { inner: crate::Server::udp(address, service) }.with_options(Options::default())
    }

    /// A server for TLS connections to `address`, as [`crate::Server::tls`].
    #[cfg(feature = "tls")]
    pub fn tls(address: impl fmt::Display, tls: crate::transport::ServerTls, service: S) -> Self {
        Self { inner: crate::Server::tls(address, tls, service) }.with_options(Options::default())
    }
}

#[cfg(feature = "serial")]
impl<S: Service> Server<S, crate::transport::Serial> {
    /// A server on a serial port that asks `service`, as [`crate::Server::serial`].
    pub fn serial(port: crate::transport::Serial, service: S) -> Self {
        Self::on(port, service)
    }
}

impl<S: Service, M: Medium> Server<S, M> {
    /// A server on this medium that asks `service`.
    pub fn on(medium: M, service: S) -> Self {
        Self { inner: crate::Server::on(medium, service) }.with_options(Options::default())
    }

    /// With these options instead of the default ones; without [`Options::threads`] it takes one thread.
    pub fn with_options(self, options: Options) -> Self {
        let threads = options.threads.unwrap_or(1);
        Self { inner: self.inner.with_options(options.with_threads(Some(threads))) }
    }

    /// Tells `hooks` of everything that happens on its connections.
    pub fn with_hooks(self, hooks: impl Hooks) -> Self {
        Self { inner: self.inner.with_hooks(hooks) }
    }

    /// The service that it asks.
    pub fn service(&self) -> &S {
        self.inner.service()
    }

    /// Starts listening and returns the address it listens on. Does nothing when it runs already.
    ///
    /// # Errors
    /// [`Error::Bind`] when the address cannot be listened on, [`Error::Option`] for an option that cannot be.
    pub fn start(&self) -> Result<M::Local, Error> {
        wait(handle()?, self.inner.start())
    }

    /// Starts, and waits until it is stopped from another thread.
    ///
    /// # Errors
    /// As [`start`](Self::start); [`Error::AlreadyServing`] while another thread serves it; [`Error::Gone`] when its serial
    /// port is gone, and it is not to [wait for it](Options::reconnect).
    pub fn serve(&self) -> Result<(), Error> {
        wait(handle()?, self.inner.serve())
    }

    /// Stops gracefully, as [`crate::Server::stop`], also while another thread is just starting it. Its port is free when this returns.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn stop(&self) -> Result<Report, Error> {
        Ok(wait(handle()?, self.inner.stop()))
    }

    /// As [`stop`](Self::stop), with another limit for requests that are being worked on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn stop_within(&self, grace: Duration) -> Result<Report, Error> {
        Ok(wait(handle()?, self.inner.stop_within(grace)))
    }

    /// Whether it listens.
    pub fn is_running(&self) -> bool {
        self.inner.is_running()
    }

    /// The address it listens on; `None` when it does not run.
    pub fn local_addr(&self) -> Option<M::Local> {
        self.inner.local_addr()
    }

    /// How many connections are open.
    pub fn active_connections(&self) -> usize {
        self.inner.active_connections()
    }

    /// What it has done since it was started; zeros when it does not run.
    pub fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }

    /// How long it has been running; `None` when it does not run.
    pub fn uptime(&self) -> Option<Duration> {
        self.inner.uptime()
    }

    /// What FC 8, 11 and 12 report, where the server answers them: see [`Options::diagnostics`].
    pub fn diagnostics(&self) -> Diagnostics {
        self.inner.diagnostics()
    }
}
