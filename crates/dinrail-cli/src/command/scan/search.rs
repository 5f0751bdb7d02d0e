//! Which addresses of an area answer, found with few requests: blocks as large as they may be, and halves of those that are
//! refused.

use std::ops::RangeInclusive;

/// Looks through ranges of addresses. It does not ask by itself: it is told what became of each block.
pub(super) struct Search {
    /// Blocks to ask for, the next one last.
    blocks: Vec<Block>,
    found: Vec<RangeInclusive<u16>>,
    unanswered: u32,
    /// Addresses that are decided.
    decided: u64,
}

/// Addresses that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) address: u16,
    pub(super) count: u16,
}

impl Search {
    /// Looks through `ranges`, by at most `longest` addresses at a time.
    pub(super) fn new(ranges: impl Iterator<Item = RangeInclusive<u16>>, longest: u16) -> Self {
        let mut blocks: Vec<Block> = ranges
            .flat_map(|range| {
                let last = u32::from(*range.end());
                let starts = (u32::from(*range.start())..=last).step_by(longest.into());
                starts.map(move |start| Block {
                    address: start as u16,
                    count: (last - start + 1).min(longest.into()) as u16,
                })
            })
            .collect();
        blocks.reverse();
        Self { blocks, found: Vec::new(), unanswered: 0, decided: 0 }
    }

    /// The block to ask for next.
    pub(super) fn next(&mut self) -> Option<Block> {
        self.blocks.pop()
    }

    /// All of it answers.
    pub(super) fn answered(&mut self, block: Block) {
        self.decided += u64::from(block.count);
        let last = block.address + (block.count - 1);
        match self.found.last_mut() {
            Some(before) if before.end().checked_add(1) == Some(block.address) => *before = *before.start()..=last,
            _ => self.found.push(block.address..=last),
        }
    }

    /// Some of it does not answer, or none.
    pub(super) fn refused(&mut self, block: Block) {
        if block.count == 1 {
            self.decided += 1;
            return;
        }
        let half = block.count / 2;
        self.blocks.push(Block { address: block.address + half, count: block.count - half });
        self.blocks.push(Block { address: block.address, count: half });
    }

    /// Nobody said anything about it.
    pub(super) fn unanswered(&mut self, block: Block) {
        self.decided += u64::from(block.count);
        self.unanswered += u32::from(block.count);
    }

    /// How many addresses nobody said anything about.
    pub(super) fn unanswered_count(&self) -> u32 {
        self.unanswered
    }

    pub(super) fn decided(&self) -> u64 {
        self.decided
    }

    /// The addresses that answer, in ascending order.
    pub(super) fn into_found(self) -> Vec<RangeInclusive<u16>> {
        let mut found = self.found;
        found.sort_by_key(|range| *range.start());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a device of these addresses, and by how many requests.
    fn search(ranges: &[RangeInclusive<u16>], device: &[RangeInclusive<u16>]) -> (Vec<RangeInclusive<u16>>, usize) {
        let mut search = Search::new(ranges.iter().cloned(), 125);
        let mut requests = 0;
        while let Some(block) = search.next() {
            requests += 1;
            let has = |address: u32| device.iter().any(|range| range.contains(&(address as u16)));
            let start = u32::from(block.address);
            if (start..start + u32::from(block.count)).all(has) {
                search.answered(block);
            } else {
                search.refused(block);
            }
        }
        let all: u64 = ranges.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum();
        assert_eq!(search.decided(), all);
        (search.into_found(), requests)
    }

    #[test]
    fn exactly_what_answers_is_found() {
        for device in [vec![], vec![0..=0], vec![3..=7, 9..=9, 120..=130, 999..=999], vec![0..=999]] {
            assert_eq!(search(&[0..=999], &device).0, device);
        }
        assert_eq!(search(&[65_000..=65_535], &[65_530..=65_535]).0, [65_530..=65_535]);
        assert_eq!(search(&[0..=65_535], &[0..=65_535]).0, [0..=65_535]);
        assert_eq!(search(&[500..=600, 0..=10], &[5..=550]).0, [5..=10, 500..=550]);
    }

    #[test]
    fn what_answers_whole_costs_few_requests() {
        assert_eq!(search(&[0..=999], &[0..=999]).1, 8);
        assert!(search(&[0..=999], &[0..=499]).1 < 1100, "nothing is asked for twice at length");
    }
}
