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
use super::shaped::Around;
use crate::service::Service;
use crate::transport::{ServerTls, Stream, part};

/// A task for each connection, on the runtime that accepts them: first the handshake, then the requests.
pub(super) struct Handshakes<S, A = ()> {
    service: Arc<S>,
    tls: ServerTls,
    wire: Wire,
    /// What is put around a connection when its handshake is done.
    inside: A,
}

impl<S> Handshakes<S> {
    pub(super) fn new(service: &Arc<S>, tls: &ServerTls, wire: Wire) -> Self {
        Self { service: service.clone(), tls: tls.clone(), wire, inside: () }
    }

    pub(super) fn with_inside<A: Around>(self, inside: A) -> Handshakes<S, A> {
        let Self { service, tls, wire, inside: () } = self;
        Handshakes { service, tls, wire, inside }
    }
}

impl<S, A: Around> Clone for Handshakes<S, A> {
    fn clone(&self) -> Self {
        let Self { service, tls, wire, inside } = self;
        Self { service: service.clone(), tls: tls.clone(), wire: *wire, inside: inside.clone() }
    }
}

impl<S: Service, A: Around, T: Stream> Place<T> for Handshakes<S, A> {
    fn take(&mut self, io: T, known: Known) {
        let entry = known.entry.clone();
        let task = tokio::spawn(run(io, self.clone(), known));
        entry.set_keeper(Keeper::Task(task.abort_handle()));
    }
}

async fn run<S: Service, A: Around>(io: impl Stream, how: Handshakes<S, A>, known: Known) {
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
            return connection::run(how.inside.stream(stream), how.wire, how.service, known).await;
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
