//! A peer that is gone without a word: its connection stands, and nothing will ever come over it. The system notices after
//! minutes, or never; calls that time out one after another are the sign of it.

use std::io;

use super::{Core, Link};
use crate::proto::Instant;

pub(super) struct Silence {
    /// After how many calls in a row the connection is given up; `None` never.
    most: Option<u32>,
    /// Calls in a row that timed out since something was heard.
    calls: u32,
    /// When the last of them did.
    at: Instant,
    /// Whether anything had come over the connection before.
    heard: bool,
}

impl Silence {
    pub(super) const fn new(most: Option<u32>) -> Self {
        Self { most, calls: 0, at: Instant::ZERO, heard: false }
    }

    /// There is a new connection.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.most);
    }

    pub(super) const fn heard_before(&self) -> bool {
        self.heard
    }

    /// Counts a call that was sent at `sent` and has timed out at `now`, whether something was `heard` since the last one
    /// that did. Says whether it was one too many. Calls that were on their way together are one silence.
    fn is_enough(&mut self, heard: bool, sent: Instant, now: Instant) -> bool {
        if heard {
            self.heard = true;
            self.calls = 0;
        }
        if sent >= self.at {
            self.calls += 1;
            self.at = now;
        }
        self.is_over()
    }

    /// Whether it has been enough.
    fn is_over(&self) -> bool {
        self.most.is_some_and(|most| self.calls >= most)
    }
}

impl Core {
    /// Whether the connection that has ended was given up here, and not by the peer.
    pub(in crate::client) fn has_given_up(&self) -> bool {
        self.silence.is_over()
    }

    /// The connection cannot be made again: whatever happens it is kept.
    pub(in crate::client) fn never_give_up(&mut self) {
        self.silence.most = None;
    }

    /// Calls have timed out, the last of them sent at `sent`. An error when the peer has been silent for too many: then
    /// nothing that was sent is to arrive any more, since nobody believes so.
    #[cold]
    pub(super) fn hear_nothing(&mut self, sent: Instant, now: Instant) -> Result<(), Option<io::Error>> {
        let heard = std::mem::take(&mut self.heard);
        if !self.silence.is_enough(heard, sent, now) {
            return Ok(());
        }
        if let Link::Up(stream) = &self.link {
            stream.forget_unsent();
        }
        let what = format!("nothing was heard while {} calls in a row timed out", self.silence.calls);
        Err(Some(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn silence_is_counted_in_calls_one_after_another() {
        let mut silence = Silence::new(Some(3));
        assert!(!silence.is_enough(true, at(0), at(100)), "the first");
        assert!(!silence.is_enough(false, at(50), at(150)), "it was on its way together with the first");
        assert!(!silence.is_enough(false, at(60), at(160)));
        assert!(!silence.is_enough(false, at(100), at(200)), "the second");
        assert!(!silence.is_enough(true, at(200), at(300)), "something was heard: it is the first again");
        assert!(!silence.is_enough(false, at(300), at(400)));
        assert!(silence.is_enough(false, at(400), at(500)), "the third");
        assert!(silence.heard_before());
        silence.begin();
        assert!(!silence.heard_before());
        assert!(!silence.is_enough(false, at(500), at(600)), "a new connection begins anew");
    }

    #[test]
    fn it_is_never_enough_for_who_cannot_connect_again() {
        let mut silence = Silence::new(None);
        assert!(!(0..1000).any(|call| silence.is_enough(false, at(call * 100), at(call * 100 + 100))));
    }
}
