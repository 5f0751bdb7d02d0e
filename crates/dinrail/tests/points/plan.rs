//! The planner against every plan that there can be, and at size.

use std::time::Duration;

use dinrail::Area;
use dinrail::point::{Block, Cost, Limits, Span, plan};
use proptest::prelude::*;

fn span(address: u16, count: u16) -> Span {
    Span { area: Area::HoldingRegister, address, count }
}

fn block(address: u16, count: u16) -> Block {
    Block { area: Area::HoldingRegister, address, count }
}

/// A request costs as much as ten registers.
fn cost() -> Cost {
    cost_of(10)
}

fn cost_of(request: u64) -> Cost {
    let mut cost = Cost::network(Duration::from_micros(request));
    cost.register = Duration::from_micros(1);
    cost.bit = Duration::from_micros(1);
    cost
}

#[test]
fn gaps_are_read_when_that_is_cheaper_than_another_request() {
    let spans = [span(0, 2), span(9, 1), span(30, 2), span(31, 4)];
    assert_eq!(plan(spans, &cost(), &Limits::default()), [block(0, 10), block(30, 5)]);
    assert_eq!(plan([span(0, 1), span(0, 1), span(0, 4), span(2, 1)], &cost(), &Limits::default()), [block(0, 4)]);
    assert_eq!(plan([], &cost(), &Limits::default()), []);
    let areas = [Span { area: Area::Coil, address: 0, count: 1 }, span(0, 1)];
    assert_eq!(plan(areas, &cost(), &Limits::default()).len(), 2);
}

#[test]
fn no_block_is_longer_than_a_device_takes_and_no_value_is_torn() {
    let all: Vec<Span> = (0..250).map(|index| span(index * 2, 2)).collect();
    let blocks = plan(all.iter().copied(), &cost(), &Limits::default());
    assert_eq!(blocks.len(), 5, "500 registers, of which 124 fit into a block without tearing one: {blocks:?}");
    assert!(all.iter().all(|span| blocks.iter().any(|block| block.holds(span))));
    let blocks = plan(all.iter().copied(), &cost(), &Limits::default().with_registers(10));
    assert_eq!(blocks.len(), 50);
    let too_long = plan([span(0, 128)], &cost(), &Limits::default());
    assert_eq!(too_long, [block(0, 128)], "whoever reads it is told");
}

#[test]
fn holes_are_not_touched() {
    let limits = Limits::default().with_hole(Area::HoldingRegister, 5..=5).with_hole(Area::Coil, 2..=2);
    let spans = [span(0, 5), span(6, 1), span(7, 1)];
    assert_eq!(plan(spans, &cost(), &limits), [block(0, 5), block(6, 2)]);
    let limits = Limits::default().with_hole(Area::HoldingRegister, 0..=100).with_hole(Area::HoldingRegister, 3..=4);
    assert_eq!(
        plan([span(2, 1), span(3, 2), span(5, 1)], &cost(), &limits),
        [block(2, 4)],
        "points lie where they lie"
    );
    assert_eq!(plan([span(2, 1), span(6, 1)], &cost(), &limits).len(), 2);
}

#[test]
fn a_slow_line_reads_gaps_that_a_fast_one_does_not() {
    let spans = [span(0, 1), span(9, 1)];
    let slow_device = Cost::serial(Duration::from_micros(573), Duration::from_millis(2), Duration::from_millis(50));
    assert_eq!(plan(spans, &slow_device, &Limits::default()).len(), 1);
    let quick_device = Cost::serial(Duration::from_micros(1146), Duration::from_millis(4), Duration::ZERO);
    let spans = [span(0, 1), span(20, 1)];
    assert_eq!(plan(spans, &quick_device, &Limits::default()).len(), 2);
}

/// What the cheapest of all plans costs: every way to gather spans into blocks is tried.
fn cheapest(spans: &[Span], groups: &mut Vec<Vec<Span>>, cost: &Cost, limits: &Limits) -> Option<Duration> {
    let Some((span, rest)) = spans.split_first() else {
        let blocks: Option<Vec<Block>> = groups.iter().map(|group| around(group, limits)).collect();
        return blocks.map(|blocks| cost.of(&blocks));
    };
    let mut best: Option<Duration> = None;
    for group in 0..=groups.len() {
        if group == groups.len() {
            groups.push(vec![*span]);
        } else {
            groups[group].push(*span);
        }
        let found = cheapest(rest, groups, cost, limits);
        best = best.into_iter().chain(found).min();
        groups[group].pop();
        groups.retain(|group| !group.is_empty());
    }
    best
}

/// The block that holds a group, if it may be asked for.
fn around(group: &[Span], limits: &Limits) -> Option<Block> {
    let first = group.iter().map(|span| span.address).min()?;
    let end = group.iter().map(|span| span.address + span.count).max()?;
    let asked = |address: u16| group.iter().any(|span| (span.address..span.address + span.count).contains(&address));
    let area = group.first()?.area;
    let in_hole = |address: u16| limits.holes.iter().any(|(of, hole)| *of == area && hole.contains(&address));
    let most = if area == Area::Coil { limits.bits.min(2000) } else { limits.registers.min(125) };
    let allowed = end - first <= most && !(first..end).any(|address| in_hole(address) && !asked(address));
    allowed.then_some(Block { area, address: first, count: end - first })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_plan_is_cheaper(
        spans in prop::collection::vec((0u16..60, 1u16..6), 1..7),
        longest in 6u16..40,
        hole in 0u16..60,
    ) {
        let spans: Vec<Span> = spans.into_iter().map(|(address, count)| span(address, count)).collect();
        let limits = Limits::default().with_registers(longest).with_hole(Area::HoldingRegister, hole..=hole + 2);
        let blocks = plan(spans.iter().copied(), &cost(), &limits);
        for span in &spans {
            prop_assert!(blocks.iter().any(|block| block.holds(span)), "{span:?} in {blocks:?}");
        }
        for block in &blocks {
            prop_assert!(block.count <= longest);
        }
        let best = cheapest(&spans, &mut Vec::new(), &cost(), &limits).expect("each span alone is a plan");
        prop_assert_eq!(cost().of(&blocks), best, "{:?}", blocks);
    }

    /// The same where the specification's own limits bind: spans that only just fit, in both kinds of areas.
    #[test]
    fn no_plan_is_cheaper_where_125_and_2000_bind(
        spans in prop::collection::vec((0u16..300, 1u16..60), 1..7),
        is_bits: bool,
        request in 1u64..400,
        hole in 0u16..300,
    ) {
        let (area, factor) = if is_bits { (Area::Coil, 16) } else { (Area::HoldingRegister, 1) };
        let spans: Vec<Span> =
            spans.into_iter().map(|(address, count)| Span { area, address: address * factor, count: count * factor }).collect();
        let cost = cost_of(request * u64::from(factor));
        let limits = Limits::default().with_hole(area, hole * factor..=(hole + 1) * factor);
        let blocks = plan(spans.iter().copied(), &cost, &limits);
        for span in &spans {
            prop_assert!(blocks.iter().any(|block| block.holds(span)), "{span:?} in {blocks:?}");
        }
        let most = if is_bits { 2000 } else { 125 };
        prop_assert!(blocks.iter().all(|block| block.count <= most));
        let best = cheapest(&spans, &mut Vec::new(), &cost, &limits).expect("each span alone is a plan");
        prop_assert_eq!(cost.of(&blocks), best, "{:?}", blocks);
    }
}

#[test]
fn a_hundred_thousand_points_are_planned_at_once() {
    // Every device has a thousand points in clusters, as real maps have. `benches` has the figure of a release build, which is
    // a small part of 100 ms; here it is held only to what no build and no busy machine needs.
    let device =
        |seed: u32| (0..1000u32).map(move |n| span((n * 3 + (n * seed) % 7 + n / 50 * 90) as u16, 1 + (n % 4) as u16));
    let start = std::time::Instant::now();
    let blocks: usize = (1..=100).map(|seed| plan(device(seed), &cost(), &Limits::default()).len()).sum();
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert!((100..100 * 200).contains(&blocks), "{blocks}");
}
