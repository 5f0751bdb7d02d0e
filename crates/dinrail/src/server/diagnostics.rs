//! The diagnostics of a server, FC 8, 11 and 12, seen from the application.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::proto::server::{After, Completion, Connection, Diagnostics as State, Event, ReplyTo, Tally};

/// Whether a server answers FC 8, 11 and 12 (AP 6.8 to 6.10) itself, or asks its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiagnosticsMode {
    /// The service is asked; the stores and closures of dinrail refuse with exception 0x01.
    #[default]
    Off,
    /// The server answers and counts.
    Live,
    /// The server answers and obeys, but its counters stay 0 and its log empty.
    Frozen,
}

/// A handle on what a server knows of its own communication: the counters of FC 8, the event counter of FC 11, the event
/// log of FC 12, and the diagnostic register, which the application may set. Clones share it.
///
/// There is one set for all units and connections of a server, and it begins anew when the server is started; the register
/// stays. Nothing moves while the server's [mode](super::Options::diagnostics) is off.
#[derive(Clone, Default)]
pub struct Diagnostics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// What the state says of it, to be looked at for every request.
    listens_only: AtomicBool,
}

impl Diagnostics {
    /// Everything as it stands now.
    pub fn snapshot(&self) -> State {
        self.lock().clone()
    }

    /// Sets the diagnostic register, FC 8 / 2. A client can clear it, by FC 8 / 0A.
    pub fn set_register(&self, register: u16) {
        self.lock().set_register(register);
    }

    /// Says whether an earlier command is still being worked on: FC 11 and 12 report status 0xFFFF then.
    pub fn set_busy(&self, busy: bool) {
        self.lock().set_busy(busy);
    }

    /// Those of a server that nobody has a handle on.
    pub(super) fn in_mode(mode: Option<DiagnosticsMode>) -> Self {
        let this = Self::default();
        this.begin(mode);
        this
    }

    /// As if the server had been switched on again.
    pub(super) fn begin(&self, mode: Option<DiagnosticsMode>) {
        let mut state = self.lock();
        let mut new = State::new();
        if mode == Some(DiagnosticsMode::Frozen) {
            new = new.frozen();
        }
        new.set_register(state.register());
        new.set_busy(state.is_busy());
        *state = new;
        self.note(&state);
    }

    /// Whether requests are to be left alone: FC 8 / 4, until FC 8 / 1.
    #[inline]
    pub(super) fn listens_only(&self) -> bool {
        self.0.listens_only.load(Ordering::Relaxed)
    }

    /// Takes what was gathered.
    pub(super) fn take(&self, tally: &mut Tally) {
        self.lock().take(tally);
    }

    /// Records what became of a request, and does what is to be done then.
    pub(super) fn completed(&self, connection: &mut Connection, to: ReplyTo, completion: Completion, after: After) {
        let mut state = self.lock();
        state.completed(connection, to, completion, after);
        self.note(&state);
    }

    fn note(&self, state: &State) {
        self.0.listens_only.store(state.is_listen_only(), Ordering::Relaxed);
    }

    /// What stands at the front of a connection's bytes, taken into account.
    pub(super) fn step<'a>(&self, connection: &mut Connection, bytes: &'a mut [u8], at_end: bool) -> Event<'a> {
        let mut state = self.lock();
        state.govern(connection);
        let event = if at_end { connection.end_of_burst(bytes) } else { connection.handle_input(bytes) };
        state.seen(connection, &event);
        event
    }

    /// Nothing panics while this is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}
