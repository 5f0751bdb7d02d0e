//! Accepting connections. No error of `accept` ever ends a listener: when descriptors run out it waits and goes on.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tracing::{debug, warn};

use super::connection::{self, Known};
use super::entry::Keeper;
use super::line::Wire;
use super::shared::Shared;
use crate::service::Service;
use crate::transport::{Listener, Stream};

/// The longest wait after an error that only time can mend.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Takes connections that have been admitted.
pub(super) trait Place<T>: Send {
    fn take(&mut self, io: T, known: Known);

    /// There are no more for the time being.
    fn flush(&mut self) {}
}

/// A task for each connection, on the runtime that accepts them.
pub(super) struct Tasks<S> {
    pub(super) service: Arc<S>,
    pub(super) wire: Wire,
}

impl<S: Service, T: Stream> Place<T> for Tasks<S> {
    fn take(&mut self, io: T, known: Known) {
        let entry = known.entry.clone();
        let task = tokio::spawn(connection::run(io, self.wire, self.service.clone(), known));
        entry.set_keeper(Keeper::Task(task.abort_handle()));
    }
}

/// Accepts until the server stops. The listener is closed before this returns.
pub(super) async fn run<L: Listener>(mut listener: L, mut place: impl Place<L::Stream>, listening: Listening) {
    let shared = listening.0.clone();
    if shared.claim_sweeper() {
        tokio::spawn(shared.clone().sweep());
    }
    let mut pause = Duration::ZERO;
    let mut stopping = pin!(shared.until_stopping());
    loop {
        let mut accept = pin!(listener.accept());
        let next = poll_fn(|cx| {
            if stopping.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            let polled = accept.as_mut().poll(cx);
            if polled.is_pending() {
                place.flush();
            }
            polled.map(Some)
        });
        let Some(accepted) = next.await else { break };
        match accepted {
            Ok((io, peer)) => {
                pause = Duration::ZERO;
                match shared.admit(peer.clone()) {
                    Ok(entry) => place.take(io, Known::new(shared.clone(), entry)),
                    Err(why) => {
                        debug!(target: "dinrail::server", server = %shared.options.name, %peer, why, "refused");
                    }
                }
            }
            Err(error) if is_of_one_connection(&error) => {
                debug!(target: "dinrail::server", server = %shared.options.name, %error, "a connection failed early");
            }
            Err(error) => {
                pause = (pause * 2).clamp(Duration::from_millis(5), MAX_PAUSE);
                warn!(
                    target: "dinrail::server",
                    server = %shared.options.name, %error,
                    "cannot accept connections, trying again in {pause:?}; when it says too many open files, raise the limit (ulimit -n)"
                );
                tokio::time::sleep(pause).await;
            }
        }
    }
    drop(listener);
    drop(listening);
}

/// A listener that the server counts, from before its task runs until it is closed, even when the task is cut off: a
/// stop waits for it.
pub(super) struct Listening(Arc<Shared>);

impl Listening {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        shared.listener_started();
        Self(shared.clone())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listener_ended();
    }
}

/// Errors that belong to a connection that went away before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
