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
use crate::service::{Peer, Service};
use crate::transport::{Listener, Stream};

/// The longest wait after an error that only time can mend.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Takes connections that have been admitted.
pub(super) trait Place<T>: Send {
    fn take(&mut self, io: T, known: Known);
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
    let mut gate = Gate::new(listening);
    let shared = gate.shared().clone();
    shared.start_sweeper();
    let mut stopping = pin!(shared.until_stopping());
    loop {
        let mut accept = pin!(listener.accept());
        let next = poll_fn(|cx| {
            if stopping.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            accept.as_mut().poll(cx).map(Some)
        });
        match next.await {
            None => break,
            Some(Ok((io, peer))) => {
                if let Some(known) = gate.admit(peer) {
                    place.take(io, known);
                }
            }
            Some(Err(error)) => {
                let pause = gate.failed(&error);
                if !pause.is_zero() && tokio::time::timeout(pause, stopping.as_mut()).await.is_ok() {
                    break;
                }
            }
        }
    }
    drop(listener);
    drop(gate);
}

/// What becomes of that which `accept` returns, wherever it is called.
pub(super) struct Gate {
    listening: Listening,
    /// How long was waited after the last error, if no connection has come since.
    pause: Duration,
}

impl Gate {
    pub(super) fn new(listening: Listening) -> Self {
        Self { listening, pause: Duration::ZERO }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.listening.0
    }

    /// Lets a connection in, if it may come in.
    pub(super) fn admit(&mut self, peer: Peer) -> Option<Known> {
        self.pause = Duration::ZERO;
        let shared = self.shared();
        match shared.admit(peer.clone()) {
            Ok(entry) => Some(Known::new(shared.clone(), entry)),
            Err(why) => {
                debug!(target: "dinrail::server", server = %shared.options.name, %peer, why, "refused");
                None
            }
        }
    }

    /// How long to wait after an error; zero when it is no concern of the next connection's.
    pub(super) fn failed(&mut self, error: &io::Error) -> Duration {
        let server = &self.listening.0.options.name;
        if is_of_one_connection(error) {
            debug!(target: "dinrail::server", %server, %error, "a connection failed early");
            return Duration::ZERO;
        }
        self.pause = (self.pause * 2).clamp(Duration::from_millis(5), MAX_PAUSE);
        warn!(
            target: "dinrail::server",
            %server, %error,
            "cannot accept connections, trying again in {:?}; when it says too many open files, raise the limit (ulimit -n)",
            self.pause
        );
        self.pause
    }
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
