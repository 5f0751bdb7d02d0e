//! The same points again and again, by a plan that learns what the device refuses.

use std::collections::{BTreeMap, HashSet};

use tokio::task::JoinSet;

use super::access::Content;
use super::{Block, Cost, Limits, Point, Span, plan};
use crate::proto::value::Value;
use crate::{Client, Error, ExceptionCode};

/// Reads the same points whenever it is asked to, by the fewest requests that are worth it.
///
/// A block that the device refuses with 0x02 or 0x03 is asked for in halves until it is known which points can be read
/// together. That is remembered: the next reading touches no hole. A point that the device does not have is asked for
/// apart from the others, and its error is its own.
///
/// Once such a point answers, the device is no longer what it was, as one that refuses everything until it has started: all
/// that was learned is then forgotten, and the next reading learns anew. [`forget`](Self::forget) does so at any time.
#[derive(Clone, Debug)]
pub struct Reader {
    client: Client,
    points: Vec<Point>,
    cost: Cost,
    limits: Limits,
    /// What the device does not have: asked for by itself, so that it costs the others nothing, and in case that it comes.
    absent: HashSet<Span>,
    blocks: Vec<Planned>,
}

/// A block, and which points it holds, in the order of their addresses.
#[derive(Clone, Debug)]
struct Planned {
    block: Block,
    points: Vec<usize>,
}

impl Reader {
    /// A reader of these points, for a device on a local network.
    pub fn new(client: Client, points: impl Into<Vec<Point>>) -> Self {
        let mut this = Self {
            client,
            points: points.into(),
            cost: Cost::default(),
            limits: Limits::default(),
            absent: HashSet::new(),
            blocks: Vec::new(),
        };
        this.plan();
        this
    }

    /// With this cost of requests instead.
    #[must_use]
    pub fn with_cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self.plan();
        self
    }

    /// With these limits instead.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self.absent.clear();
        self.plan();
        self
    }

    /// The points, in the order in which they are answered.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The requests of one reading.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.blocks.iter().map(|planned| planned.block)
    }

    /// Forgets what the device has refused: the next reading finds out anew. For a device that has been changed so that it
    /// gives more at a time, which nothing that it answers tells.
    pub fn forget(&mut self) {
        self.unlearn();
        self.plan();
    }

    fn unlearn(&mut self) {
        self.absent.clear();
        self.limits.cuts.clear();
    }

    /// Whether a point that the device did not have has been read.
    fn has_come(&self, values: &[Option<Result<Value, Error>>]) -> bool {
        let read = |index: usize| matches!(values[index], Some(Ok(_)));
        let mut points = self.points.iter().enumerate();
        !self.absent.is_empty() && points.any(|(index, point)| read(index) && self.absent.contains(&point.span()))
    }

    /// Reads all of them once, and answers in their order. As many requests as the client's depth are under way at a time,
    /// so that several readers of one client take turns.
    pub async fn read(&mut self) -> Vec<Result<Value, Error>> {
        let mut values: Vec<Option<Result<Value, Error>>> = self.points.iter().map(|_| None).collect();
        let mut refused = Vec::new();
        let mut take = |index: usize, content: Result<Content, Error>| {
            let planned = &self.blocks[index];
            match content {
                Err(error) if is_refusal(&error) && self.spans(&planned.points) > 1 => refused.push(index),
                content => self.give(&mut values, planned, &content),
            }
        };
        let mut blocks = self.blocks.iter().map(|planned| planned.block).enumerate();
        if self.client.depth() == 1 {
            for (index, Block { area, address, count }) in blocks {
                take(index, Content::read(&self.client, area, address, count).await);
            }
        } else {
            let mut requests = JoinSet::new();
            loop {
                while requests.len() < self.client.depth()
                    && let Some((index, Block { area, address, count })) = blocks.next()
                {
                    let client = self.client.clone();
                    requests.spawn(async move { (index, Content::read(&client, area, address, count).await) });
                }
                match requests.join_next().await {
                    Some(Ok((index, content))) => take(index, content),
                    // A task that was cut off leaves its points without an answer, which is said below.
                    Some(Err(_)) => {}
                    None => break,
                }
            }
        }
        let mut learned = self.has_come(&values);
        if learned {
            self.unlearn();
        }
        for index in refused {
            let points = self.blocks[index].points.clone();
            learned |= self.halve(&mut values, points).await;
        }
        if learned {
            self.plan();
        }
        values.into_iter().map(|value| value.unwrap_or(Err(Error::Closed { sent: false }))).collect()
    }

    /// Asks for the halves of a block that was refused as a whole; whether that has taught anything.
    async fn halve(&mut self, values: &mut [Option<Result<Value, Error>>], points: Vec<usize>) -> bool {
        let mut learned = false;
        let mut whole = vec![points];
        while let Some(points) = whole.pop() {
            let halves = self.split(points);
            let mut refused = 0;
            for half in &halves {
                let planned = self.planned(half);
                let Block { area, address, count } = planned.block;
                let content = Content::read(&self.client, area, address, count).await;
                if content.as_ref().is_err_and(is_refusal) {
                    refused += 1;
                    if self.spans(half) > 1 {
                        whole.push(half.clone());
                        continue;
                    }
                    learned |= self.isolate(half);
                }
                self.give(values, &planned, &content);
            }
            // Each half can be had, and both together cannot: what lies between them, or their length, is at fault.
            if refused == 0 {
                learned |= self.limits.cut_before(&self.points[halves[1][0]].span());
            }
        }
        learned
    }

    /// Two halves of points whose block was refused. They part before a span that ends behind all those before it, since no
    /// block can be cut where a span lies within another. Where all lie within one, that one and the others are parted.
    fn split(&self, points: Vec<usize>) -> [Vec<usize>; 2] {
        let span = |index: &usize| self.points[*index].span();
        let end = |span: Span| u32::from(span.address) + u32::from(span.count);
        let mut best: Option<usize> = None;
        let mut furthest = 0;
        let mut at = 0;
        for place in points.chunk_by(|a, b| span(a).address == span(b).address) {
            let behind = place.iter().map(|index| end(span(index))).max().unwrap_or_default();
            let to_middle = |at: usize| at.abs_diff(points.len() / 2);
            if at > 0 && behind > furthest && best.is_none_or(|best| to_middle(at) < to_middle(best)) {
                best = Some(at);
            }
            furthest = furthest.max(behind);
            at += place.len();
        }
        match best {
            Some(at) => {
                let mut left = points;
                let right = left.split_off(at);
                [left, right]
            }
            None => {
                let first = span(&points[0]).address;
                let outer = points.iter().map(span).filter(|span| span.address == first).max_by_key(|span| span.count);
                let (left, right) = points.iter().partition(|index| Some(span(index)) == outer);
                [left, right]
            }
        }
    }

    /// A place that the device does not have is asked for apart from the others, and no block goes on over it.
    fn isolate(&mut self, points: &[usize]) -> bool {
        let span = self.points[points[0]].span();
        let behind =
            self.points.iter().map(Point::span).filter(|other| other.area == span.area && other.address > span.address);
        let next = behind.min_by_key(|other| other.address);
        let cut = next.is_some_and(|next| self.limits.cut_before(&next));
        self.absent.insert(span) || cut
    }

    /// At how many places these points lie.
    fn spans(&self, points: &[usize]) -> usize {
        let mut spans: Vec<Span> = points.iter().map(|index| self.points[*index].span()).collect();
        spans.dedup();
        spans.len()
    }

    fn give(&self, values: &mut [Option<Result<Value, Error>>], planned: &Planned, content: &Result<Content, Error>) {
        for index in &planned.points {
            let point = &self.points[*index];
            let at = usize::from(point.address - planned.block.address);
            values[*index] = Some(match content {
                Ok(content) => content.value(point, at),
                Err(error) => Err(error.clone()),
            });
        }
    }

    /// One block for these points.
    fn planned(&self, points: &[usize]) -> Planned {
        let spans = points.iter().map(|index| self.points[*index].span());
        let first = self.points[points[0]].span();
        let end = spans.map(|span| u32::from(span.address) + u32::from(span.count)).max().unwrap_or_default();
        let count = u16::try_from(end - u32::from(first.address)).unwrap_or(u16::MAX);
        Planned { block: Block { area: first.area, address: first.address, count }, points: points.to_vec() }
    }

    fn plan(&mut self) {
        let there = self.points.iter().map(Point::span).filter(|span| !self.absent.contains(span));
        let blocks = plan(there, &self.cost, &self.limits);
        let mut planned: Vec<Planned> = blocks.into_iter().map(|block| Planned { block, points: Vec::new() }).collect();
        let mut apart: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut order: Vec<usize> = (0..self.points.len()).collect();
        let place = |index: &usize| {
            let span = self.points[*index].span();
            (span.area as u8, span.address, span.count)
        };
        order.sort_by_key(place);
        for index in order {
            let span = self.points[index].span();
            if self.absent.contains(&span) {
                apart.entry(place(&index)).or_default().push(index);
                continue;
            }
            // The last block that begins at or before it, or one before that: blocks may overlap where points do.
            let key = (span.area as u8, span.address);
            let behind = planned.partition_point(|planned| (planned.block.area as u8, planned.block.address) <= key);
            let holds = planned[..behind].iter().rposition(|planned| planned.block.holds(&span));
            if let Some(at) = holds {
                planned[at].points.push(index);
            }
        }
        planned.extend(apart.into_values().map(|points| self.planned(&points)));
        self.blocks = planned;
    }
}

/// Whether the device says that it has not got all of this, or not that much at a time.
fn is_refusal(error: &Error) -> bool {
    matches!(error.exception(), Some(ExceptionCode::IllegalDataAddress | ExceptionCode::IllegalDataValue))
}

impl Client {
    /// Reads many points by as few requests as are worth it, and answers in their order. What is refused is asked for
    /// again in smaller blocks, so that a point that the device does not have spoils no other. Use a [`Reader`] to read the
    /// same points again and again: it remembers.
    pub async fn read_points(&self, points: &[Point]) -> Vec<Result<Value, Error>> {
        Reader::new(self.clone(), points).read().await
    }
}
