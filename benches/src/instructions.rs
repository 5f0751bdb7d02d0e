//! User-space instructions a request, counted by callgrind: the figure that does not drift with the machine's load, and
//! so the one that guards against regressions.
//!
//! Two runs of different length are subtracted, so that start, connecting and end cancel. The other end runs outside
//! valgrind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cli::Instructions;
use crate::client::ClientReport;
use crate::frame::Kind;
use crate::load::{Load, Plan, Until};
use crate::peer::{ClientName, ServerName, Shape, work_folder};
use crate::process::{Server, argument, first_line_of, itself};
use crate::results::{InstructionFigure, Results};

/// Connections of the load.
const CONNECTIONS: usize = 10;

/// Time for a client to make its calls under valgrind.
const LONGEST: Duration = Duration::from_secs(120);

/// Requests in the longer run, when nothing else is said.
const REQUESTS: u64 = 20_000;

/// The command `instructions`: a line for each figure, and an error above a limit.
pub fn run(options: &Instructions) -> Result<()> {
    let limits = [(Kind::Read10, options.limit_fc3x10), (Kind::Read125, options.limit_fc3x125)];
    let mut above = Vec::new();
    for &server in &options.servers {
        if let Some(Err(missing)) = server.program() {
            bail!("{}: {missing}", argument(server));
        }
        for (kind, limit) in limits {
            let counted = count(server, kind, options.depth as usize, options.requests)?;
            let what = format!("{} {}", argument(server), kind.label());
            print_against(&what, "request", counted, limit, &mut above);
        }
    }
    for &client in &options.clients {
        for (connections, limit) in [(1, options.limit_client_1), (100, options.limit_client_100)] {
            let counted = count_client(client, connections, options.requests)?;
            let what = format!("{} client, {connections} connections", argument(client));
            print_against(&what, "call", counted, limit, &mut above);
        }
    }
    ensure!(above.is_empty(), "above the limit: {}; look at it with callgrind_annotate", above.join(", "));
    Ok(())
}

/// Prints a figure, and adds it to those above their limits if it is.
fn print_against(what: &str, unit: &str, counted: f64, limit: Option<u64>, above: &mut Vec<String>) {
    let line = format!("{what}: {counted:.0} instructions a {unit}");
    match limit {
        Some(limit) if counted > limit as f64 => {
            println!("{line}, above the limit of {limit}");
            above.push(what.to_owned());
        }
        Some(limit) => println!("{line} (limit {limit})"),
        None => println!("{line}"),
    }
}

/// Adds a server's figures to the results, or prints why there are none.
pub fn add_to(results: &mut Results, server: ServerName) {
    if let Some(Err(_)) = server.program() {
        return;
    }
    for kind in [Kind::Read10, Kind::Read125] {
        match count(server, kind, 1, REQUESTS) {
            Ok(instructions) => {
                println!("instructions, {} {}: {instructions:.0}", argument(server), kind.label());
                results.instructions.push(InstructionFigure { server, kind, instructions });
            }
            Err(error) => println!("instructions, {}: {error:#}", server.label()),
        }
    }
}

fn count(server: ServerName, kind: Kind, depth: usize, requests: u64) -> Result<f64> {
    slope(requests, |requests| total(server, kind, depth, requests))
}

fn count_client(client: ClientName, connections: usize, requests: u64) -> Result<f64> {
    let floor = Server::start(ServerName::Floor)?;
    let port = floor.address().port();
    slope(requests, |requests| total_of_client(client, port, connections, requests))
}

/// What each of so many requests adds to a total.
fn slope(requests: u64, total: impl Fn(u64) -> Result<u64>) -> Result<f64> {
    let short = total(requests / 10)?;
    let long = total(requests)?;
    Ok((long as f64 - short as f64) / (requests - requests / 10) as f64)
}

/// Instructions from start to end of a server that answers so many requests.
fn total(name: ServerName, kind: Kind, depth: usize, requests: u64) -> Result<u64> {
    let label = format!("callgrind-{}", argument(name));
    let (mut command, output) = callgrind(&label)?;
    command.args(["server", &argument(name)]);
    let server = Server::start_command(command, &label).context("is valgrind there? apt-get install valgrind")?;
    let mut load = Load::connect(&Plan { target: server.address(), connections: CONNECTIONS, depth, kind })?;
    let outcome = load.run(Until::Asked(requests));
    ensure!(outcome.is_clean() && outcome.requests == requests, "drops: {}", outcome.faults());
    server.end()?;
    total_in(&output)
}

/// Instructions from start to end of a client that makes so many calls.
fn total_of_client(name: ClientName, port: u16, connections: usize, requests: u64) -> Result<u64> {
    if name.program(port, Shape { connections, calls: 1 }, 0).is_some() {
        bail!("{}: only clients in Rust can be counted", argument(name));
    }
    let label = format!("callgrind-client-{}", argument(name));
    let (mut command, output) = callgrind(&label)?;
    command.args(["client", &argument(name)]);
    for (option, value) in [("--port", port.into()), ("--connections", connections as u64), ("--requests", requests)] {
        command.arg(option).arg(value.to_string());
    }
    let line = first_line_of(command, &label, LONGEST)?;
    let report: ClientReport = serde_json::from_str(&line).with_context(|| format!("no report but {line:?}"))?;
    ensure!(report.errors == 0 && report.requests == requests, "drops: {} right of {requests}", report.requests);
    total_in(&output)
}

/// This program under callgrind, and where the profile will be.
fn callgrind(label: &str) -> Result<(Command, PathBuf)> {
    let output = work_folder().join(format!("{label}.out"));
    // That of an earlier run must not be taken for this one's; it may not be there.
    let _ = fs::remove_file(&output);
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(itself()?.get_program());
    Ok((command, output))
}

fn total_in(output: &Path) -> Result<u64> {
    let profile = fs::read_to_string(output).with_context(|| format!("{} was not written", output.display()))?;
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: ")).context("a profile without totals")?;
    totals.trim().parse().context("totals of more than one event; run callgrind without further options")
}
