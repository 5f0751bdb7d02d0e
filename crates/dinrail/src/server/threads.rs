//! A server on threads of its own. Each of its loops has a listener, and the system spreads connections over them.
//!
//! A loop is two threads: one waits for events of sockets, accepts connections and answers what can be answered at once
//! ([`event_loop`]), the other has a runtime, which serves connections whose service takes its time. A server that needs
//! the runtime for every connection has that thread alone.

#[cfg(feature = "serial")]
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

#[cfg(feature = "tls")]
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

#[cfg(feature = "tls")]
use super::accept::Place;
use super::accept::{self, Listening, Tasks};
use super::descriptors;
use super::event_loop::{self, Acceptor};
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
    for (number, socket) in sockets(count, first, local, shared)?.into_iter().enumerate() {
        let (service, shared) = (service.clone(), shared.clone());
        let listening = Listening::new(&shared);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let name = format!("{}-{number}", shared.options.name);
        let wire = Wire::new(&shared.options, Burst::Never);
        // A pause for a peer that asks too often needs a runtime's clock, and the loop speaks Modbus TCP only.
        if shared.options.rate.is_some() || !wire.is_plain_tcp() {
            let listener = adopt(socket, &runtime, &shared)?;
            thread::Builder::new().name(name).spawn(move || {
                descriptors::make_room(shared.options.max_connections);
                runtime.block_on(async {
                    accept::run(listener, Tasks { service, wire }, listening).await;
                    shared.until_stopped().await;
                });
            })?;
        } else {
            let acceptor = Acceptor::new(socket, listening);
            let accepting = event_loop::start(&name, service, runtime.handle().clone(), acceptor)?;
            thread::Builder::new().name(format!("{name}-tasks")).spawn(move || {
                runtime.block_on(async {
                    shared.start_sweeper();
                    shared.until_stopping().await;
                    drop(accepting);
                    shared.until_stopped().await;
                });
            })?;
        }
    }
    Ok(())
}

/// `count` listening sockets: `first`, and others on the same address.
fn sockets(
    count: usize,
    first: TcpListener,
    local: SocketAddr,
    shared: &Shared,
) -> Result<Vec<std::net::TcpListener>, Error> {
    let mut sockets = vec![first.into_std()?];
    for _ in 1..count {
        sockets.push(
            TcpListener::bind_another(local, &shared.options)
                .map_err(|source| Error::Bind { address: local.to_string().into(), source: Arc::new(source) })?,
        );
    }
    Ok(sockets)
}

fn adopt(socket: std::net::TcpListener, runtime: &Runtime, shared: &Shared) -> Result<TcpListener, Error> {
    let _inside = runtime.enter();
    Ok(TcpListener::from_std(socket, &shared.options)?)
}

/// As [`spawn`], for connections that are tasks from their beginning: each loop is one thread, a runtime that accepts them
/// and serves them.
#[cfg(feature = "tls")]
pub(super) fn spawn_tasks(
    count: usize,
    first: TcpListener,
    local: SocketAddr,
    place: impl Place<TcpStream> + Clone + 'static,
    shared: &Arc<Shared>,
) -> Result<(), Error> {
    for (number, socket) in sockets(count, first, local, shared)?.into_iter().enumerate() {
        let (place, shared) = (place.clone(), shared.clone());
        let listening = Listening::new(&shared);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = adopt(socket, &runtime, &shared)?;
        thread::Builder::new().name(format!("{}-{number}", shared.options.name)).spawn(move || {
            descriptors::make_room(shared.options.max_connections);
            runtime.block_on(async {
                accept::run(listener, place, listening).await;
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
