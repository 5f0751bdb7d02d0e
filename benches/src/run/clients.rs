//! Clients against the floor: in turn like the servers, each a fresh process in each round, which measures itself once
//! it has connected and warmed up.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::client::ClientReport;
use crate::peer::{ClientName, ServerName, Shape};
use crate::process::{self, Server};
use crate::results::{Figure, Results, Sample};

/// How clients are used.
const SHAPES: [Shape; 3] =
    [Shape { connections: 1, calls: 1 }, Shape { connections: 1, calls: 16 }, Shape { connections: 100, calls: 1 }];

/// Time for a client to start, connect and end, beyond its window.
const ASIDE: Duration = Duration::from_secs(15);

/// Adds a figure for each client in each shape.
pub(super) fn measure(results: &mut Results, rounds: u32, window: Duration) -> Result<()> {
    let floor = Server::start(ServerName::Floor)?;
    let port = floor.address().port();
    for shape in SHAPES {
        println!("clients: {} connections, {} calls on each", shape.connections, shape.calls);
        let mut figures = Vec::new();
        for &name in ClientName::value_variants() {
            match name.program(port, shape, 0) {
                _ if name.not_offered(shape).is_some() => {}
                Some(Err(missing)) if shape == SHAPES[0] => {
                    let label = format!("{} (client)", name.label());
                    results.missing.push((label, missing));
                }
                Some(Err(_)) => {}
                None | Some(Ok(_)) => figures.push(Figure::new(name, shape)),
            }
        }
        for round in 0..rounds as usize {
            for turn in 0..figures.len() {
                let at = (round + turn) % figures.len();
                let figure = &mut figures[at];
                if figure.trouble.is_none() {
                    figure.take(sample(figure.peer, port, shape, window));
                }
            }
        }
        report_progress(&figures);
        results.clients.append(&mut figures);
    }
    Ok(())
}

fn sample(name: ClientName, port: u16, shape: Shape, window: Duration) -> Result<Sample> {
    let mut command = process::itself()?;
    command.arg("client").arg(process::argument(name));
    for (option, value) in [
        ("--port", u64::from(port)),
        ("--connections", shape.connections as u64),
        ("--calls", shape.calls as u64),
        ("--millis", window.as_millis() as u64),
    ] {
        command.arg(option).arg(value.to_string());
    }
    let line = process::first_line_of(command, &format!("client-{}", process::argument(name)), window + ASIDE)?;
    let report: ClientReport = serde_json::from_str(&line).with_context(|| format!("no report but {line:?}"))?;
    ensure!(report.errors == 0 && report.requests > 0, "drops: {} wrong of {}", report.errors, report.requests);
    Ok(Sample {
        requests: report.requests,
        seconds: report.seconds,
        cpu_seconds: report.cpu_seconds,
        p50_us: 0.0,
        p99_us: 0.0,
    })
}

fn report_progress(figures: &[Figure<ClientName, Shape>]) {
    let Some((raw, others)) = figures.split_first() else { return };
    if let Some(unit) = raw.spread(Sample::cpu_us) {
        println!("  {:<28} {:6.2} us", raw.peer.label(), unit.median);
    }
    for figure in others {
        match (figure.ratio(raw), &figure.trouble) {
            (Some(ratio), _) => println!("  {:<28} {:6.2} x", figure.peer.label(), ratio.median),
            (None, trouble) => println!("  {:<28} {trouble:?}", figure.peer.label()),
        }
    }
}
