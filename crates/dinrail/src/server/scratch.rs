//! Buffers that belong to a thread, not to a connection: a connection that waits for bytes holds none, so ten thousand
//! idle ones cost next to nothing.

use std::cell::RefCell;

/// How many bytes are read at once: some 1300 of the commonest request, and 60 of the longest.
const INPUT: usize = 16 * 1024;
/// How many bytes of replies are gathered before they are written.
const OUTPUT: usize = 32 * 1024;
/// Buffers that a thread keeps; connections whose service makes them wait hold one each for as long.
const KEPT: usize = 16;

/// The bytes that came, and the replies to them.
pub(super) struct Scratch {
    pub(super) input: [u8; INPUT],
    pub(super) output: [u8; OUTPUT],
}

thread_local! {
    // A box each, since they are handed over from connection to connection.
    #[allow(clippy::vec_box)]
    static POOL: RefCell<Vec<Box<Scratch>>> = const { RefCell::new(Vec::new()) };
}

impl Scratch {
    /// One of this thread's buffers, or a new one when all are in use. The contents are what was there before.
    pub(super) fn take() -> Box<Self> {
        POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::new(Self { input: [0; INPUT], output: [0; OUTPUT] }))
    }

    /// Gives it back to the thread that this runs on.
    pub(super) fn give_back(self: Box<Self>) {
        POOL.with_borrow_mut(|pool| {
            if pool.len() < KEPT {
                pool.push(self);
            }
        });
    }
}
