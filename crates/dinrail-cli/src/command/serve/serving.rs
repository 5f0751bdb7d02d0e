//! The server that runs: on a good line, or on one that is bad on purpose.

use std::sync::Arc;

use dinrail::server::{Manager, Medium};
use dinrail::service::BoxService;
use dinrail::{Error, Server};

/// What the server is called where servers have names, in the log among others.
pub(super) const NAME: &str = "serve";

pub(super) struct Serving(Arc<Manager>);

impl Serving {
    /// Starts a server, and says where it listens.
    pub(super) async fn start(server: Server<BoxService, impl Medium>) -> Result<(Self, String), Error> {
        let manager = Arc::new(Manager::new());
        manager.add(NAME, server).map_err(|failed| failed.error)?;
        manager.start(NAME).await.map_err(|failed| failed.error)?;
        let address = manager.status().into_iter().map(|server| server.address).collect();
        Ok((Self(manager), address))
    }

    /// Who knows how the server is.
    pub(super) fn manager(&self) -> &Arc<Manager> {
        &self.0
    }

    /// Answers what has been asked, and closes.
    pub(super) async fn stop(self) {
        self.0.stop_all().await;
    }
}
