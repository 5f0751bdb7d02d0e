//! User-space instructions a request, counted by callgrind: the figure that does not drift with the machine's load, and
//! so the one that guards against regressions.
//!
//! Two runs of different length are subtracted, so that start, connecting and end cancel. The load runs outside
//! valgrind.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cli::Instructions;
use crate::frame::Kind;
use crate::load::{Load, Plan, Until};
use crate::peer::{ServerName, work_folder};
use crate::process::{Server, argument, itself};
use crate::results::{InstructionFigure, Results};

/// Connections of the load.
const CONNECTIONS: usize = 10;

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
            let line = format!("{} {}: {counted:.0} instructions a request", argument(server), kind.label());
            match limit {
                Some(limit) if counted > limit as f64 => {
                    println!("{line}, above the limit of {limit}");
                    above.push(format!("{} {}", argument(server), kind.label()));
                }
                Some(limit) => println!("{line} (limit {limit})"),
                None => println!("{line}"),
            }
        }
    }
    ensure!(above.is_empty(), "above the limit: {}; look at it with callgrind_annotate", above.join(", "));
    Ok(())
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
    let short = total(server, kind, depth, requests / 10)?;
    let long = total(server, kind, depth, requests)?;
    Ok((long as f64 - short as f64) / (requests - requests / 10) as f64)
}

/// Instructions from start to end of a server that answers so many requests.
fn total(name: ServerName, kind: Kind, depth: usize, requests: u64) -> Result<u64> {
    let label = format!("callgrind-{}", argument(name));
    let output = work_folder().join(format!("{label}.out"));
    // That of an earlier run must not be taken for this one's; it may not be there.
    let _ = fs::remove_file(&output);
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(itself()?.get_program())
        .args(["server", &argument(name)]);
    let server = Server::start_command(command, &label).context("is valgrind there? apt-get install valgrind")?;
    let mut load = Load::connect(&Plan { target: server.address(), connections: CONNECTIONS, depth, kind })?;
    let outcome = load.run(Until::Asked(requests));
    ensure!(outcome.is_clean() && outcome.requests == requests, "drops: {}", outcome.faults());
    server.end()?;
    let profile = fs::read_to_string(&output).with_context(|| format!("{} was not written", output.display()))?;
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: ")).context("a profile without totals")?;
    totals.trim().parse().context("totals of more than one event; run callgrind without further options")
}
