//! Measures dinrail against a bare epoll loop and against other Modbus stacks.
//!
//! In reading order: `frame` (what goes over the wire, and what is right), `burst` (one read, all its frames), `load`
//! (the load, and the bare client), `server` and `client` (those written in Rust), `peer` (who there is, and the
//! foreign ones), `process` (they as processes), `run` (the rounds), `idle`, `instructions`, `toolbox`, `results`, `report`.

#![forbid(unsafe_code)]

mod burst;
mod cli;
mod client;
mod frame;
mod idle;
mod instructions;
mod load;
mod machine;
mod peer;
mod process;
mod report;
mod results;
mod run;
mod server;
mod toolbox;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Parser;

use crate::cli::{Cli, Command};
use crate::load::{Load, Plan, Until};
use crate::peer::Shape;
use crate::results::Results;

fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> Result<()> {
    match command {
        Command::Run(options) => run::run(&options),
        Command::Instructions(options) => instructions::run(&options),
        Command::Idle(options) => idle::run(&options),
        Command::Load(options) => load(&options),
        Command::Toolbox(options) => toolbox::run(&options),
        Command::Server { name, port } => match name.program() {
            Some(Ok(program)) => become_program(program),
            Some(Err(missing)) => bail!("{missing}"),
            None => server::serve(name, port),
        },
        Command::Client(options) => client(&options),
        Command::Report { to } => {
            let path = to.unwrap_or_else(|| run::report_path(false));
            report::write(&Results::load()?, &path)
        }
    }
}

fn load(options: &cli::Load) -> Result<()> {
    let plan = Plan {
        target: SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)),
        connections: options.connections as usize,
        depth: options.depth as usize,
        kind: options.kind,
    };
    machine::allow_connections(options.connections)?;
    let outcome = Load::connect(&plan)?.run(Until::Elapsed(Duration::from_millis(options.millis)));
    println!(
        "{} requests in {:.2} s, {:.0} a second; p50 {:.1} us, p99 {:.1} us",
        outcome.requests,
        outcome.seconds,
        outcome.requests as f64 / outcome.seconds,
        outcome.latency_ns(50.0) as f64 / 1e3,
        outcome.latency_ns(99.0) as f64 / 1e3
    );
    if outcome.is_clean() { Ok(()) } else { bail!("drops: {}", outcome.faults()) }
}

fn client(options: &cli::Client) -> Result<()> {
    let shape = Shape { connections: options.connections as usize, calls: options.calls as usize };
    if let Some(reason) = options.name.not_offered(shape) {
        bail!("{} calls at once on a connection: {reason}", shape.calls);
    }
    match options.name.program(options.port, shape, options.millis) {
        Some(Ok(program)) => become_program(program),
        Some(Err(missing)) => bail!("{missing}"),
        None => {
            let window = Until::Elapsed(Duration::from_millis(options.millis));
            let until = options.requests.map_or(window, Until::Asked);
            let report = client::call(options.name, options.port, shape, until)?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(())
        }
    }
}

/// Goes on as `program`, in the same process, so that whoever started us measures and ends that.
fn become_program(mut program: std::process::Command) -> Result<()> {
    let error = program.exec();
    Err(anyhow!("{:?} can't be started: {error}", program.get_program()))
}
