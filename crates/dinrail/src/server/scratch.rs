//! Buffers that belong to a thread, not to a connection: a connection that waits for bytes holds none, so ten thousand
//! idle ones cost next to nothing.

use std::cell::Cell;
use std::time::Instant;

use crate::proto::server::Tally;

/// How many bytes are read at once: some 1300 of the commonest request, and 60 of the longest.
pub(super) const INPUT: usize = 16 * 1024;
/// How many bytes of replies are gathered before they are sent.
pub(super) const OUTPUT: usize = 32 * 1024;

/// The bytes that came, the replies to them, and how far they are.
pub(super) struct Scratch {
    /// How many bytes of `input` have come.
    pub(super) filled: usize,
    /// How many of them are used.
    pub(super) used: usize,
    /// How many bytes of `output` are replies.
    pub(super) end: usize,
    /// How many of them are sent.
    pub(super) sent: usize,
    /// Why no more requests were answered for now, as long as replies are on their way.
    pub(super) stopped: Option<Stopped>,
    /// Requests answered.
    pub(super) requests: u64,
    /// Those answered with an exception.
    pub(super) exceptions: u64,
    /// What the server's diagnostics have not been told yet.
    pub(super) tally: Tally,
    /// When the bytes came, if that is to be known.
    pub(super) came: Option<Instant>,
    /// Requests whose time has been taken.
    pub(super) timed: u64,
    pub(super) input: [u8; INPUT],
    pub(super) output: [u8; OUTPUT],
}

/// Why no more requests of a batch are answered for now.
#[derive(Clone, Copy)]
pub(super) enum Stopped {
    /// Replies must be sent first.
    NoRoom,
    /// There is no whole request any more.
    Incomplete,
    /// The next one is not answered at once.
    Slow,
    /// A length field that cannot be.
    Unframeable(u16),
}

thread_local! {
    /// The one that nobody uses. Connections take turns; one whose peer does not read its replies keeps its own for as
    /// long, and the next one gets a new one.
    static FREE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// This thread's buffer, or a new one when it is in use. The contents are what was there before.
    #[inline]
    pub(super) fn take() -> Box<Self> {
        FREE.take().unwrap_or_else(Self::new)
    }

    #[cold]
    fn new() -> Box<Self> {
        Box::new(Self {
            filled: 0,
            used: 0,
            end: 0,
            sent: 0,
            stopped: None,
            requests: 0,
            exceptions: 0,
            tally: Tally::new(),
            came: None,
            timed: 0,
            input: [0; INPUT],
            output: [0; OUTPUT],
        })
    }

    /// Whether there are bytes in it that are being worked on.
    pub(super) fn is_begun(&self) -> bool {
        self.filled > 0
    }

    /// Begins with the first `filled` bytes of the input.
    pub(super) fn begin(&mut self, filled: usize) {
        (self.filled, self.used, self.end, self.sent, self.stopped) = (filled, 0, 0, 0, None);
        (self.requests, self.exceptions) = (0, 0);
    }

    /// Bytes that are not used: the beginning of a frame.
    pub(super) fn rest(&self) -> &[u8] {
        &self.input[self.used..self.filled]
    }

    /// Gives it back to the thread that this runs on.
    #[inline]
    pub(super) fn give_back(mut self: Box<Self>) {
        self.filled = 0;
        FREE.set(Some(self));
    }
}
