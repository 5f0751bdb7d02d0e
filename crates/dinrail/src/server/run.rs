//! A server between its start and its stop: what it runs as, and whoever waits for its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::shared::Shared;

/// Nothing panics while this is held, and a poisoned lock would hold a whole value all the same.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a server runs as.
pub(super) struct Running<L> {
    pub(super) shared: Arc<Shared>,
    pub(super) local: L,
    /// Somebody serves, and waits for its end.
    pub(super) served: bool,
}

/// Ends everything when it is dropped, unless it is told to keep it.
pub(super) struct Ends(Option<Arc<Shared>>);

impl Ends {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Some(shared.clone()))
    }

    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.abort();
        }
    }
}

/// Somebody who serves. When that ends, so does the server, if it was started for that; one that ran before goes on.
pub(super) struct Serving<'a, L> {
    pub(super) running: &'a Mutex<Option<Running<L>>>,
    pub(super) shared: Arc<Shared>,
    pub(super) began: bool,
}

impl<L> Drop for Serving<'_, L> {
    fn drop(&mut self) {
        if self.began {
            return self.shared.abort();
        }
        if let Some(running) = &mut *lock(self.running)
            && Arc::ptr_eq(&running.shared, &self.shared)
        {
            running.served = false;
        }
    }
}
