//! `dinrail serve`: a server that holds values, to try clients against and to learn with.

mod config;
mod console;
mod demo;
mod read_only;
mod secure;
mod serving;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use clap::builder::TypedValueParser as _;
use dinrail::server::{DiagnosticsMode, Medium, Metrics};
use dinrail::service::{BoxService, DeviceIdentity, Fifos, Files, Memory, ServerId, Service as _};
use dinrail::transport::{Endpoint, Faults, Faulty};
use dinrail::{Area, Server, server};
use dinrail_gateway::console::{Desk, Station};
use dinrail_gateway::metrics::{self, Watched};
use tokio::time::MissedTickBehavior;

pub(crate) use self::config::load;
use self::console::ConsoleArgs;
use self::read_only::ReadOnly;
use self::secure::Secure;
use self::serving::{NAME, Serving};
use self::watch::Watch;
use super::signal::Stop;
use crate::args::Assignment;
use crate::failure::Failure;
use crate::output;

/// Serve values: four areas of 65536 zeros, what you set, or many servers from a file
///
/// Prints "listening on URL" as its first line once clients may come. Ctrl-C and SIGTERM end it: it answers
/// what it has been asked, closes and exits with 0.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help(), verbatim_doc_comment)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one
    ///
    /// The host 0.0.0.0 listens on every interface. Anybody who can connect can write: Modbus knows no passwords.
    #[arg(long, verbatim_doc_comment, value_name = "URL", default_value = "tcp://127.0.0.1:5020")]
    listen: Endpoint,

    /// Serve what a file says, many servers at once
    ///
    /// Prints "listening on URL (NAME)" for each. `dinrail check` finds what is wrong with such a file.
    /// SIGHUP reads it again and touches only what has changed; when it cannot be used, everything goes on
    /// as before.
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "FILE.toml",
        conflicts_with_all = [
            "listen", "unit", "set", "fifo", "diagnostics", "read_only", "demo", "threads", "interface", "faulty", "cert", "key",
            "key_password", "client_ca", "client_auth", "rules",
        ]
    )]
    config: Option<PathBuf>,

    /// Serve what can be served of a file, not all or nothing
    ///
    /// A server that cannot be started is named in the log, with the reason, and the others serve. SIGHUP tries it
    /// again. When no server can be started, the exit code is 3.
    #[arg(long, verbatim_doc_comment, requires = "config")]
    skip_failed: bool,

    /// Show how the servers do, for Prometheus, at http://ADDR/metrics
    ///
    /// ADDR is HOST:PORT, such as 127.0.0.1:9100; port 0 takes a free one. Prints "listening on URL (metrics)".
    /// Whoever can connect can read: there is no password. With --config it replaces the `metrics` of the file.
    #[arg(long, verbatim_doc_comment, value_name = "ADDR", value_parser = parse_address)]
    metrics: Option<String>,

    /// The one unit to answer, while others are told 0x0B; or any.
    #[arg(short, long, value_name = "N|any", default_value = "any", value_parser = parse_unit)]
    unit: Unit,

    /// Begin with these values; may be given several times
    ///
    /// The values stand from the address on: hr:0=1,2,3 sets hr:0, hr:1 and hr:2. Registers are u16 unless a type is
    /// named, as in hr:10:f32=21.5; coils and discrete inputs are on or off.
    #[arg(long, verbatim_doc_comment, value_name = "AREA:ADDR=VALUE,...")]
    set: Vec<Assignment>,

    /// A queue for FC 24, counted by a holding register; may be repeated
    ///
    /// hr:1000=11,22,33 is a queue of three values whose pointer is hr:1000: hr:1000 reads 3, hr:1001 reads 11.
    #[arg(long, verbatim_doc_comment, value_name = "hr:ADDR=VALUE,...", value_parser = parse_queue)]
    fifo: Vec<Assignment>,

    /// FC 8, 11 and 12: live, frozen or off
    ///
    /// Frozen counters are answered, but never move. With off, FC 8, 11 and 12 are refused with exception 0x01.
    /// A client can make the server listen only (FC 8 / 4): then it is silent until FC 8 / 1.
    #[arg(long, verbatim_doc_comment, value_name = "MODE", default_value = "live", value_parser = parse_diagnostics)]
    diagnostics: DiagnosticsMode,

    /// Refuse every write with exception 0x01.
    #[arg(long)]
    read_only: bool,

    /// Hold values that move, to have something to look at; see below.
    #[arg(long)]
    demo: bool,

    /// How many threads serve, each with a loop of its own.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256).map(usize::from))]
    threads: usize,

    /// Listen on this network interface only, such as eth1; on Linux.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,

    /// Be a bad line: delay=5ms..20ms,drop=1%,flip=0.1%,split,merge,duplicate,echo,seed=7
    ///
    /// delay: how long a write takes; drop: writes that are lost; lose: single bytes that are lost; flip: bits of
    /// bytes that turn; split: writes in pieces; merge: writes together with the next; duplicate: writes twice;
    /// echo: what is sent comes back; seed: the same seed, the same faults. Without a number a fault has 10 %.
    /// Over udp:// a fault concerns a datagram; over tls:// it is below TLS, so what is lost ends a connection.
    #[arg(long, verbatim_doc_comment, value_name = "FAULTS", conflicts_with = "threads")]
    faulty: Option<Faults>,

    #[command(flatten)]
    console: ConsoleArgs,

    #[command(flatten)]
    secure: Secure,
}

/// The files that FC 20 and 21 find, and the records of each.
const FILES: u16 = 4;
const RECORDS: usize = 1000;

/// Which units are answered.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Any,
    Only(u8),
}

fn parse_unit(text: &str) -> Result<Unit, String> {
    match text {
        "any" => Ok(Unit::Any),
        _ => text.parse().map(Unit::Only).map_err(|_| "take a unit from 0 to 255, or any".to_owned()),
    }
}

fn parse_queue(text: &str) -> Result<Assignment, String> {
    let queue: Assignment = text.parse()?;
    if queue.start.area == Area::HoldingRegister {
        return Ok(queue);
    }
    Err("a queue is counted by a holding register: write hr:1000=11,22,33".to_owned())
}

fn parse_address(text: &str) -> Result<String, String> {
    metrics::check_address(text).map(|()| text.to_owned())
}

fn parse_diagnostics(text: &str) -> Result<DiagnosticsMode, String> {
    match text {
        "live" => Ok(DiagnosticsMode::Live),
        "frozen" => Ok(DiagnosticsMode::Frozen),
        "off" => Ok(DiagnosticsMode::Off),
        _ => Err("take live, frozen or off".to_owned()),
    }
}

fn after_help() -> String {
    format!(
        "\
Examples:
  dinrail serve                                     zeros, on tcp://127.0.0.1:5020
  dinrail serve --demo                              values that move
  dinrail serve --listen 0.0.0.0:502 --unit 17      one unit, for everybody on the network
  dinrail serve --listen 'rtu:///dev/ttyUSB0?baud=9600' --unit 2
  dinrail serve --listen udp://127.0.0.1:5020
  dinrail serve --listen tls://0.0.0.0 --cert server.pem --key server.key --client-ca ca.pem --rules rules.toml
  dinrail serve --config plant.toml                 many servers, as a file says; see docs/guide/many-servers.md
  dinrail serve --set hr:0=1,2,3 --set co:0=on,off --set 40011:f32=21.5
  dinrail serve --fifo hr:1000=11,22,33             a queue for FC 24
  dinrail -v serve --read-only                      says who connects
  dinrail serve --console                           values can be set by hand: dinrail console
  dinrail serve --faulty delay=5ms..20ms,drop=1%    a bad line, to see what a client makes of it
  dinrail serve --listen rtu:///dev/ttyUSB0 --unit 2 --faulty flip=0.1%

Besides the four areas: exception status from co:0 to co:7 (FC 7), server id (FC 17),
files 1 to 4 with 1000 records of zeros (FC 20, 21), device identification (FC 43).

Values of --demo, set ten times a second:
{}",
        demo::TABLE
    )
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let console = self.console.listen()?;
        if let Some(path) = self.config {
            return config::run(path, console, self.metrics, self.skip_failed).await;
        }
        let mut stop = Stop::listen()?;
        let memory = self.memory();
        // Before the server: nobody is served when it cannot be had.
        let watched = Watched::new();
        let shown = match &self.metrics {
            Some(address) => Some(
                metrics::Endpoint::listen(address, watched.clone())
                    .await
                    .map_err(|error| Failure::Unreachable(format!("metrics: {error}; nothing was started")))?,
            ),
            None => None,
        };
        let options = self.options(shown.is_some().then(Metrics::new));
        options.metrics.iter().for_each(|metrics| watched.insert(options.name.as_str(), metrics.clone()));
        let start = Instant::now();
        if self.demo {
            demo::set(&memory, start.elapsed(), since_1970());
        }
        let listen = self.secure.endpoint(self.listen.clone())?;
        let started = match &self.faulty {
            None => Serving::start(self.server(listen, &memory, options)?).await,
            // What passes on it is in the log, as it passes.
            Some(faults) => Serving::start(self.server(Faulty::new(listen, faults.clone()), &memory, options)?).await,
        };
        let (server, address) = started.map_err(|error| Failure::Unreachable(error.to_string()))?;
        output::print(&format!("listening on {address}\n"))?;
        if let Some(shown) = &shown {
            output::print(&format!("listening on {shown} (metrics)\n"))?;
        }
        let desk = Desk::new(server.manager());
        desk.put(NAME, self.station(&memory));
        let console = console::open(console, desk).await?;
        if self.demo {
            output::print(&format!("{}\n", demo::TABLE))?;
        }
        tokio::select! {
            () = keep_moving(&memory, start), if self.demo => {}
            () = stop.requested() => {}
        }
        drop(console);
        tokio::select! {
            () = server.stop() => Ok(()),
            () = stop.requested() => Err(Failure::Interrupted), // somebody does not want to wait for the rest
        }
    }

    fn memory(&self) -> Memory {
        let memory = Memory::new();
        for Assignment { start, values } in &self.set {
            memory.set(start.area, start.address, values).expect("an assignment ends at address 65535 or before");
        }
        memory
    }

    fn server<M: Medium>(
        &self,
        listen: M,
        memory: &Memory,
        options: server::Options,
    ) -> Result<Server<BoxService, M>, Failure> {
        let server = Server::on(listen, self.service(memory)?).with_options(options);
        Ok(if tracing::enabled!(tracing::Level::INFO) { server.with_hooks(Watch) } else { server })
    }

    /// What the console sees. Whether clients may write is not about the operator.
    fn station(&self, memory: &Memory) -> Station {
        let values = memory.clone().with_part(self.fifos());
        Station::new(values).with_units(self.options(None).units).with_memory(memory.clone())
    }

    fn fifos(&self) -> Fifos {
        self.fifo.iter().fold(Fifos::new(), |all, Assignment { start, values }| {
            all.with_queue(start.address, values.iter().copied())
        })
    }

    fn service(&self, memory: &Memory) -> Result<BoxService, Failure> {
        let files = (1..=FILES).fold(Files::new(), |all, number| all.with_file(number, [0; RECORDS]));
        let device = memory
            .clone()
            .with_part(files)
            .with_part(self.fifos())
            .with_part(ServerId::new("dinrail"))
            .with_status_coils(0)
            .with_identity(DeviceIdentity::new("dinrail", "serve", concat!("V", env!("CARGO_PKG_VERSION"))));
        let service = if self.read_only { ReadOnly(device).boxed() } else { device.boxed() };
        self.secure.service(service)
    }

    fn options(&self, metrics: Option<Metrics>) -> server::Options {
        let options = server::Options::default()
            .with_name(NAME)
            .with_threads(self.threads)
            .with_diagnostics(self.diagnostics)
            .with_metrics(metrics);
        let options = match &self.interface {
            Some(interface) => options.with_interface(interface),
            None => options,
        };
        match self.unit {
            Unit::Any => options,
            Unit::Only(unit) => options.with_units([unit]),
        }
    }
}

/// Sets the values of the demo again and again.
async fn keep_moving(memory: &Memory, start: Instant) {
    let mut steps = tokio::time::interval(demo::STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        steps.tick().await;
        demo::set(memory, start.elapsed(), since_1970());
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
