//! Servers under load: all are up at once and measured in turn, each round beginning with another one, so that whatever
//! else the machine does falls on all alike and ratios within a round hold.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;

use crate::frame::Kind;
use crate::load::{Load, Outcome, Plan, Until};
use crate::peer::{Missing, ServerName};
use crate::process::Server;
use crate::results::{Cell, Figure, Results, Sample};

/// The loads.
const CELLS: [Cell; 12] = [
    cell(Kind::Read10, 1, 1),
    cell(Kind::Read10, 10, 1),
    cell(Kind::Read10, 100, 1),
    cell(Kind::Read10, 1000, 1),
    cell(Kind::Read125, 10, 1),
    cell(Kind::Read125, 100, 1),
    cell(Kind::Write10, 10, 1),
    cell(Kind::Write10, 100, 1),
    cell(Kind::Read10, 1, 16),
    cell(Kind::Read10, 10, 16),
    cell(Kind::Read125, 10, 16),
    cell(Kind::Write10, 10, 16),
];

const fn cell(kind: Kind, connections: usize, depth: usize) -> Cell {
    Cell { kind, connections, depth }
}

/// A server of the run; none if it could not be started again.
struct Contestant {
    name: ServerName,
    server: Option<Server>,
}

/// Adds a figure for each server under each load.
pub(super) fn measure(results: &mut Results, rounds: u32, window: Duration) -> Result<()> {
    let mut running = start_all(results)?;
    for cell in CELLS {
        println!("{cell}");
        let mut figures: Vec<_> = running.iter().map(|contestant| Figure::new(contestant.name, cell)).collect();
        for round in 0..rounds as usize {
            for turn in 0..running.len() {
                let at = (round + turn) % running.len();
                let (figure, contestant) = (&mut figures[at], &mut running[at]);
                if figure.trouble.is_some() {
                    continue;
                }
                figure.take(match &contestant.server {
                    Some(server) => sample(server, cell, window),
                    None => Err(anyhow!("it did not start again after the trouble before")),
                });
                if let Some(trouble) = &figure.trouble {
                    println!("  {}: {trouble}", contestant.name.label());
                    // Whatever state that left it in is not the next load's concern.
                    contestant.server = Server::start(contestant.name).ok();
                }
            }
        }
        report_progress(&figures);
        results.servers.append(&mut figures);
    }
    Ok(())
}

/// Starts whoever is there. Only the floor is indispensable.
fn start_all(results: &mut Results) -> Result<Vec<Contestant>> {
    let mut running = Vec::new();
    for &name in ServerName::value_variants() {
        let started = match name.program() {
            Some(Err(missing)) => Err(missing),
            None | Some(Ok(_)) => Server::start(name).map_err(|error| Missing::broken(&error)),
        };
        match started {
            Ok(server) => running.push(Contestant { name, server: Some(server) }),
            Err(missing) if name == ServerName::Floor => bail!("the floor: {missing}"),
            Err(missing) => {
                println!("{}: {missing}", name.label());
                results.missing.push((name.label().to_owned(), missing));
            }
        }
    }
    Ok(running)
}

fn sample(server: &Server, cell: Cell, window: Duration) -> Result<Sample> {
    let plan = Plan { target: server.address(), connections: cell.connections, depth: cell.depth, kind: cell.kind };
    let mut load = Load::connect(&plan)?;
    clean(load.run(Until::Elapsed(window / 10)))?;
    let before = server.cpu()?;
    let outcome = clean(load.run(Until::Elapsed(window)))?;
    let cpu = server.cpu()? - before;
    drop(load);
    server.settle()?;
    Ok(Sample {
        requests: outcome.requests,
        seconds: outcome.seconds,
        cpu_seconds: cpu.as_secs_f64(),
        p50_us: outcome.latency_ns(50.0) as f64 / 1e3,
        p99_us: outcome.latency_ns(99.0) as f64 / 1e3,
    })
}

/// A run counts only if every request got its right answer.
fn clean(outcome: Outcome) -> Result<Outcome> {
    if !outcome.is_clean() || outcome.requests == 0 {
        bail!("drops: {} of {}", outcome.faults(), outcome.requests + outcome.lost + outcome.wrong);
    }
    Ok(outcome)
}

fn report_progress(figures: &[Figure<ServerName, Cell>]) {
    let Some((floor, others)) = figures.split_first() else { return };
    let Some(unit) = floor.spread(Sample::cpu_us) else { return };
    println!("  {:<28} {:6.2} us", floor.peer.label(), unit.median);
    for (figure, ratio) in others.iter().filter_map(|figure| Some((figure, figure.ratio(floor)?))) {
        println!("  {:<28} {:6.2} x ({:.2} to {:.2})", figure.peer.label(), ratio.median, ratio.min, ratio.max);
    }
}
