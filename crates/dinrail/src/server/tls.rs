//! TLS handshakes: each in the task of its own connection, so that a slow one holds up nobody, and within a time limit, so
//! that a silent client holds its place for no longer. A connection counts from when it is accepted: the limit on
//! connections is the limit on handshakes too.

use std::sync::Arc;

use tokio::time::timeout;
use tracing::{debug, info};

use super::accept::Place;
use super::connection::{self, Known};
use super::entry::Keeper;
use super::line::Wire;
use crate::service::Service;
use crate::transport::{ServerTls, Stream, part};

/// A task for each connection, on the runtime that accepts them: first the handshake, then the requests.
pub(super) struct Handshakes<S> {
    pub(super) service: Arc<S>,
    pub(super) tls: ServerTls,
    pub(super) wire: Wire,
}

impl<S> Clone for Handshakes<S> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), tls: self.tls.clone(), wire: self.wire }
    }
}

impl<S: Service, T: Stream> Place<T> for Handshakes<S> {
    fn take(&mut self, io: T, known: Known) {
        let entry = known.entry.clone();
        let task = tokio::spawn(run(io, self.clone(), known));
        entry.set_keeper(Keeper::Task(task.abort_handle()));
    }
}

async fn run<S: Service>(io: impl Stream, how: Handshakes<S>, known: Known) {
    let options = &known.shared.options;
    let limit = options.handshake_timeout;
    // Its state is far larger than that of a connection, and soon gone.
    let refused = match Box::pin(timeout(limit, how.tls.handshake(io))).await {
        Ok(Ok(stream)) => {
            if let Some(role) = stream.role() {
                known.entry.identify(role.clone());
            }
            let peer = known.entry.peer();
            debug!(
                target: "dinrail::server",
                server = %options.name, %peer, role = peer.role.as_deref(), "the TLS handshake is done"
            );
            return connection::run(stream, how.wire, how.service, known).await;
        }
        Ok(Err(refused)) => Some(refused),
        Err(_) => None,
    };
    known.shared.handshake_failed();
    let (server, peer) = (&options.name, known.entry.peer());
    match refused {
        Some((error, io)) => {
            info!(target: "dinrail::server", %server, %peer, %error, "the TLS handshake failed");
            part(io).await;
        }
        None => info!(target: "dinrail::server", %server, %peer, "the TLS handshake took longer than {limit:?}"),
    }
}
