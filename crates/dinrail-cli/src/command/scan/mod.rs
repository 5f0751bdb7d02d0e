//! `dinrail scan`: which units answer, and which of their addresses.

mod report;
mod search;

use std::time::{Duration, Instant};

use dinrail::client::{Backoff, Options};
use dinrail::proto::pdu::device_id::ReadDeviceId;
use dinrail::proto::{Area, ExceptionCode};
use dinrail::transport::Endpoint;
use dinrail::{Client, Error};
use indicatif::{ProgressBar, ProgressStyle};

use self::report::{AreaReport, Report, UnitReport};
use self::search::{Block, Search};
use super::signal::Stop;
use crate::args::{Line, Ranges, parse_area};
use crate::failure::Failure;
use crate::output;

/// Find the units of a line or host, and which of their addresses answer
///
/// Nothing is written: units are found by reading one holding register, and whoever answers is there, with an exception as
/// well. Then each unit's areas are read in large blocks, and in ever smaller ones where a block is refused. Ctrl-C ends
/// it with a report of what was found so far, and so does a device that goes away, with exit code 3. A unit that says
/// nothing costs --timeout, on a serial line and behind a host alike, and never ends the scan.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, verbatim_doc_comment)]
#[command(mut_arg("timeout", |timeout| timeout.default_value("300ms")))]
pub(crate) struct Scan {
    #[command(flatten)]
    line: Line,

    /// The units to look for.
    #[arg(short, long, value_name = "N,N-M", default_value = "1-247")]
    units: Ranges,

    /// The addresses to look at in each area.
    #[arg(short, long, value_name = "N,N-M", default_value = "0-999")]
    addresses: Ranges,

    /// The areas to look at.
    #[arg(long, value_name = "AREA", value_delimiter = ',', default_value = "hr,ir,co,di", value_parser = parse_area)]
    areas: Vec<Area>,

    /// Only find the units.
    #[arg(long)]
    units_only: bool,

    /// The most registers in one request, for devices that take fewer than 125.
    #[arg(long, value_name = "N", default_value = "125", value_parser = clap::value_parser!(u16).range(1..=125))]
    block: u16,

    /// Write the report as one JSON object.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  dinrail scan 'rtu:///dev/ttyUSB0?baud=9600'                a serial line
  dinrail scan 192.168.0.17 --units 1 --addresses 0-9999     one unit, more of it
  dinrail scan rtu+tcp://gateway:4001 --units-only           who is there behind a device server?
  dinrail scan plc --areas hr,ir --json > plc.json";

/// An area in which so many blocks in a row have no answer has nobody behind it any more.
const PATIENCE: u32 = 3;

/// The longest pause before a connection that a host has closed is made again.
const PAUSE: Duration = Duration::from_millis(100);

impl Scan {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.check()?;
        let mut stop = Stop::listen()?;
        let start = Instant::now();
        let mut report = Report::new(self.line.endpoint.to_string());
        let result = tokio::select! {
            result = self.scan(&mut report) => result,
            () = stop.requested() => Err(Failure::Interrupted),
        };
        report.seconds = start.elapsed().as_secs_f64();
        report.interrupted = matches!(result, Err(Failure::Interrupted));
        report.error = result.as_ref().err().and_then(Failure::sentence).map(str::to_owned);
        // Where nobody was there to begin with, there is nothing to report.
        if report.error.is_none() || report.requests > 0 {
            output::print(&if self.json { report.to_json() } else { report.to_text() })?;
        }
        result
    }

    fn check(&self) -> Result<(), Failure> {
        let is_bus = matches!(self.line.endpoint, Endpoint::Serial(_));
        match self.units.numbers().find(|unit| *unit > 255 || is_bus && *unit == 0) {
            Some(0) => {
                Err(Failure::Usage("unit 0 is every unit on a serial line, and none answers: take 1-247".to_owned()))
            }
            Some(unit) => Err(Failure::Usage(format!("{unit} is no unit: take 0 to 255"))),
            None => Ok(()),
        }
    }

    /// How to talk to a host most of whose units are not there. One that says nothing for those is not gone, so its
    /// connection is kept; and one that closes it for each of them is asked for the next one before that times out, so
    /// pauses do not grow. A host that is really gone without a word costs each unit a timeout, as on a serial line.
    fn options(&self) -> Options {
        let options = self.line.options();
        let pause = (options.timeout / 4).clamp(Duration::from_millis(1), PAUSE);
        options.with_give_up_after(None).with_reconnect(Backoff::new(pause, pause))
    }

    async fn scan(&self, report: &mut Report) -> Result<(), Failure> {
        let client = self.line.connect(self.options()).await;
        let client = client.map_err(|error| Failure::Unreachable(error.to_string()))?;
        self.find_units(&client, report).await?;
        // A device that answers whatever unit it is asked for is one device.
        if report.answers_every_unit() && report.units.len() > 1 {
            report.units.truncate(1);
            report.any_unit = true;
        }
        if self.units_only {
            return Ok(());
        }
        for index in 0..report.units.len() {
            let unit = report.units[index].unit;
            self.look_into(&client.unit(unit), &mut report.units[index], &mut report.requests).await?;
        }
        Ok(())
    }

    async fn find_units(&self, client: &Client, report: &mut Report) -> Result<(), Failure> {
        let bar = bar(self.units.numbers().count() as u64);
        for unit in self.units.numbers() {
            let unit = unit as u8; // checked before
            bar.set_message(format!("unit {unit}; {} answer so far", report.units.len()));
            report.requests += 1;
            report.asked_units += 1;
            match client.unit(unit).read_holding_registers(0, 1).await {
                Ok(_) => report.units.push(UnitReport::new(unit)),
                Err(Error::Exception(code)) if is_from_device(code) => report.units.push(UnitReport::new(unit)),
                Err(Error::Exception(_) | Error::Timeout { .. }) => {}
                // The next one may be luckier: some gateways close for a unit that they do not know.
                Err(Error::Lost { .. }) => {}
                Err(error) => return Err(Failure::Unreachable(error.to_string())),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn look_into(&self, client: &Client, unit: &mut UnitReport, requests: &mut u64) -> Result<(), Failure> {
        *requests += 1;
        if let Ok(objects) = client.read_device_identification(ReadDeviceId::Basic).await {
            unit.identify(&objects);
        }
        for area in &self.areas {
            let (found, ended) = self.search(client, unit.unit, *area, requests).await;
            unit.areas.push(found);
            ended?;
        }
        Ok(())
    }

    /// What is found, also when the device goes away meanwhile.
    async fn search(
        &self,
        client: &Client,
        unit: u8,
        area: Area,
        requests: &mut u64,
    ) -> (AreaReport, Result<(), Failure>) {
        let is_bits = matches!(area, Area::Coil | Area::DiscreteInput);
        let longest = if is_bits { self.block * 16 } else { self.block };
        let mut search = Search::new(self.addresses.iter(), longest);
        let asked = self.addresses.numbers().count() as u64;
        let bar = bar(asked);
        bar.set_message(format!("unit {unit}, {}", report::name(area)));
        let (mut unanswered, mut refusal, mut ended) = (0, None, Ok(()));
        while let Some(block) = search.next() {
            *requests += 1;
            match read(client, area, block).await {
                Ok(()) => search.answered(block),
                Err(Error::Exception(ExceptionCode::IllegalFunction)) => {
                    refusal = Some(ExceptionCode::IllegalFunction);
                    break;
                }
                Err(Error::Exception(code)) => {
                    refusal.get_or_insert(code);
                    search.refused(block);
                }
                Err(Error::Timeout { .. } | Error::Lost { .. }) => {
                    search.unanswered(block);
                    unanswered += 1;
                    if unanswered == PATIENCE {
                        break;
                    }
                    continue;
                }
                Err(error) => {
                    ended = Err(Failure::Unreachable(error.to_string()));
                    break;
                }
            }
            unanswered = 0;
            bar.set_position(search.decided());
        }
        bar.finish_and_clear();
        let report = AreaReport {
            area,
            asked,
            refusal,
            unanswered: search.unanswered_count(),
            given_up: unanswered == PATIENCE || ended.is_err(),
            found: search.into_found(),
        };
        (report, ended)
    }
}

async fn read(client: &Client, area: Area, Block { address, count }: Block) -> Result<(), Error> {
    match area {
        Area::Coil => client.read_coils(address, count).await.map(drop),
        Area::DiscreteInput => client.read_discrete_inputs(address, count).await.map(drop),
        Area::HoldingRegister => client.read_holding_registers(address, count).await.map(drop),
        Area::InputRegister => client.read_input_registers(address, count).await.map(drop),
    }
}

/// Whether it is the device that says so, not a gateway before it.
fn is_from_device(code: ExceptionCode) -> bool {
    !matches!(code, ExceptionCode::GatewayPathUnavailable | ExceptionCode::GatewayTargetFailedToRespond)
}

/// Shown on a terminal only.
fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:34!} [{bar:30}] {pos}/{len} {eta:>6}");
    let style = style.expect("the template is right").progress_chars("=> ");
    ProgressBar::new(length).with_style(style)
}
