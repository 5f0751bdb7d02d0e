//! The figures of a run, as they are kept in benches/.work/results.json and as the report reads them.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::frame::Kind;
use crate::machine::Machine;
use crate::peer::{ClientName, Missing, ServerName, Shape, work_folder};

/// All figures of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The day, in UTC.
    pub taken: String,
    /// The commit of the repository, with a mark if something was changed.
    pub revision: String,
    /// Rounds.
    pub rounds: u32,
    /// Milliseconds of a measurement.
    pub millis: u64,
    /// Where.
    pub machine: Machine,
    /// Of whom.
    pub versions: Vec<(String, String)>,
    /// Servers under load.
    pub servers: Vec<Figure<ServerName, Cell>>,
    /// Clients.
    pub clients: Vec<Figure<ClientName, Shape>>,
    /// Idle connections.
    pub idle: Vec<IdleFigure>,
    /// Instructions a request.
    pub instructions: Vec<InstructionFigure>,
    /// Who could not be measured: label and reason.
    pub missing: Vec<(String, Missing)>,
}

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// What is asked.
    pub kind: Kind,
    /// Connections.
    pub connections: usize,
    /// Requests in flight on each.
    pub depth: usize,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.connections == 1 { "" } else { "s" };
        write!(f, "{}, {} connection{plural}", self.kind.label(), self.connections)?;
        if self.depth == 1 { Ok(()) } else { write!(f, ", depth {}", self.depth) }
    }
}

/// One peer under one load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure<P, C> {
    /// Who.
    pub peer: P,
    /// Under what.
    pub cell: C,
    /// A sample a round, in the order of the rounds.
    pub samples: Vec<Sample>,
    /// Why there are no more of them.
    pub trouble: Option<String>,
}

impl<P, C> Figure<P, C> {
    /// A figure without samples yet.
    pub fn new(peer: P, cell: C) -> Self {
        Self { peer, cell, samples: Vec::new(), trouble: None }
    }

    /// Takes the next round's sample, or what went wrong instead.
    pub fn take(&mut self, sample: Result<Sample>) {
        match sample {
            Ok(sample) => self.samples.push(sample),
            Err(error) => self.trouble = Some(format!("{error:#}")),
        }
    }

    /// The median, least and most of `of` over the samples; none if there was trouble.
    pub fn spread(&self, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        if self.trouble.is_some() { None } else { Spread::of(self.samples.iter().map(of)) }
    }

    /// The processor time of a request as a multiple of `unit`'s in the same round.
    pub fn ratio<Q>(&self, unit: &Figure<Q, C>) -> Option<Spread> {
        if self.trouble.is_some() || unit.trouble.is_some() {
            return None;
        }
        Spread::of(self.samples.iter().zip(&unit.samples).map(|(ours, unit)| ours.cpu_us() / unit.cpu_us()))
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Requests answered, all of them right.
    pub requests: u64,
    /// How long it took.
    pub seconds: f64,
    /// Processor time of the measured process.
    pub cpu_seconds: f64,
    /// Median latency in microseconds, where it is known.
    pub p50_us: f64,
    /// The latency that one request in a hundred exceeds.
    pub p99_us: f64,
}

impl Sample {
    /// Processor microseconds a request.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.requests as f64
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// The middle and the ends of a few figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one, or the mean of the two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<_> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let (&min, &max) = (figures.first()?, figures.last()?);
        let middle = figures.len() / 2;
        let median =
            if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

/// What idle connections weigh.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdleFigure {
    /// Who.
    pub server: ServerName,
    /// Connections that were asked for.
    pub wanted: u32,
    /// Connections that were opened in the time allowed.
    pub opened: u32,
    /// Connections that answered a request afterwards.
    pub answered: u32,
    /// Until the last one was opened and answered.
    pub seconds: f64,
    /// Resident bytes before.
    pub before: u64,
    /// Resident bytes with the connections open.
    pub fresh: u64,
    /// Resident bytes after a request on each.
    pub used: u64,
}

impl IdleFigure {
    /// Bytes that a connection added, of `resident` in all.
    pub fn each(&self, resident: u64) -> f64 {
        resident.saturating_sub(self.before) as f64 / f64::from(self.opened.max(1))
    }
}

/// User-space instructions of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstructionFigure {
    /// Who.
    pub server: ServerName,
    /// What was asked.
    pub kind: Kind,
    /// How many.
    pub instructions: f64,
}

impl Results {
    /// The loads that were measured, in order.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for figure in &self.servers {
            if !cells.contains(&figure.cell) {
                cells.push(figure.cell);
            }
        }
        cells
    }

    /// A server under a load.
    pub fn server(&self, server: ServerName, cell: Cell) -> Option<&Figure<ServerName, Cell>> {
        self.servers.iter().find(|figure| figure.peer == server && figure.cell == cell)
    }

    /// A client in a shape.
    pub fn client(&self, client: ClientName, shape: Shape) -> Option<&Figure<ClientName, Shape>> {
        self.clients.iter().find(|figure| figure.peer == client && figure.cell == shape)
    }

    /// Keeps the figures for `report`.
    pub fn save(&self) -> Result<()> {
        fs::write(file(), serde_json::to_string_pretty(self)?)
            .with_context(|| format!("{} not written", file().display()))
    }

    /// The figures of the last run.
    pub fn load() -> Result<Self> {
        let text = fs::read_to_string(file()).with_context(|| format!("{}: do a run first", file().display()))?;
        serde_json::from_str(&text).context("results.json is of another version of the benchmarks; do a run")
    }
}

fn file() -> PathBuf {
    work_folder().join("results.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(costs: &[f64]) -> Figure<u8, u8> {
        let sample = |&cost| Sample { requests: 1_000_000, seconds: 1.0, cpu_seconds: cost, p50_us: 0.0, p99_us: 0.0 };
        Figure { peer: 0, cell: 0, samples: costs.iter().map(sample).collect(), trouble: None }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine got slower by half in the second round, for both alike.
        let (ours, floor) = (figure(&[2.2, 3.3, 2.0]), figure(&[2.0, 3.0, 2.0]));
        let ratio = ours.ratio(&floor).expect("no trouble");
        assert!((ratio.median - 1.1).abs() < 1e-9 && (ratio.min - 1.0).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn trouble_has_no_ratio() {
        let mut peer = figure(&[1.0]);
        peer.take(Err(anyhow::anyhow!("lost")));
        assert_eq!(peer.ratio(&figure(&[1.0])), None);
        assert_eq!(peer.spread(Sample::rate), None);
    }

    #[test]
    fn an_even_count_has_the_mean_of_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 2.0, 9.0].into_iter());
        assert_eq!(spread, Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
    }
}
