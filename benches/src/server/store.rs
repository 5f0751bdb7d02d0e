//! What the measured servers serve: registers of the thread they run on, the same for each of them. No lock: what an
//! application's lock costs is not the server's doing.

use std::cell::RefCell;

use crate::frame::value;

thread_local! {
    static REGISTERS: RefCell<Vec<u16>> = RefCell::new((0..=u16::MAX).map(value).collect());
}

/// Looks at all 65536 holding registers.
pub(super) fn read<T>(look: impl FnOnce(&[u16]) -> T) -> T {
    REGISTERS.with_borrow(|registers| look(registers))
}

/// Changes them.
pub(super) fn write<T>(change: impl FnOnce(&mut [u16]) -> T) -> T {
    REGISTERS.with_borrow_mut(|registers| change(registers))
}
