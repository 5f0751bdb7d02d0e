//! What a server listens on. The lifecycle ([`Server`](super::Server)) is the same everywhere; a medium knows how to begin.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use super::accept::{self, Listening, Tasks};
use super::line::Wire;
use super::options::Options;
use super::shared::Shared;
#[cfg(feature = "tls")]
use super::tls::Handshakes;
use super::{threads, udp};
use crate::Error;
#[cfg(feature = "tls")]
use crate::proto::Framing;
use crate::service::Service;
use crate::transport::{Burst, Endpoint, Tcp, TcpListener, Udp};
#[cfg(feature = "tls")]
use crate::transport::{ServerTls, Tls};

/// What a server can listen on: addresses of a [`Network`], or a serial port. Its `Display` is a URL. It cannot be
/// implemented; for transports of your own there is [`serve_listener`](super::serve_listener).
pub trait Medium: Start + Clone + fmt::Debug + fmt::Display + Send + Sync + 'static {}

/// The part of a medium that is the server's own business.
#[doc(hidden)]
pub trait Start {
    /// Where it listens once it does.
    type Local: Clone + fmt::Debug + fmt::Display + Send + Sync + 'static;

    /// The URL of where it listens.
    fn url(&self, local: &Self::Local) -> String {
        local.to_string()
    }

    /// Refuses what cannot be, and adjusts options to the medium.
    fn prepare(&self, _options: &mut Options) {}

    /// Begins to serve. When this fails, what was begun ends once `shared` is told to stop.
    #[allow(private_interfaces)]
    fn start<S: Service>(
        &self,
        service: &Arc<S>,
        shared: &Arc<Shared>,
    ) -> impl Future<Output = Result<Self::Local, Error>> + Send;
}

/// An address of the machine, "host:port", and what is spoken there.
#[derive(Clone, Debug)]
pub struct Network {
    address: Arc<str>,
    protocol: Protocol,
}

#[derive(Clone, Debug)]
enum Protocol {
    Tcp,
    Udp,
    #[cfg(feature = "tls")]
    Tls(ServerTls),
}

impl Network {
    pub(super) fn tcp(address: Arc<str>) -> Self {
        Self { address, protocol: Protocol::Tcp }
    }

    pub(super) fn udp(address: Arc<str>) -> Self {
        Self { address, protocol: Protocol::Udp }
    }

    #[cfg(feature = "tls")]
    pub(super) fn tls(address: Arc<str>, tls: ServerTls) -> Self {
        Self { address, protocol: Protocol::Tls(tls) }
    }
}

impl Medium for Network {}

impl Start for Network {
    type Local = SocketAddr;

    fn url(&self, local: &SocketAddr) -> String {
        Self { address: local.to_string().into(), ..self.clone() }.to_string()
    }

    #[allow(private_interfaces)]
    async fn start<S: Service>(&self, service: &Arc<S>, shared: &Arc<Shared>) -> Result<SocketAddr, Error> {
        match &self.protocol {
            Protocol::Tcp => start_tcp(&self.address, service, shared).await,
            Protocol::Udp => udp::start(&self.address, service, shared).await,
            #[cfg(feature = "tls")]
            Protocol::Tls(tls) => start_tls(&self.address, tls, service, shared).await,
        }
    }
}

async fn start_tcp<S: Service>(address: &str, service: &Arc<S>, shared: &Arc<Shared>) -> Result<SocketAddr, Error> {
    let first = TcpListener::bind(address, &shared.options).await?;
    let local = first.local_addr().map_err(Error::from)?;
    match shared.options.threads {
        None => {
            let tasks = Tasks { service: service.clone(), wire: Wire::new(&shared.options, Burst::Never) };
            tokio::spawn(accept::run(first, tasks, Listening::new(shared)));
        }
        Some(threads) => threads::spawn(threads, first, local, service, shared)?,
    }
    Ok(local)
}

#[cfg(feature = "tls")]
async fn start_tls<S: Service>(
    address: &str,
    tls: &ServerTls,
    service: &Arc<S>,
    shared: &Arc<Shared>,
) -> Result<SocketAddr, Error> {
    let first = TcpListener::bind(address, &shared.options).await?;
    let local = first.local_addr().map_err(Error::from)?;
    let wire = Wire::new(&shared.options, tls_burst(shared.options.framing));
    let handshakes = Handshakes::new(service, tls, wire);
    match shared.options.threads {
        None => drop(tokio::spawn(accept::run(first, handshakes, Listening::new(shared)))),
        Some(threads) => threads::spawn_tasks(threads, first, local, handshakes, shared)?,
    }
    Ok(local)
}

/// A bare PDU does not always say where it ends; a record of TLS does, and comes whole.
#[cfg(feature = "tls")]
pub(super) fn tls_burst(framing: Framing) -> Burst {
    if framing == Framing::Pdu { Burst::EachRead } else { Burst::Never }
}

/// What a server has to show.
#[cfg(feature = "tls")]
pub(super) fn shown(config: &Option<ServerTls>) -> Result<ServerTls, Error> {
    config
        .clone()
        .ok_or(Error::Option("a TLS server has a certificate to show: give it one by Endpoint::with_server_tls"))
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            #[cfg(feature = "tls")]
            Protocol::Tls(_) => "tls",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

/// A URL to listen on does not say where a client connects from.
pub(super) fn refuse_source(endpoint: &Endpoint) -> Result<(), Error> {
    if endpoint.source().is_none() {
        return Ok(());
    }
    Err(Error::Option(
        "source= is where a client connects from: a server listens on the address of its URL, and interface= names a \
         network interface",
    ))
}

impl Medium for Endpoint {}

/// A server on whatever the URL says. It answers with the URL it really listens on: with the port that the system chose
/// where that was 0.
impl Start for Endpoint {
    type Local = Endpoint;

    fn prepare(&self, options: &mut Options) {
        options.framing = self.framing();
        if let Some(interface) = self.interface() {
            options.interface = Some(interface.to_owned());
        }
        if let Some(keep_alive) = self.tcp().and_then(Tcp::own_keep_alive) {
            options.keep_alive = keep_alive;
        }
        #[cfg(feature = "serial")]
        if let Self::Serial(port) = self {
            port.prepare(options);
        }
    }

    #[allow(private_interfaces)]
    async fn start<S: Service>(&self, service: &Arc<S>, shared: &Arc<Shared>) -> Result<Self, Error> {
        let framing = self.framing();
        refuse_source(self)?;
        match self {
            Self::Tcp(tcp) => {
                let local = Network::tcp(tcp.to_string().into()).start(service, shared).await?;
                Ok(Self::Tcp(Tcp::from(local).with_framing(framing)))
            }
            Self::Udp(udp) => {
                let local = Network::udp(udp.to_string().into()).start(service, shared).await?;
                Ok(Self::Udp(Udp::from(local).with_framing(framing)))
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls, config) => {
                let config = shown(config)?;
                let local = Network::tls(tls.to_string().into(), config.clone()).start(service, shared).await?;
                Ok(Self::Tls(Tls::over(Tcp::from(local)).with_framing(framing), Some(config)))
            }
            #[cfg(feature = "serial")]
            Self::Serial(port) => {
                port.start(service, shared).await?;
                Ok(self.clone())
            }
        }
    }
}
