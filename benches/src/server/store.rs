//! What the measured servers serve: registers behind a mutex, the same for each of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::frame::value;

/// All 65536 holding registers.
pub(super) struct Store(Mutex<Vec<u16>>);

impl Store {
    pub(super) fn new() -> Self {
        Self(Mutex::new((0..=u16::MAX).map(value).collect()))
    }

    pub(super) fn registers(&self) -> MutexGuard<'_, Vec<u16>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
