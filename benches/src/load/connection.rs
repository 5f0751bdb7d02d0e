//! One connection of the load: its socket, the requests open on it, and what could not be written yet.

use std::io::Write;
use std::time::Instant;

use mio::net::TcpStream;

use super::Outcome;
use crate::burst::{Burst, Leftover, Scratch};
use crate::frame::{ADDRESSES, Image, Kind, is_right, push_request};

/// What the connections of one thread share.
pub(super) struct Shared {
    kind: Kind,
    image: Image,
    scratch: Scratch,
    random: u32,
}

impl Shared {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, image: Image::new(), scratch: Scratch::new(), random: 0x9e37_79b9 }
    }

    /// The next address, by xorshift: any that a whole block fits behind.
    fn address(&mut self) -> u16 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        // The high half of a product with ADDRESSES is below ADDRESSES, which is below 65536.
        ((u64::from(self.random) * u64::from(ADDRESSES)) >> 32) as u16
    }
}

/// A connection and its open requests.
pub(super) struct Connection {
    stream: TcpStream,
    leftover: Leftover,
    window: Window,
    unwritten: Vec<u8>,
    ended: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, leftover: Leftover::default(), window: Window::default(), unwritten: Vec::new(), ended: false }
    }

    /// How many more requests may be open, of `depth`.
    pub(super) fn room(&self, depth: usize) -> u64 {
        if self.ended { 0 } else { depth.saturating_sub(self.window.open) as u64 }
    }

    /// Asks `count` times, in one write; says how often it asked.
    pub(super) fn ask(&mut self, count: u64, now: Instant, shared: &mut Shared) -> u64 {
        for _ in 0..count {
            let address = shared.address();
            let transaction = self.window.open(address, now);
            push_request(&mut self.unwritten, &shared.image, shared.kind, transaction, address);
        }
        self.flush();
        count
    }

    /// Reads what there is and settles the requests it answers.
    pub(super) fn hear(&mut self, closing: bool, shared: &mut Shared, outcome: &mut Outcome) -> Instant {
        loop {
            let mut read_at = None;
            let burst = shared.scratch.read_frames(&mut self.stream, &mut self.leftover, |frame| {
                let now = *read_at.get_or_insert_with(Instant::now);
                match self.window.close(frame) {
                    Some((address, sent)) if is_right(frame, &shared.image, shared.kind, address) => {
                        outcome.right(now - sent);
                    }
                    Some(_) => outcome.wrong += 1,
                    None => outcome.unasked += 1,
                }
            });
            match burst {
                Burst::More => continue,
                Burst::Drained if closing => continue,
                Burst::Drained | Burst::Empty => {}
                Burst::Ended => self.end(outcome),
            }
            return read_at.unwrap_or_else(Instant::now);
        }
    }

    fn end(&mut self, outcome: &mut Outcome) {
        self.ended = true;
        outcome.lost += std::mem::take(&mut self.window.open) as u64;
    }

    /// Writes what can be written; the rest waits for the next event. A failed write shows as a failed read too.
    fn flush(&mut self) {
        if self.unwritten.is_empty() || self.ended {
            return;
        }
        if let Ok(written) = self.stream.write(&self.unwritten) {
            self.unwritten.drain(..written);
        }
    }
}

/// The open requests of a connection. A transaction id is a slot and how often the slot was used, so that a reply finds
/// its request in whatever order it comes, and a reply that comes twice finds none.
#[derive(Default)]
struct Window {
    slots: Vec<Slot>,
    free: Vec<u8>,
    open: usize,
}

struct Slot {
    turn: u8,
    open: Option<(u16, Instant)>,
}

impl Window {
    fn open(&mut self, address: u16, now: Instant) -> u16 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { turn: 0, open: None });
            // The command line allows a depth of at most 256.
            (self.slots.len() - 1) as u8
        });
        let slot = &mut self.slots[usize::from(at)];
        slot.turn = slot.turn.wrapping_add(1);
        slot.open = Some((address, now));
        self.open += 1;
        u16::from_be_bytes([slot.turn, at])
    }

    fn close(&mut self, frame: &[u8]) -> Option<(u16, Instant)> {
        let &[turn, at] = frame.first_chunk()?;
        let slot = self.slots.get_mut(usize::from(at)).filter(|slot| slot.turn == turn)?;
        let open = slot.open.take()?;
        self.free.push(at);
        self.open -= 1;
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_settles_its_own_request_once() {
        let (mut window, now) = (Window::default(), Instant::now());
        let first = window.open(10, now).to_be_bytes();
        let second = window.open(20, now).to_be_bytes();
        assert_eq!(window.close(&second), Some((20, now)));
        assert_eq!(window.close(&second), None, "twice");
        let third = window.open(30, now).to_be_bytes();
        assert_ne!(third, second, "the slot is used again, the id is not");
        assert_eq!(window.close(&second), None, "late");
        assert_eq!(window.close(&third), Some((30, now)));
        assert_eq!(window.close(&first), Some((10, now)));
        assert_eq!(window.open, 0);
    }

    #[test]
    fn addresses_stay_where_a_whole_block_fits() {
        let mut shared = Shared::new(Kind::Read125);
        let mut highest = 0;
        for _ in 0..1_000_000 {
            highest = highest.max(u32::from(shared.address()));
        }
        assert!((ADDRESSES - 1000..ADDRESSES).contains(&highest), "{highest}");
    }
}
