//! Transaction ids: which is given next, and which may still be answered late.

/// Hands out ids in turn, and remembers the last `N` that timed out: their replies may still come, so they are not
/// given to another call. An id leaves when its late reply was seen, when the connection is reset, or when `N` newer
/// ones have timed out without any late reply.
#[derive(Debug)]
#[repr(C)] // `late` stands last: it is hardly ever looked at.
pub(super) struct Transactions<const N: usize> {
    next: u16,
    /// How many of `late` are in use, oldest first.
    count: usize,
    late: [u16; N],
}

impl<const N: usize> Transactions<N> {
    pub(super) const fn new() -> Self {
        Self { next: 1, late: [0; N], count: 0 }
    }

    /// The next id that is neither `open` nor awaited late. Never 0, which some servers put in replies to nobody.
    pub(super) fn give(&mut self, open: impl Fn(u16) -> bool) -> u16 {
        // At most 2 N ids of 65535 are taken, so this ends.
        loop {
            let id = self.next;
            self.next = self.next.wrapping_add(1);
            if id != 0 && !open(id) && !self.late[..self.count].contains(&id) {
                return id;
            }
        }
    }

    /// The call with this id has timed out.
    pub(super) fn timed_out(&mut self, id: u16) {
        if self.count == N {
            self.late.copy_within(1.., 0);
            self.count -= 1;
        }
        self.late[self.count] = id;
        self.count += 1;
    }

    /// Whether a reply with this id is a late one; it is not awaited any longer.
    pub(super) fn answered_late(&mut self, id: u16) -> bool {
        let Some(at) = self.late[..self.count].iter().position(|&late| late == id) else {
            return false;
        };
        self.late.copy_within(at + 1..self.count, at);
        self.count -= 1;
        true
    }

    /// A new connection: nothing of the old one can come any more.
    pub(super) const fn reset(&mut self) {
        self.count = 0;
    }
}
