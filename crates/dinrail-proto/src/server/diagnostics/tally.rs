//! What passes on connections whose driver finds the frames by itself, gathered until [`Diagnostics`] takes it.

use super::{Completion, Diagnostics, is_fetch};
use crate::pdu::diagnostics::{MAX_EVENTS, event};
use crate::server::Counters;

/// What requests do to the counters and the log of [`Diagnostics`], for drivers that do without a
/// [`Connection`](crate::server::Connection) since their line is between two and shows where frames end. It is filled
/// without asking anybody, and handed over by [`Diagnostics::take`], once for many requests.
#[derive(Clone, Debug)]
pub struct Tally {
    counters: Counters,
    /// Requests that were done.
    events: u16,
    /// The last events: number n stands at n modulo the length.
    log: [u8; MAX_EVENTS],
    logged: usize,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { counters: Counters::NEW, events: 0, log: [0; MAX_EVENTS], logged: 0 }
    }

    /// A request for somebody else has come.
    pub const fn foreign(&mut self) {
        self.counters.bus_messages = self.counters.bus_messages.wrapping_add(1);
    }

    /// A request for us has come.
    #[inline]
    pub const fn received(&mut self) {
        self.counters.bus_messages = self.counters.bus_messages.wrapping_add(1);
        self.counters.server_messages = self.counters.server_messages.wrapping_add(1);
        self.log(event::RECEIVE);
    }

    /// This has become of a request for `function`.
    #[inline]
    pub fn completed(&mut self, function: u8, completion: Completion) {
        match completion {
            Completion::Done => {
                self.events = self.events.wrapping_add(u16::from(!is_fetch(function)));
                self.log(event::SEND);
            }
            Completion::Refused(code) => {
                self.counters.count_exception(code);
                self.log(event::SEND | event::refused(code));
            }
            Completion::Ignored => {
                self.counters.no_response = self.counters.no_response.wrapping_add(1);
                self.log(event::SEND);
            }
        }
    }

    #[inline]
    const fn log(&mut self, event: u8) {
        self.log[self.logged % MAX_EVENTS] = event;
        self.logged += 1;
    }
}

impl Diagnostics {
    /// Takes what was gathered since the last time. To be called before [`answer`](Self::answer), which tells of it.
    pub fn take(&mut self, tally: &mut Tally) {
        if !self.frozen {
            self.counters.add(&tally.counters);
            self.events = self.events.wrapping_add(tally.events);
            let new = tally.logged.min(MAX_EVENTS);
            self.log.copy_within(..MAX_EVENTS - new, new);
            for (age, event) in self.log[..new].iter_mut().enumerate() {
                *event = tally.log[(tally.logged - 1 - age) % MAX_EVENTS];
            }
            self.logged = (usize::from(self.logged) + new).min(MAX_EVENTS) as u8;
        }
        (tally.counters, tally.events, tally.logged) = (Counters::NEW, 0, 0);
    }
}
