//! `dinrail bench`: how many requests a second a server answers, and how long each takes.

mod load;
mod report;

use std::time::{Duration, Instant};

use dinrail::client::MAX_DEPTH;
use dinrail::proto::Request;
use tokio::time::MissedTickBehavior;

use self::load::Load;
use super::signal::Stop;
use crate::args::{Device, Reference, parse_duration};
use crate::failure::Failure;
use crate::output;

/// Measure requests a second and latencies of a server
///
/// Each connection keeps DEPTH requests unanswered at any time, and asks again as soon as one is answered.
/// Ctrl-C ends it early and still reports. Do not point it at a device that is at work.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, verbatim_doc_comment)]
pub(crate) struct Bench {
    #[command(flatten)]
    device: Device,

    /// How many connections.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,

    /// How many requests a connection keeps unanswered; above 1 only if the server can.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=MAX_DEPTH as i64))]
    depth: u8,

    /// How long to measure.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    duration: Duration,

    /// What each request reads.
    #[arg(long, value_name = "AREA:ADDR", default_value = "hr:0")]
    read: Reference,

    /// How many coils, inputs or registers each request reads.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    count: u16,

    /// How many threads ask; one that is busy all the time measures itself.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,

    /// Ask with dinrail's blocking client: a thread a connection, one request at a time.
    #[arg(long, conflicts_with_all = ["depth", "threads"])]
    blocking: bool,

    /// Write the result as one JSON object.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  dinrail bench 127.0.0.1:5020                                one request at a time, for 5 s
  dinrail bench 127.0.0.1:5020 --connections 50 --duration 10s
  dinrail bench 127.0.0.1:5020 --depth 16 --read ir:0 -n 125  pipelined, full requests
  dinrail bench 127.0.0.1:5020 --blocking                     with the client that needs no async
  dinrail bench 127.0.0.1:5020 --json

The JSON object: {\"requests\":N,\"seconds\":S,\"requests_per_second\":R,\"latency_us\":{\"min\":..,\"mean\":..,
\"p50\":..,\"p90\":..,\"p99\":..,\"p99.9\":..,\"max\":..},\"errors\":{\"sentence\":N}}; requests that failed are in
\"errors\" only. With errors the exit code is 1.";

/// How often the progress line is written.
const PROGRESS: Duration = Duration::from_millis(250);

impl Bench {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let load = self.load()?;
        let running = tokio::select! {
            connected = load.connect() => connected?,
            () = stop.requested() => return Err(Failure::Interrupted),
        };
        let start = Instant::now();
        running.start(start + self.duration);
        let interrupted = tokio::select! {
            () = tokio::time::sleep(self.duration) => false,
            () = stop.requested() => true,
            () = show_progress(start, || running.answered()) => false,
        };
        running.stop();
        let tally = tokio::select! {
            tally = running.finish() => tally?,
            () = stop.requested() => return Err(Failure::Interrupted),
        };
        output::progress("");
        let report = tally.report(start.elapsed());
        output::print(&if self.json { report.to_json() } else { report.to_text() })?;
        match report.errors.values().sum::<u64>() {
            _ if interrupted => Err(Failure::Interrupted),
            0 => Ok(()),
            failed => Err(Failure::Refused(format!("{failed} of {} requests failed", report.requests + failed))),
        }
    }

    fn load(&self) -> Result<Load, Failure> {
        let Reference { area, address } = self.read;
        let request = Request::Read { area, address, count: self.count }.encode();
        Ok(Load {
            connector: self.device.connector().map_err(|error| Failure::Usage(error.to_string()))?,
            options: self.device.options().with_depth(usize::from(self.depth)),
            request: request.map_err(|error| Failure::Usage(format!("{}: {error}", self.read)))?,
            connections: self.connections.into(),
            threads: self.threads.into(),
            blocking: self.blocking,
        })
    }
}

/// Tells a person at a terminal how it goes, for as long as it is polled.
async fn show_progress(start: Instant, answered: impl Fn() -> u64) {
    let mut ticks = tokio::time::interval(PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await; // the first one is at once
    let mut before = (start, 0);
    loop {
        ticks.tick().await;
        let now = (Instant::now(), answered());
        let rate = (now.1 - before.1) as f64 / (now.0 - before.0).as_secs_f64();
        output::progress(&format!("{:6.1} s  {rate:8.0} requests/s", start.elapsed().as_secs_f64()));
        before = now;
    }
}
