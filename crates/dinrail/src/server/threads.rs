//! A server on threads of its own: each has a loop and a listener, and the system spreads connections over them. It
//! costs less than one loop that steals work between threads.

use std::net::SocketAddr;
use std::sync::Arc;

use super::accept::{self, Listening};
use super::shared::Shared;
use crate::Error;
use crate::service::Service;
use crate::transport::TcpListener;

/// Starts `count` threads; the first takes over `first`, the others listen on the same address.
pub(super) fn spawn<S: Service>(
    count: usize,
    first: TcpListener,
    local: SocketAddr,
    service: &Arc<S>,
    shared: &Arc<Shared>,
) -> Result<(), Error> {
    let mut sockets = vec![first.into_std()?];
    for _ in 1..count {
        sockets.push(
            TcpListener::bind_std(local, &shared.options)
                .map_err(|source| Error::Bind { address: local.to_string().into(), source: Arc::new(source) })?,
        );
    }
    for (number, socket) in sockets.into_iter().enumerate() {
        let (service, shared) = (service.clone(), shared.clone());
        let listening = Listening::new(&shared);
        let name = format!("{}-{number}", shared.options.name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(socket, &shared.options)?
        };
        std::thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                accept::run(listener, service, listening).await;
                shared.until_stopped().await;
            });
        })?;
    }
    Ok(())
}
