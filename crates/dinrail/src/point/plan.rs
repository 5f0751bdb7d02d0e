//! Few block reads for many points. What a request costs, whatever it reads, is set against what the registers cost that
//! nobody asked for.
//!
//! The plan is the cheapest there is. Spans that lie within others need no block of their own; without them, starts and
//! ends ascend together, so that some cheapest plan cuts the row of spans into runs. The best cut before each span is
//! then the least of `cost up to there - its start`, over those that one request can still reach: a minimum over a
//! sliding window, found in one pass.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::is_bits;
use crate::Area;

/// Registers or bits that belong together: a value. It is never read in two requests, since it could change in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The area.
    pub area: Area,
    /// The first address.
    pub address: u16,
    /// How many registers or bits, at least 1.
    pub count: u16,
}

/// What one request reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// The area.
    pub area: Area,
    /// The first address.
    pub address: u16,
    /// How many registers or bits.
    pub count: u16,
}

impl Block {
    /// Whether it holds all of a span.
    pub fn holds(&self, span: &Span) -> bool {
        self.area == span.area && self.address <= span.address && end(span.address, span.count) <= self.end()
    }

    fn end(&self) -> u32 {
        end(self.address, self.count)
    }
}

fn end(address: u16, count: u16) -> u32 {
    u32::from(address) + u32::from(count)
}

/// What reading costs, in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Of any request, whatever it reads: frames, silences, the device's turnaround.
    pub request: Duration,
    /// Of each register.
    pub register: Duration,
    /// Of each bit.
    pub bit: Duration,
}

impl Cost {
    /// Over a network with this round trip, the device's own time included. The bytes are nearly free.
    pub fn network(round_trip: Duration) -> Self {
        Self { request: round_trip, register: Duration::from_nanos(160), bit: Duration::from_nanos(10) }
    }

    /// Over a serial line on which a character takes `byte_time` and frames are `gap` apart, with a device that takes
    /// `turnaround` to answer. A read and its RTU reply are 13 bytes, and two for each register.
    pub fn serial(byte_time: Duration, gap: Duration, turnaround: Duration) -> Self {
        Self { request: byte_time * 13 + gap + turnaround.max(gap), register: byte_time * 2, bit: byte_time / 8 }
    }

    /// What reading these blocks costs.
    pub fn of(&self, blocks: &[Block]) -> Duration {
        blocks.iter().map(|block| self.request + self.each(block.area) * u32::from(block.count)).sum()
    }

    fn each(&self, area: Area) -> Duration {
        if is_bits(area) { self.bit } else { self.register }
    }
}

/// As a device on a local network that takes a millisecond.
impl Default for Cost {
    fn default() -> Self {
        Self::network(Duration::from_millis(1))
    }
}

/// What one request of a device may read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most registers; 125, as the specification has it, unless set.
    pub registers: u16,
    /// The most bits; 2000 unless set.
    pub bits: u16,
    /// Addresses that are not to be touched, unless a point lies there: reading them has an effect, or the device refuses.
    pub holes: Vec<(Area, RangeInclusive<u16>)>,
    /// Where a block must not go on, since the device has refused one that did.
    pub(super) cuts: BTreeSet<(u8, u16)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { registers: 125, bits: 2000, holes: Vec::new(), cuts: BTreeSet::new() }
    }
}

impl Limits {
    /// Sets [`registers`](Self::registers).
    #[must_use]
    pub fn with_registers(mut self, registers: u16) -> Self {
        self.registers = registers;
        self
    }

    /// Sets [`bits`](Self::bits).
    #[must_use]
    pub fn with_bits(mut self, bits: u16) -> Self {
        self.bits = bits;
        self
    }

    /// Adds addresses that are not to be touched.
    #[must_use]
    pub fn with_hole(mut self, area: Area, addresses: RangeInclusive<u16>) -> Self {
        self.holes.push((area, addresses));
        self
    }

    /// From now on, what lies before `span` and what begins with it are read apart. `false` when that was known.
    pub(super) fn cut_before(&mut self, span: &Span) -> bool {
        self.cuts.insert((span.area as u8, span.address))
    }

    fn is_cut_before(&self, span: &Span) -> bool {
        !self.cuts.is_empty() && self.cuts.contains(&(span.area as u8, span.address))
    }

    fn longest(&self, area: Area) -> u32 {
        u32::from(if is_bits(area) { self.bits.clamp(1, 2000) } else { self.registers.clamp(1, 125) })
    }
}

/// The cheapest blocks that hold every one of `spans`, in ascending order of area and address. A span that is longer than
/// the limits allow gets a block of its own, and whoever reads it is told.
pub fn plan(spans: impl IntoIterator<Item = Span>, cost: &Cost, limits: &Limits) -> Vec<Block> {
    let mut spans: Vec<Span> = spans.into_iter().filter(|span| span.count > 0).collect();
    // The longest first where several begin: it holds the others.
    spans.sort_unstable_by_key(|span| (span.area as u8, span.address, u16::MAX - span.count));
    spans.dedup();
    let mut blocks = Vec::new();
    for area in spans.chunk_by(|a, b| a.area == b.area) {
        let mut holes: Vec<_> =
            limits.holes.iter().filter(|(hole, _)| *hole == area[0].area).map(|(_, hole)| hole.clone()).collect();
        holes.sort_unstable_by_key(|hole| *hole.start());
        plan_area(&without_nested(area), &holes, cost, limits, &mut blocks);
    }
    blocks
}

/// Spans that lie within no other; their starts and their ends ascend.
fn without_nested(spans: &[Span]) -> Vec<Span> {
    let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        if kept.last().is_none_or(|last| end(last.address, last.count) < end(span.address, span.count)) {
            kept.push(*span);
        }
    }
    kept
}

fn plan_area(spans: &[Span], holes: &[RangeInclusive<u16>], cost: &Cost, limits: &Limits, blocks: &mut Vec<Block>) {
    let area = spans[0].area;
    let longest = limits.longest(area);
    let request = nanoseconds(cost.request);
    let each = nanoseconds(cost.each(area));
    // The cheapest way to read all spans before this one, and where its last block begins.
    let mut best: Vec<i128> = Vec::with_capacity(spans.len() + 1);
    let mut begins: Vec<usize> = Vec::with_capacity(spans.len());
    best.push(0);
    // Where a block that ends here may begin, the cheapest first.
    let mut window: VecDeque<(usize, i128)> = VecDeque::new();
    let mut first = 0;
    let mut hole = 0;
    for (index, span) in spans.iter().enumerate() {
        let last = end(span.address, span.count);
        if index > 0 && (has_hole(holes, &mut hole, &spans[index - 1], span) || limits.is_cut_before(span)) {
            first = index;
        }
        let begin = best[index] - each * i128::from(span.address);
        while window.back().is_some_and(|(_, other)| *other >= begin) {
            window.pop_back();
        }
        window.push_back((index, begin));
        while first < index && last - u32::from(spans[first].address) > longest {
            first += 1;
        }
        while window.front().is_some_and(|(other, _)| *other < first) {
            window.pop_front();
        }
        // It holds at least what was pushed just now.
        let (from, begin) = *window.front().unwrap_or(&(index, begin));
        best.push(request + each * i128::from(last) + begin);
        begins.push(from);
    }
    let before = blocks.len();
    let mut index = spans.len();
    while index > 0 {
        let from = begins[index - 1];
        let address = spans[from].address;
        let count = end(spans[index - 1].address, spans[index - 1].count) - u32::from(address);
        blocks.push(Block { area, address, count: u16::try_from(count).unwrap_or(u16::MAX) });
        index = from;
    }
    blocks[before..].reverse();
}

/// Whether a block that holds both would touch a hole between them.
fn has_hole(holes: &[RangeInclusive<u16>], next: &mut usize, before: &Span, span: &Span) -> bool {
    let gap = end(before.address, before.count)..u32::from(span.address);
    while holes.get(*next).is_some_and(|hole| u32::from(*hole.end()) < gap.start) {
        *next += 1;
    }
    !gap.is_empty()
        && holes[*next..]
            .iter()
            .take_while(|hole| u32::from(*hole.start()) < gap.end)
            .any(|hole| u32::from(*hole.end()) >= gap.start)
}

fn nanoseconds(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX / 4)
}
