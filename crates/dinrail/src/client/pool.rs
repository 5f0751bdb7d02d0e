//! Connections to many devices, a few to each, shared by all who have something to ask.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::{Client, Options};
use crate::Error;
use crate::transport::{Connect, Tcp};

/// At most so many connections to each device. [`client`](Self::client) lends one and waits in line, first come first
/// served, while all are lent; what is dropped goes back, and is closed when nobody has wanted it for a while. A connection
/// that has died is replaced before it is lent.
///
/// ```no_run
/// # async fn example() -> Result<(), dinrail::Error> {
/// use dinrail::client::Pool;
///
/// let pool = Pool::new(2); // clones share the connections
/// let level = pool.client("plc-1").await?.read_input_registers(0, 1).await?;
///
/// let plc = pool.client("plc-2:1502").await?; // ours until it is dropped
/// plc.write_register(10, 1).await?;
/// plc.write_coil(3, true).await?;
/// # Ok(()) }
/// ```
///
/// Devices are told apart by the connector's type, its framing and its name in errors. Dropping a call of `client` that
/// waits leaves the line. Nobody waits forever as long as nobody keeps what is lent: put a `tokio::time::timeout` around it
/// where that is not certain.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Settings {
    most: usize,
    options: Options,
    idle: Duration,
    check: Option<Duration>,
}

struct Shared {
    settings: Settings,
    devices: Mutex<HashMap<Key, Arc<Device>>>,
    /// Closes what is idle, and forgets devices without connections.
    sweeper: Mutex<Option<JoinHandle<()>>>,
}

/// What tells devices apart.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    connector: TypeId,
    framing: String,
    name: String,
}

struct Device {
    /// One for each connection that there may be.
    turns: Arc<Semaphore>,
    /// There are never more of them than free turns, so with those that are lent they are never too many.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    client: Client,
    since: Instant,
}

impl Pool {
    /// A pool of at most `most` connections to each device (0 is taken for 1), which stay open for a minute after they
    /// were used last.
    pub fn new(most: usize) -> Self {
        Self::with(Settings {
            most: most.clamp(1, Semaphore::MAX_PERMITS),
            options: Options::default(),
            idle: Duration::from_secs(60),
            check: None,
        })
    }

    fn with(settings: Settings) -> Self {
        Self { shared: Arc::new(Shared { settings, devices: Mutex::default(), sweeper: Mutex::default() }) }
    }

    /// A pool like this one, and without connections yet, whose clients behave like this.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self::with(Settings { options, ..self.shared.settings.clone() })
    }

    /// A pool like this one, and without connections yet, that closes those which nobody has used for so long. A minute
    /// unless set.
    #[must_use]
    pub fn with_idle(self, idle: Duration) -> Self {
        Self::with(Settings { idle, ..self.shared.settings.clone() })
    }

    /// A pool like this one, and without connections yet, that tries a connection which has not been used for so long
    /// before it lends it: one holding register is read, and any answer will do, a refusal too. Without this a
    /// connection is taken for dead when the system has said so, and one that a firewall has forgotten is found out by
    /// the first call's timeout.
    #[must_use]
    pub fn with_check(self, unused_for: Duration) -> Self {
        Self::with(Settings { check: Some(unused_for), ..self.shared.settings.clone() })
    }

    /// A connection to a Modbus TCP server: `host:port`, or `host` alone for port 502.
    ///
    /// # Errors
    /// [`Error::Connect`] when there is none yet and none can be made.
    pub async fn client(&self, server: impl Into<Tcp>) -> Result<Pooled, Error> {
        self.client_with(server.into()).await
    }

    /// A connection over any transport, such as an [`Endpoint`](crate::transport::Endpoint).
    ///
    /// # Errors
    /// [`Error::Connect`] when there is none yet and none can be made.
    pub async fn client_with<C: Connect>(&self, connector: C) -> Result<Pooled, Error> {
        let Settings { options, check, .. } = &self.shared.settings;
        let device = self.shared.device(&connector);
        // A device that cannot be had is to be forgotten as well.
        self.shared.sweep();
        // It is never closed, so there is no error.
        let turn = device.turns.clone().acquire_owned().await.map_err(|_| Error::Closed { sent: false })?;
        let mut lent = None;
        while let Some(Idle { client, since }) = device.take() {
            let untried = check.is_some_and(|check| since.elapsed() >= check);
            if client.is_alive() && (!untried || answers(&client).await) {
                lent = Some(client);
                break;
            }
        }
        let client = match lent {
            Some(client) => client,
            None => Client::connect_with(connector, options.clone()).await?,
        };
        Ok(Pooled { client, device, _turn: turn })
    }

    /// How many connections are open, to all devices together, lent ones among them.
    pub fn connections(&self) -> usize {
        let devices = self.shared.devices();
        devices.values().map(|device| device.lent(&self.shared.settings) + device.idle().len()).sum()
    }
}

/// Any answer will do.
async fn answers(client: &Client) -> bool {
    matches!(client.read_holding_registers(0, 1).await, Ok(_) | Err(Error::Exception(_)))
}

impl Shared {
    fn devices(&self) -> MutexGuard<'_, HashMap<Key, Arc<Device>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn device<C: Connect>(&self, connector: &C) -> Arc<Device> {
        let framing = format!("{:?}", connector.framing());
        let key = Key { connector: TypeId::of::<C>(), framing, name: connector.to_string() };
        let new = || Device { turns: Arc::new(Semaphore::new(self.settings.most)), idle: Mutex::default() };
        self.devices().entry(key).or_insert_with(|| Arc::new(new())).clone()
    }

    /// Sees to it that idle connections are closed in time.
    fn sweep(self: &Arc<Self>) {
        let mut sweeper = self.sweeper.lock().unwrap_or_else(PoisonError::into_inner);
        if sweeper.as_ref().is_none_or(JoinHandle::is_finished) {
            *sweeper = Some(tokio::spawn(sweep(Arc::downgrade(self), self.settings.idle)));
        }
    }

    /// Closes what has been idle for too long; when to come again.
    fn close_idle(&self) -> Instant {
        let (idle, now) = (self.settings.idle, Instant::now());
        // What comes back from now on is idle for long enough after that.
        let mut next = now + idle;
        self.devices().retain(|_, device| {
            let mut connections = device.idle();
            // A handle that somebody has made of it and kept is in use still.
            connections.retain(|one| one.since + idle > now || one.client.is_shared());
            next = connections.iter().map(|one| (one.since + idle).max(now + idle / 8)).fold(next, Instant::min);
            // Somebody who waits, or to whom one is lent, holds the device as well.
            !connections.is_empty() || Arc::strong_count(device) > 1
        });
        next
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get_mut().unwrap_or_else(PoisonError::into_inner) {
            sweeper.abort();
        }
    }
}

async fn sweep(pool: Weak<Shared>, idle: Duration) {
    let mut next = Instant::now() + idle;
    loop {
        sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        next = pool.close_idle();
    }
}

impl Device {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, so that those which are too many grow old.
    fn take(&self) -> Option<Idle> {
        self.idle().pop()
    }

    fn lent(&self, settings: &Settings) -> usize {
        settings.most - self.turns.available_permits()
    }
}

/// A connection that is lent: a [`Client`] as long as it is kept. Other handles that are made of it, as
/// [`unit`](Client::unit) does, share it, and may go on to share it with whom it is lent to next.
pub struct Pooled {
    client: Client,
    device: Arc<Device>,
    /// Given back after the connection.
    _turn: OwnedSemaphorePermit,
}

impl Deref for Pooled {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if self.client.is_alive() {
            self.device.idle().push(Idle { client: self.client.clone(), since: Instant::now() });
        }
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&self.client).finish()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("most", &self.shared.settings.most)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::proto::Framing;

    /// A device that is not there.
    struct Away(u32);

    impl Connect for Away {
        type Stream = tokio::io::DuplexStream;

        async fn connect(&self) -> io::Result<Self::Stream> {
            Err(io::ErrorKind::ConnectionRefused.into())
        }

        fn framing(&self) -> Framing {
            Framing::Tcp
        }
    }

    impl fmt::Display for Away {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "away-{}", self.0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn devices_that_were_never_there_are_forgotten() {
        let pool = Pool::new(1).with_idle(Duration::from_secs(1));
        for number in 0..100 {
            pool.client_with(Away(number)).await.expect_err("nobody is there");
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(pool.shared.devices().len(), 0);
    }
}
