//! What can be chosen about a server.

use std::time::Duration;

use ipnet::IpNet;

use super::{DiagnosticsMode, Metrics};
use crate::Error;
use crate::backoff::Backoff;
use crate::proto::adu::CustomLength;
use crate::proto::{ExceptionCode, Framing, UnitId};
use crate::service::Service;

/// Options of a server; [`Default`] is meant for a plant: bounded, and with nothing that surprises a master.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// What the server is called in logs; "modbus" unless set.
    pub name: String,
    /// The most connections at once; 1024 unless set.
    pub max_connections: usize,
    /// What happens to a new connection beyond that; the longest idle one makes room unless set.
    pub when_full: WhenFull,
    /// Connections that ask nothing for this long are closed. Off unless set: dead peers are found by keep-alive, and
    /// the limit on connections drops the longest idle one.
    pub idle_timeout: Option<Duration>,
    /// How long a service may take over a request; 10 s unless set. What was begun is then answered with
    /// [`deadline_exception`](Self::deadline_exception), since nobody knows what became of it; what waited behind it for
    /// that long is answered 0x06, server busy, and not done.
    pub request_deadline: Option<Duration>,
    /// How long a TLS handshake may take, and how long a silent client holds its place therefore; 5 s unless set.
    pub handshake_timeout: Duration,
    /// The exception for a service that takes too long; 0x0B, target failed to respond, unless set.
    pub deadline_exception: ExceptionCode,
    /// How many requests of one connection may be worked on at once; 1 unless set. Replies keep the order of the
    /// requests in any case.
    pub concurrency: usize,
    /// How frames are laid on the line: Modbus TCP unless set. A serial port's framing is the port's.
    pub framing: Framing,
    /// How long requests of functions are that the specification does not define, for framings that go by that (RTU); none
    /// unless set.
    pub custom_lengths: &'static [CustomLength],
    /// The units that are served; all unless set. 0 and 255 mean the server itself on TCP and must be named like others.
    pub units: Option<Vec<UnitId>>,
    /// What the client of another unit is told; 0x0B unless set. Nothing, on a serial line: others answer there.
    pub missing_units: MissingUnit,
    /// Whether a write to unit 0 is done by every unit, and not answered (SL 2.1). `None`, as it is unless set, means yes on
    /// serial lines, and wherever frames are those of a [shared line](Framing::is_shared_line), as with RTU over TCP or UDP.
    /// `Some(false)` leaves unit 0 to others there: nothing is done, and nothing answered, even if it is among the units.
    /// Elsewhere unit 0 is then a unit like others. Every unit means each of [`units`](Self::units), or what the service
    /// makes of a [broadcast](crate::service::Call::is_broadcast).
    pub broadcast: Option<bool>,
    /// Who answers FC 8, 11 and 12 (AP 6.8 to 6.10); `None`, as it is unless set, means the server on serial lines, and the
    /// service elsewhere. A server that answers them does so for every unit that it serves. A client can then make it only
    /// listen (FC 8 / 4): it does nothing and answers nobody, on any of its connections, until a client restarts its
    /// communication (FC 8 / 1, which is not answered then) or it is started anew.
    pub diagnostics: Option<DiagnosticsMode>,
    /// Where it counts requests, times, connections and errors; it does not unless set.
    pub metrics: Option<Metrics>,
    /// Addresses that may connect; all when empty.
    pub allow: Vec<IpNet>,
    /// The most requests a second from one address; beyond it the server reads more slowly, and on UDP drops them. Off
    /// unless set.
    pub rate: Option<u32>,
    /// How long a stop waits for requests that are being worked on; 5 s unless set.
    pub grace: Duration,
    /// Threads of the server's own, each with a loop and a listener of its own. Off unless set: the server then runs on
    /// the tokio runtime that starts it. More than one needs a Unix system.
    pub threads: Option<usize>,
    /// How many connections the system keeps until they are accepted; 4096 unless set.
    pub backlog: i32,
    /// Lets a restarted server take its port at once; on unless set.
    pub reuse_address: bool,
    /// The network interface that is listened on, such as `eth1`; all that the address has unless set. On Linux and Android;
    /// elsewhere a start fails and says so. Linux before 5.7 wants CAP_NET_RAW for it. It means nothing on serial lines.
    pub interface: Option<String>,
    /// Lets several servers share a port, on systems that can; off unless set. Each of them must say so, with one exception:
    /// a server with several [`threads`](Self::threads), which share its port among themselves, cannot keep one that says so
    /// from joining them if it is of the same user. Of those that do not, the second fails to start.
    pub reuse_port: bool,
    /// The waits before a serial port that vanished is opened again; from 0.1 s to 2 s unless set. They begin anew when the
    /// port was there for longer than the longest of them. `None`: the server ends when its port does, and
    /// [`serve`](super::Server::serve) returns [`Error::Gone`]. It means nothing on networks.
    pub reconnect: Option<Backoff>,
    /// After how long without traffic the system asks whether a peer still lives; 60 s unless set.
    pub keep_alive: Option<Duration>,
}

/// What happens to a new connection when there are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The connection that has asked nothing for the longest time is closed (as MG 4.2.1.2 proposes); when every one has
    /// a request being worked on, the new one is refused.
    #[default]
    EvictIdle,
    /// The new connection is closed.
    Refuse,
}

/// What a client is told that asks for a unit which is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingUnit {
    /// This exception.
    Answer(ExceptionCode),
    /// Nothing.
    Ignore,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "modbus".to_owned(),
            max_connections: 1024,
            when_full: WhenFull::default(),
            idle_timeout: None,
            request_deadline: Some(Duration::from_secs(10)),
            handshake_timeout: Duration::from_secs(5),
            deadline_exception: ExceptionCode::GatewayTargetFailedToRespond,
            concurrency: 1,
            framing: Framing::Tcp,
            custom_lengths: &[],
            units: None,
            broadcast: None,
            diagnostics: None,
            metrics: None,
            missing_units: MissingUnit::Answer(ExceptionCode::GatewayTargetFailedToRespond),
            allow: Vec::new(),
            rate: None,
            grace: Duration::from_secs(5),
            threads: None,
            backlog: 4096,
            reuse_address: true,
            interface: None,
            reuse_port: false,
            reconnect: Some(Backoff::new(Duration::from_millis(100), Duration::from_secs(2))),
            keep_alive: Some(Duration::from_secs(60)),
        }
    }
}

macro_rules! with {
    ($($with:ident: $field:ident = $type:ty;)*) => {
        $(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $with(mut self, value: $type) -> Self {
                self.$field = value.into();
                self
            }
        )*
    };
}

impl Options {
    with! {
        with_name: name = impl Into<String>;
        with_max_connections: max_connections = usize;
        with_when_full: when_full = WhenFull;
        with_idle_timeout: idle_timeout = impl Into<Option<Duration>>;
        with_request_deadline: request_deadline = impl Into<Option<Duration>>;
        with_handshake_timeout: handshake_timeout = Duration;
        with_deadline_exception: deadline_exception = ExceptionCode;
        with_concurrency: concurrency = usize;
        with_framing: framing = Framing;
        with_custom_lengths: custom_lengths = &'static [CustomLength];
        with_broadcast: broadcast = impl Into<Option<bool>>;
        with_diagnostics: diagnostics = impl Into<Option<DiagnosticsMode>>;
        with_metrics: metrics = impl Into<Option<Metrics>>;
        with_missing_units: missing_units = MissingUnit;
        with_allow: allow = Vec<IpNet>;
        with_rate: rate = impl Into<Option<u32>>;
        with_grace: grace = Duration;
        with_threads: threads = impl Into<Option<usize>>;
        with_backlog: backlog = i32;
        with_reuse_address: reuse_address = bool;
        with_reuse_port: reuse_port = bool;
        with_reconnect: reconnect = impl Into<Option<Backoff>>;
        with_keep_alive: keep_alive = impl Into<Option<Duration>>;
    }

    /// Serves these units only.
    #[must_use]
    pub fn with_units(mut self, units: impl IntoIterator<Item = impl Into<UnitId>>) -> Self {
        self.units = Some(units.into_iter().map(Into::into).collect());
        self
    }

    /// Sets [`interface`](Self::interface).
    #[must_use]
    pub fn with_interface(mut self, interface: impl Into<String>) -> Self {
        self.interface = Some(interface.into());
        self
    }

    /// Where unknown units are to be left to others, a service that knows its own is listened to.
    pub(super) fn learn_units(&mut self, service: &impl Service) {
        if self.units.is_none() && self.missing_units == MissingUnit::Ignore {
            self.units = service.served_units();
        }
    }

    /// Whether it has several sockets of its own on its port.
    #[cfg(unix)]
    pub(crate) fn has_threads(&self) -> bool {
        self.threads.is_some_and(|threads| threads > 1)
    }

    /// Refuses what cannot be, before anything is started.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let zero = Some(Duration::ZERO);
        match self {
            _ if self.max_connections == 0 => Err("max_connections is 0: allow at least one connection"),
            _ if self.concurrency == 0 => Err("concurrency is 0: a connection needs at least one request at a time"),
            _ if self.threads == Some(0) => Err("threads is 0: take at least one, or None for the caller's runtime"),
            _ if self.rate == Some(0) => Err("rate is 0: allow at least one request a second, or None for no limit"),
            _ if self.idle_timeout == zero => Err("idle_timeout is 0: take a longer time, or None for no limit"),
            _ if self.request_deadline == zero => {
                Err("request_deadline is 0: take a longer time, or None for no limit")
            }
            _ if self.handshake_timeout.is_zero() => Err("handshake_timeout is 0: take a longer time"),
            _ if self.keep_alive == zero => Err("keep_alive is 0: take a longer time, or None not to ask"),
            _ if self.reconnect.is_some_and(|waits| waits.min.is_zero()) => {
                Err("reconnect waits for 0 at least: take a longer time, or None not to open a port again")
            }
            _ if self.reconnect.is_some_and(|waits| waits.min > waits.max) => {
                Err("reconnect waits for less at most than at least: take a max that is not below min")
            }
            _ if self.interface.as_deref() == Some("") => {
                Err("interface is empty: name a network interface, or None for all")
            }
            _ if self.backlog < 1 => Err("backlog is below 1: the system must keep at least one new connection"),
            _ => Ok(()),
        }
        .map_err(Error::Option)
    }
}
