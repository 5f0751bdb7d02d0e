//! The client: a cheap handle, typed methods, and one task that keeps the connection.
//!
//! ```no_run
//! # async fn example() -> Result<(), dinrail::Error> {
//! use dinrail::Client;
//!
//! let client = Client::connect("192.168.0.10:502").await?;
//! let registers = client.read_holding_registers(0, 10).await?;
//! client.unit(5).write_coil(3, true).await?;
//! # Ok(()) }
//! ```
//!
//! - Any number of tasks may call at a time, on clones of one handle. Requests queue; how many are on the line at a time
//!   is [`Options::depth`].
//! - Dropping a call's future is safe: its reply, should it come, is given to nobody.
//! - A lost connection is made again in the background. A call in the meantime waits for the next try, no longer than
//!   its timeout, and when that fails ends with [`Error::Connect`]: then it was certainly not sent.
//! - Nothing is sent twice unless [`Options::retry`] says so.
//! - When the last handle is dropped the connection closes.

mod core;
mod driver;
mod exchange;
mod io;
mod jobs;
mod limit;
mod maintenance;
mod methods;
mod options;
mod pace;
mod pool;
mod queue;
mod records;
mod retry;
mod service;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::jobs::{Queue, Submitted};
pub use self::limit::RateLimit;
pub use self::maintenance::{CommEventCounter, CommEventLog};
pub use self::options::{MAX_DEPTH, Options};
pub use self::pool::{Pool, Pooled};
pub use self::retry::Retry;
pub use crate::backoff::Backoff;

use self::core::{Core, Link, Shared};
use self::exchange::{Asked, Exchange};
use self::io::Io;
use crate::Error;
use crate::proto::{Framing, Pdu, Request, UnitId};
use crate::transport::{Burst, Connect, Stream, Tcp};

/// A client of one server, gateway or serial line. Clones share the connection.
#[derive(Clone)]
#[repr(C)] // what every call looks at stands first
pub struct Client {
    shared: Arc<Shared>,
    timeout: Duration,
    unit: UnitId,
    /// Whether calls need nothing before they are sent: neither a deadline of their retries nor a turn.
    is_plain: bool,
    /// Counts the handles.
    _handle: Arc<Handle>,
    rest: Arc<Rest>,
}

/// What few calls look at. It is shared, so that a handle is small and a clone of it cheap.
#[derive(Clone)]
struct Rest {
    retry: Retry,
    framing: Framing,
    limit: Option<RateLimit>,
    /// How many requests may be unanswered at a time.
    depth: usize,
}

/// Closes the connection when the last handle is dropped.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().close();
    }
}

/// What a client has seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that got no answer in time.
    pub timeouts: u64,
    /// Replies to calls that had already timed out.
    pub late: u64,
    /// Frames that belong to no call at all.
    pub orphans: u64,
    /// Replies that claimed to be for an open call and did not fit it.
    pub mismatches: u64,
    /// Bytes that were no frame.
    pub noise: u64,
    /// How often a lost connection was made again.
    pub reconnects: u64,
}

impl Client {
    /// Connects to a Modbus TCP server: `host:port`, or `host` alone for port 502. Tries once.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers there.
    pub async fn connect(server: impl Into<Tcp>) -> Result<Self, Error> {
        Self::connect_with(server.into(), Options::default()).await
    }

    /// Connects over any transport. Tries once; when the connection is lost later, it is made again as
    /// [`Options::reconnect`] says.
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot, and [`Error::Option`] for an option that cannot be.
    pub async fn connect_with(connector: impl Connect, options: Options) -> Result<Self, Error> {
        options.check().map_err(Error::Option)?;
        let peer: Arc<str> = connector.to_string().into();
        match driver::attempt(&connector, &options).await {
            Ok(stream) => Ok(Self::spawn(peer, connector, options, Link::Up(Io::new(stream)))),
            Err(error) => Err(Error::Connect { peer, source: Arc::new(error) }),
        }
    }

    /// A client that connects when it is first used, and from then on stays connected. An option that cannot be ends every
    /// call with [`Error::Option`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn lazy(connector: impl Connect, options: Options) -> Self {
        let peer = connector.to_string().into();
        Self::spawn(peer, connector, options, Link::Down)
    }

    fn spawn(peer: Arc<str>, connector: impl Connect, mut options: Options, link: Link) -> Self {
        options.local_echo |= connector.has_local_echo();
        let (framing, burst) = (connector.framing(), connector.burst());
        let mut core = Core::new(&options, framing, burst, connector.byte_time(), link);
        if options.reconnect.is_none() {
            core.never_give_up();
        }
        let refused = core.refuse_options(&options);
        let (client, shared) = Self::new(peer, core, framing, &options);
        if !refused {
            tokio::spawn(driver::run(shared, connector, options));
        }
        client
    }

    /// A client over a stream that is already there. When that ends, so does the client. An option that cannot be ends
    /// every call with [`Error::Option`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn over(stream: impl Stream, framing: Framing, options: Options) -> Self {
        let mut core = Core::new(&options, framing, Burst::Never, Duration::ZERO, Link::Up(Io::new(stream)));
        core.never_give_up();
        let refused = core.refuse_options(&options);
        let (client, shared) = Self::new("the stream".into(), core, framing, &options);
        if !refused {
            tokio::spawn(driver::run_once(shared));
        }
        client
    }

    fn new(peer: Arc<str>, core: Core, framing: Framing, options: &Options) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::new(peer, core));
        let depth = if framing.has_transactions() { options.depth.clamp(1, MAX_DEPTH) } else { 1 };
        let client = Self {
            shared: shared.clone(),
            timeout: options.timeout,
            unit: options.unit,
            is_plain: options.retry.deadline.is_none(),
            _handle: Arc::new(Handle(shared.clone())),
            rest: Arc::new(Rest { retry: options.retry, framing, limit: None, depth }),
        };
        (client, shared)
    }

    /// This handle after a `change`.
    fn with_rest(mut self, change: impl FnOnce(&mut Rest)) -> Self {
        let rest = Arc::make_mut(&mut self.rest);
        change(rest);
        self.is_plain = rest.retry.deadline.is_none() && rest.limit.is_none();
        self
    }

    /// A handle on the same connection whose calls go to `unit`; which unit this handle's go to says
    /// [`unit_id`](Self::unit_id).
    #[must_use]
    pub fn unit(&self, unit: impl Into<UnitId>) -> Self {
        Self { unit: unit.into(), ..self.clone() }
    }

    /// A handle on the same connection whose calls wait for an answer for so long.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// A handle on the same connection with other retries.
    #[must_use]
    pub fn with_retry(&self, retry: Retry) -> Self {
        self.clone().with_rest(|rest| rest.retry = retry)
    }

    /// A handle on the same connection that sends its requests, repeated ones among them, no faster than `limit` says. A
    /// call waits for its turn; its timeout begins when it is sent.
    #[must_use]
    pub fn with_rate_limit(&self, limit: RateLimit) -> Self {
        self.clone().with_rest(|rest| rest.limit = Some(limit))
    }

    /// The unit that this handle's calls go to.
    pub fn unit_id(&self) -> UnitId {
        self.unit
    }

    /// How long this handle's calls wait for an answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Who is at the other end, as errors name it.
    pub fn peer(&self) -> &str {
        &self.shared.peer
    }

    /// How frames are laid on the line.
    pub fn framing(&self) -> Framing {
        self.rest.framing
    }

    /// Whether there is a connection, as far as is known. One that the peer has closed is noticed at the next call, or
    /// about a timeout after the last one.
    pub fn is_connected(&self) -> bool {
        matches!(self.shared.lock().link, Link::Up(_))
    }

    /// Whether there is a connection, after a look at what has come over it.
    fn is_alive(&self) -> bool {
        let mut core = self.shared.lock();
        core.look();
        matches!(core.link, Link::Up(_))
    }

    /// How many requests may be unanswered at a time.
    pub(crate) fn depth(&self) -> usize {
        self.rest.depth
    }

    /// Whether there are other handles on the connection.
    fn is_shared(&self) -> bool {
        Arc::strong_count(&self._handle) > 1
    }

    /// What was seen so far.
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats()
    }

    /// Closes the connection, for all clones. Calls that have not ended end with [`Error::Closed`], and so do later
    /// ones. Closing again does nothing.
    pub fn close(&self) {
        self.shared.lock().close();
    }

    /// Sends a request's PDU as it is. `None` when nobody answers such a request: a broadcast, or FC 8 / 4.
    ///
    /// # Errors
    /// [`Error::Exception`] when the device refuses, and all others that a call can end with.
    pub async fn call_pdu(&self, request: &Pdu) -> Result<Option<Pdu>, Error> {
        Exchange::new(self, Asked::Pdu(request), pdu).await
    }

    /// Sends any request. The reply's bytes fit it: [`Response::decode`](crate::proto::Response::decode) succeeds on
    /// them. `None` when nobody answers such a request.
    ///
    /// # Errors
    /// As [`call_pdu`](Self::call_pdu), and [`Error::Invalid`] for a request that the specification does not allow.
    pub async fn call(&self, request: &Request<'_>) -> Result<Option<Pdu>, Error> {
        Exchange::new(self, Asked::Request(*request), pdu).await
    }
}

/// The response as it is.
fn pdu(_: &Asked<'_>, response: Option<&[u8]>) -> Result<Option<Pdu>, Error> {
    Ok(response.map(Pdu::new).transpose()?)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("peer", &self.peer())
            .field("unit", &self.unit)
            .field("timeout", &self.timeout)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
