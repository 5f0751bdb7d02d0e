//! The blocking pool: the asynchronous one, whose connections are lent as blocking clients.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::Client;
use super::runtime::{handle, wait};
use crate::Error;
use crate::client::Options;
use crate::transport::{Connect, Tcp};

/// At most so many connections to each device, shared by threads, as [`client::Pool`](crate::client::Pool) without `async`.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: crate::client::Pool,
}

impl Pool {
    /// A pool of at most `most` connections to each device, as [`client::Pool::new`](crate::client::Pool::new).
    pub fn new(most: usize) -> Self {
        Self { inner: crate::client::Pool::new(most) }
    }

    /// A pool whose clients behave like this, as [`client::Pool::with_options`](crate::client::Pool::with_options).
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { inner: self.inner.with_options(options) }
    }

    /// A pool that closes what nobody has used for so long, as [`client::Pool::with_idle`](crate::client::Pool::with_idle).
    #[must_use]
    pub fn with_idle(self, idle: Duration) -> Self {
        Self { inner: self.inner.with_idle(idle) }
    }

    /// A pool that tries what has not been used for so long, as
    /// [`client::Pool::with_check`](crate::client::Pool::with_check).
    #[must_use]
    pub fn with_check(self, unused_for: Duration) -> Self {
        Self { inner: self.inner.with_check(unused_for) }
    }

    /// A connection to a Modbus TCP server: `host:port`, or `host` alone for port 502. Waits while all are lent.
    ///
    /// # Errors
    /// [`Error::Connect`] when there is none yet and none can be made.
    pub fn client(&self, server: impl Into<Tcp>) -> Result<Pooled, Error> {
        self.client_with(server.into())
    }

    /// A connection over any transport. Waits while all are lent.
    ///
    /// # Errors
    /// [`Error::Connect`] when there is none yet and none can be made.
    pub fn client_with(&self, connector: impl Connect) -> Result<Pooled, Error> {
        let runtime = handle()?;
        let inner = wait(runtime, self.inner.client_with(connector))?;
        Ok(Pooled { client: Client::of(crate::Client::clone(&inner), runtime), _inner: inner })
    }

    /// How many connections are open, to all devices together.
    pub fn connections(&self) -> usize {
        self.inner.connections()
    }
}

/// A connection that is lent: a blocking [`Client`] as long as it is kept.
pub struct Pooled {
    /// Dropped before the connection goes back.
    client: Client,
    _inner: crate::client::Pooled,
}

impl Deref for Pooled {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&self.client).finish()
    }
}
