//! Transaction ids: which is given next, and which may still be answered late.

/// Hands out ids in turn, and remembers the last `N` that timed out: their replies may still come, so they are not
/// given to another call. An id leaves when its late reply was seen, when the connection is reset, or when `N` newer
/// ones have timed out without any late reply.
///
/// The ids themselves are kept by the caller, oldest first, away from what every call touches.
#[derive(Debug)]
pub(super) struct Transactions {
    next: u16,
    /// How many are awaited late, at most 32.
    count: u16,
}

impl Transactions {
    pub(super) const fn new() -> Self {
        Self { next: 1, count: 0 }
    }

    /// The next id that is neither `open` nor awaited late. Never 0, which some servers put in replies to nobody.
    #[inline]
    pub(super) fn give(&mut self, late: &[u16], open: impl Fn(u16) -> bool) -> u16 {
        // At most 2 N ids of 65535 are taken, so this ends.
        loop {
            let id = self.next;
            self.next = self.next.wrapping_add(1);
            let is_late = || late[..usize::from(self.count)].contains(&id);
            if id != 0 && !open(id) && (self.count == 0 || !is_late()) {
                return id;
            }
        }
    }

    /// The call with this id has timed out.
    pub(super) fn timed_out(&mut self, late: &mut [u16], id: u16) {
        if usize::from(self.count) == late.len() {
            late.copy_within(1.., 0);
            self.count -= 1;
        }
        late[usize::from(self.count)] = id;
        self.count += 1;
    }

    /// Whether a reply with this id is a late one; it is not awaited any longer.
    pub(super) fn answered_late(&mut self, late: &mut [u16], id: u16) -> bool {
        let count = usize::from(self.count);
        let Some(at) = late[..count].iter().position(|&late| late == id) else {
            return false;
        };
        late.copy_within(at + 1..count, at);
        self.count -= 1;
        true
    }

    /// A new connection: nothing of the old one can come any more.
    pub(super) const fn reset(&mut self) {
        self.count = 0;
    }
}
