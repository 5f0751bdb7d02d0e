//! The server that runs: on a good line, or on one that is bad on purpose.

use dinrail::server::{Options, Report, serve_listener};
use dinrail::service::BoxService;
use dinrail::transport::{Connect as _, Endpoint, Faults, Faulty, Tap, Tcp, TcpListener, Trace};
use dinrail::{Error, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(super) enum Serving {
    Well(Box<Server<BoxService, Endpoint>>),
    Badly { stop: oneshot::Sender<()>, served: JoinHandle<Result<Report, Error>> },
}

impl Serving {
    /// Starts a server, and says where it listens.
    pub(super) async fn well(server: Server<BoxService, Endpoint>) -> Result<(Self, Endpoint), Error> {
        let address = server.start().await?;
        Ok((Self::Well(Box::new(server)), address))
    }

    /// Starts a server whose connections are bad lines. Frames as they leave, and as they come, are in the log.
    pub(super) async fn badly(
        tcp: &Tcp,
        service: BoxService,
        mut options: Options,
        faults: Faults,
    ) -> Result<(Self, Endpoint), Error> {
        options.framing = tcp.framing();
        let listener = TcpListener::bind(&tcp.to_string(), &options).await?;
        let address = Endpoint::Tcp(Tcp::from(listener.local_addr()?).with_framing(options.framing));
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = Faulty::new(Tap::new(listener, Trace::new().with_hex()).with_framing(options.framing), faults);
        let stopped = async { stopped.await.unwrap_or_default() };
        let served = tokio::spawn(serve_listener(listener, service, options, stopped));
        Ok((Self::Badly { stop, served }, address))
    }

    /// Answers what has been asked, and closes.
    pub(super) async fn stop(self) {
        match self {
            Self::Well(server) => {
                server.stop().await;
            }
            Self::Badly { stop, served } => {
                let _ = stop.send(()); // it listens for nothing else
                let _ = served.await;
            }
        }
    }
}
