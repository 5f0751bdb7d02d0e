//! A server on threads of its own. Each of its loops has a listener, and the system spreads connections over them.
//!
//! A loop is two threads: one waits for events of sockets and answers what can be answered at once ([`event_loop`]), the
//! other has a runtime, which accepts connections and serves those whose service takes its time.

#[cfg(feature = "serial")]
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;

use super::accept::{self, Listening};
use super::event_loop;
use super::line::Wire;
use super::shared::Shared;
use crate::Error;
use crate::service::Service;
use crate::transport::{Burst, TcpListener};

/// Starts `count` loops; the first takes over `first`, the others listen on the same address.
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
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(socket, &shared.options)?
        };
        let name = format!("{}-{number}", shared.options.name);
        let sockets = event_loop::start(&name, service.clone(), runtime.handle().clone())?;
        thread::Builder::new().name(format!("{name}-accept")).spawn(move || {
            runtime.block_on(async {
                let wire = Wire::new(&shared.options, Burst::Never);
                // A pause for a peer that asks too often needs a runtime's clock, and the loop speaks Modbus TCP only.
                if shared.options.rate.is_some() || !wire.is_plain_tcp() {
                    accept::run(listener, accept::Tasks { service, wire }, listening).await;
                } else {
                    accept::run(listener, sockets, listening).await;
                }
                shared.until_stopped().await;
            });
        })?;
    }
    Ok(())
}

/// Runs what `begin` returns in a runtime on a thread of its own, until the server has stopped.
#[cfg(feature = "serial")]
pub(super) fn spawn_one<F>(shared: &Arc<Shared>, begin: impl FnOnce() -> F + Send + 'static) -> Result<(), Error>
where
    F: Future<Output = ()> + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let shared = shared.clone();
    thread::Builder::new().name(shared.options.name.clone()).spawn(move || {
        runtime.block_on(async {
            begin().await;
            shared.until_stopped().await;
        });
    })?;
    Ok(())
}
