//! A server behind any listener, and its address.

use std::net::SocketAddr;

use dinrail::server::{Options, serve_listener};
use dinrail::service::Service;
use dinrail::transport::{Listener, TcpListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A listener on any free port, and where it listens.
pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0", &Options::default()).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// A server that serves until it is dropped or stopped.
pub(crate) struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    pub(crate) fn start(listener: impl Listener, service: impl Service) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            serve_listener(listener, service, Options::default(), stopped).await.expect("options that can be");
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.expect("no panic");
    }
}
