//! A whole run: everybody measured in turn, then the report.
//!
//! `servers` and `clients` take the rounds; idle connections and instructions are modules of their own, since they are
//! commands of their own too.

mod clients;
mod servers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cli::{Part, Run};
use crate::machine::{Machine, allow_connections, share_one_processor};
use crate::peer::{self, ServerName, work_folder};
use crate::results::Results;
use crate::{idle, instructions, report};

/// Measures, and writes the report.
pub fn run(options: &Run) -> Result<()> {
    let started = Instant::now();
    let (rounds, millis) = if options.quick { (2, 200) } else { (options.rounds.max(1), options.millis.max(50)) };
    allow_connections(idle::CONNECTIONS)?;
    let machine = Machine::read();
    let mut results = Results {
        taken: said("date", &["-u", "+%F %R UTC"]),
        revision: said("git", &["describe", "--always", "--dirty"]),
        rounds,
        millis,
        machine,
        versions: peer::versions(),
        ..Results::default()
    };
    let wanted = |part| options.parts.contains(&part);

    // Callgrind counts the same wherever it runs, and is in nobody's way while nobody is measured.
    if wanted(Part::Instructions) {
        let counted: &[_] = if options.quick {
            &[ServerName::Dinrail]
        } else {
            &[
                ServerName::Floor,
                ServerName::BareTokio,
                ServerName::Dinrail,
                ServerName::DinrailRuntime,
                ServerName::TokioModbus,
            ]
        };
        for &server in counted {
            instructions::add_to(&mut results, server);
        }
    }
    // How fast connections open is a matter of the whole machine; what a request costs is not, and is measured on one
    // processor.
    if wanted(Part::Idle) {
        let few = [
            ServerName::Floor,
            ServerName::BareTokio,
            ServerName::Dinrail,
            ServerName::DinrailRuntime,
            ServerName::TokioModbus,
        ];
        let others = [ServerName::Libmodbus, ServerName::Pymodbus, ServerName::ModbusSerial];
        for server in few.into_iter().chain(others.into_iter().filter(|_| !options.quick)) {
            idle::add_to(&mut results, server);
        }
    }
    share_one_processor()?;
    let window = Duration::from_millis(millis);
    if wanted(Part::Servers) {
        servers::measure(&mut results, rounds, window)?;
    }
    if wanted(Part::Clients) {
        clients::measure(&mut results, rounds, window)?;
    }
    results.save()?;
    let path = options.report.clone().unwrap_or_else(|| report_path(options.quick));
    report::write(&results, &path)?;
    println!("{:.0} s; the report is {}", started.elapsed().as_secs_f64(), path.display());
    Ok(())
}

/// Where the report goes if nothing else is said: a quick look never replaces a real one.
pub fn report_path(quick: bool) -> PathBuf {
    if quick {
        work_folder().join("performance-quick.md")
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md")
    }
}

/// What a command prints, or that it is unknown.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if text.is_empty() { "unknown".to_owned() } else { text }
}
