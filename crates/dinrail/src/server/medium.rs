//! What a server listens on. The lifecycle ([`Server`](super::Server)) is the same everywhere; a medium knows how to begin.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use super::accept::{self, Listening, Tasks};
use super::line::Wire;
use super::shared::Shared;
use super::{threads, udp};
use crate::Error;
use crate::service::Service;
use crate::transport::{Burst, TcpListener};

/// What a server can listen on: addresses of a [`Network`], or a serial port. Its `Display` is a URL. It cannot be
/// implemented; for transports of your own there is [`serve_listener`](super::serve_listener).
pub trait Medium: Start + Clone + fmt::Debug + fmt::Display + Send + Sync + 'static {}

/// The part of a medium that is the server's own business.
#[doc(hidden)]
pub trait Start {
    /// Where it listens once it does.
    type Local: Clone + fmt::Debug + fmt::Display + Send + Sync + 'static;

    /// Refuses what cannot be, and adjusts options to the medium.
    fn prepare(&self, _options: &mut super::Options) {}

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

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Tcp,
    Udp,
}

impl Network {
    pub(super) fn tcp(address: Arc<str>) -> Self {
        Self { address, protocol: Protocol::Tcp }
    }

    pub(super) fn udp(address: Arc<str>) -> Self {
        Self { address, protocol: Protocol::Udp }
    }
}

impl Medium for Network {}

impl Start for Network {
    type Local = SocketAddr;

    #[allow(private_interfaces)]
    async fn start<S: Service>(&self, service: &Arc<S>, shared: &Arc<Shared>) -> Result<SocketAddr, Error> {
        match self.protocol {
            Protocol::Tcp => start_tcp(&self.address, service, shared).await,
            Protocol::Udp => udp::start(&self.address, service, shared).await,
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

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}
