//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::frame::Kind;
use crate::peer::{ClientName, ServerName};

/// Measures dinrail against a bare epoll loop and against other Modbus stacks, on 127.0.0.1.
#[derive(Parser)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Subcommand)]
pub enum Command {
    /// Measures everything and writes the report.
    Run(Run),
    /// Counts user-space instructions a request with callgrind, and fails above the limits.
    Instructions(Instructions),
    /// Opens idle connections and weighs them.
    Idle(Idle),
    /// Loads a server.
    Load(Load),
    /// Times plans for 100,000 points, and 50 servers that start and stop; fails above the limit.
    Toolbox(Toolbox),
    /// Is one of the servers, until standard input closes.
    Server {
        /// Which.
        name: ServerName,
        /// Where on 127.0.0.1; 0 is any free port (foreign servers always take any).
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Is one of the clients, for a window.
    Client(Client),
    /// Writes the report again from the figures of the last run.
    Report {
        /// Where to; standard is docs/performance.md.
        #[arg(long)]
        to: Option<PathBuf>,
    },
}

/// Options of `run`.
#[derive(Args)]
pub struct Run {
    /// Rounds; a ratio is the median of the ratios within each.
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,
    /// Milliseconds that a server or client is measured in a round.
    #[arg(long, default_value_t = 600)]
    pub millis: u64,
    /// Two short rounds and fewer idle peers, for a look; the report goes to benches/.work.
    #[arg(long)]
    pub quick: bool,
    /// Where the report goes; standard is docs/performance.md.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_delimiter = ',', default_values_t = [Part::Servers, Part::Clients, Part::Idle, Part::Instructions])]
    pub parts: Vec<Part>,
}

/// The parts of `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Servers under load.
    Servers,
    /// Clients against the floor.
    Clients,
    /// Idle connections.
    Idle,
    /// Instructions a request.
    Instructions,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::process::argument(*self))
    }
}

/// Options of `instructions`.
#[derive(Args)]
pub struct Instructions {
    /// The servers to count.
    #[arg(long, value_delimiter = ',', default_value = "dinrail")]
    pub servers: Vec<ServerName>,
    /// The clients to count, reading 10 registers a call over 1 connection and over 100; by default none.
    #[arg(long, value_delimiter = ',')]
    pub clients: Vec<ClientName>,
    /// The most a client's call may take over 1 connection.
    #[arg(long)]
    pub limit_client_1: Option<u64>,
    /// The most a client's call may take over 100 connections.
    #[arg(long)]
    pub limit_client_100: Option<u64>,
    /// The most a read of 10 registers may take.
    #[arg(long)]
    pub limit_fc3x10: Option<u64>,
    /// The most a read of 125 registers may take.
    #[arg(long)]
    pub limit_fc3x125: Option<u64>,
    /// Requests in flight on each of the ten connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub depth: u32,
    /// Requests in the longer of the two runs; the other has a tenth.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1_000..=200_000))]
    pub requests: u64,
}

/// Options of `toolbox`.
#[derive(Args)]
pub struct Toolbox {
    /// The most milliseconds that the plans may take, in the best of the runs.
    #[arg(long)]
    pub limit_plan_ms: Option<u32>,
}

/// Options of `idle`.
#[derive(Args)]
pub struct Idle {
    /// The servers to weigh.
    #[arg(long, value_delimiter = ',', default_value = "floor,dinrail,tokio-modbus")]
    pub servers: Vec<ServerName>,
    /// How many connections.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: u32,
}

/// Options of `load`.
#[derive(Args)]
pub struct Load {
    /// The port on 127.0.0.1.
    #[arg(long)]
    pub port: u16,
    /// Connections.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub connections: u32,
    /// Requests in flight on each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub depth: u32,
    /// What is asked.
    #[arg(long, default_value = "fc3x10")]
    pub kind: Kind,
    /// For how long.
    #[arg(long, default_value_t = 1000)]
    pub millis: u64,
}

/// Options of `client`.
#[derive(Args)]
pub struct Client {
    /// Which.
    pub name: ClientName,
    /// The server's port on 127.0.0.1.
    #[arg(long)]
    pub port: u16,
    /// Connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub connections: u32,
    /// Calls open at once on each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub calls: u32,
    /// The window.
    #[arg(long, default_value_t = 1000)]
    pub millis: u64,
    /// So many calls instead of a window; not for the foreign clients.
    #[arg(long)]
    pub requests: Option<u64>,
}
