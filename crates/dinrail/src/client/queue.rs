//! Calls that found no slot, first come first served.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use crate::proto::Instant;

/// Names a call in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// What became of a call in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    /// A slot is kept free for it.
    Granted,
    /// There is no connection and none could be made.
    Refused,
    /// It has left; the entry is dropped when it is the first.
    Left,
}

struct Entry {
    place: Place,
    waker: Waker,
    give_up: Instant,
    patience: Duration,
}

/// Tickets are numbered one by one, so an entry is found by its distance from the first.
#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    first: u64,
    waiting: usize,
    granted: usize,
}

impl Queue {
    /// Whether nobody waits and nobody has been promised a slot.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting + self.granted == 0
    }

    /// Whether nobody waits, so that `free` slots, of which some may be promised, hold one for a newcomer.
    pub(super) fn lets_in(&self, free: usize) -> bool {
        self.waiting == 0 && free > self.granted
    }

    /// `patience` is how long it waits for a connection from `now` on, should there be none.
    pub(super) fn push(&mut self, waker: Waker, now: Instant, patience: Duration) -> Ticket {
        self.waiting += 1;
        self.entries.push_back(Entry { place: Place::Waiting, waker, give_up: now + patience, patience });
        Ticket(self.first + self.entries.len() as u64 - 1)
    }

    /// Where the call is; while it waits, `waker` is kept.
    pub(super) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Place {
        let Some(entry) = self.entries.get_mut((ticket.0 - self.first) as usize) else { return Place::Left };
        if entry.place == Place::Waiting {
            entry.waker.clone_from(waker);
        }
        entry.place
    }

    /// The call needs its place no more.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut((ticket.0 - self.first) as usize) else { return };
        match std::mem::replace(&mut entry.place, Place::Left) {
            Place::Waiting => self.waiting -= 1,
            Place::Granted => self.granted -= 1,
            Place::Refused | Place::Left => {}
        }
        while self.entries.front().is_some_and(|entry| entry.place == Place::Left) {
            self.entries.pop_front();
            self.first += 1;
        }
        // Nobody holds the ticket of one that has left, so its number may be given again.
        while self.entries.back().is_some_and(|entry| entry.place == Place::Left) {
            self.entries.pop_back();
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Promises free slots to those who wait.
    pub(super) fn grant(&mut self, free: usize) {
        let mut left = free.saturating_sub(self.granted).min(self.waiting);
        for entry in &mut self.entries {
            if left == 0 {
                break;
            }
            if entry.place == Place::Waiting {
                entry.place = Place::Granted;
                entry.waker.wake_by_ref();
                self.waiting -= 1;
                self.granted += 1;
                left -= 1;
            }
        }
    }

    /// Refuses those whose patience ends at `now`, or all.
    pub(super) fn refuse(&mut self, now: Option<Instant>) {
        for entry in &mut self.entries {
            if entry.place == Place::Waiting && now.is_none_or(|now| entry.give_up <= now) {
                entry.place = Place::Refused;
                entry.waker.wake_by_ref();
                self.waiting -= 1;
            }
        }
    }

    /// They waited for their turn so far; from now on they wait for a connection.
    pub(super) fn renew(&mut self, now: Instant) {
        for entry in &mut self.entries {
            entry.give_up = now + entry.patience;
        }
    }

    /// When the first of those who wait loses patience.
    pub(super) fn give_up(&self) -> Option<Instant> {
        self.entries.iter().filter(|entry| entry.place == Place::Waiting).map(|entry| entry.give_up).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_leave_take_no_room_behind_one_that_stays() {
        let mut queue = Queue::default();
        let push = |queue: &mut Queue| queue.push(Waker::noop().clone(), Instant::ZERO, Duration::ZERO);
        let first = push(&mut queue);
        for _ in 0..1000 {
            let ticket = push(&mut queue);
            assert_eq!(queue.poll(ticket, Waker::noop()), Place::Waiting);
            queue.leave(ticket);
        }
        assert_eq!(queue.entries.len(), 1);
        assert_eq!(queue.poll(first, Waker::noop()), Place::Waiting);
        queue.leave(first);
        assert!(queue.entries.is_empty() && !queue.is_waiting());
    }
}
