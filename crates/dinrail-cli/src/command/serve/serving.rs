//! The server that runs: on a good line, or on one that is bad on purpose.

use std::sync::Arc;

use dinrail::server::{Manager, Options, Report, serve_listener};
use dinrail::service::BoxService;
use dinrail::transport::{Connect as _, Endpoint, Faults, Faulty, Tap, Tcp, TcpListener, Trace};
use dinrail::{Error, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(super) enum Serving {
    Well(Arc<Manager>),
    Badly { stop: oneshot::Sender<()>, served: JoinHandle<Result<Report, Error>> },
}

/// What the server is called where servers have names.
pub(super) const NAME: &str = "serve";

impl Serving {
    /// Starts a server, and says where it listens.
    pub(super) async fn well(server: Server<BoxService, Endpoint>) -> Result<(Self, String), Error> {
        let manager = Arc::new(Manager::new());
        manager.add(NAME, server).map_err(|failed| failed.error)?;
        manager.start(NAME).await.map_err(|failed| failed.error)?;
        let address = manager.status().into_iter().map(|server| server.address).collect();
        Ok((Self::Well(manager), address))
    }

    /// Starts a server whose connections are bad lines. Frames as they leave, and as they come, are in the log.
    pub(super) async fn badly(
        tcp: &Tcp,
        service: BoxService,
        mut options: Options,
        faults: Faults,
    ) -> Result<(Self, String), Error> {
        options.framing = tcp.framing();
        options.interface = tcp.interface().map(str::to_owned).or(options.interface);
        let listener = TcpListener::bind(&tcp.to_string(), &options).await?;
        let address = Tcp::from(listener.local_addr()?).with_framing(options.framing).to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = Faulty::new(Tap::new(listener, Trace::new().with_hex()).with_framing(options.framing), faults);
        let stopped = async { stopped.await.unwrap_or_default() };
        let served = tokio::spawn(serve_listener(listener, service, options, stopped));
        Ok((Self::Badly { stop, served }, address))
    }

    /// Who knows how the server is.
    pub(super) fn manager(&self) -> Option<&Arc<Manager>> {
        match self {
            Self::Well(manager) => Some(manager),
            Self::Badly { .. } => None,
        }
    }

    /// Answers what has been asked, and closes.
    pub(super) async fn stop(self) {
        match self {
            Self::Well(manager) => {
                manager.stop_all().await;
            }
            Self::Badly { stop, served } => {
                let _ = stop.send(()); // it listens for nothing else
                let _ = served.await;
            }
        }
    }
}
