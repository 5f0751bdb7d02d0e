//! `dinrail write`: sets coils and registers of a device, once and never twice.

mod plan;

use std::fmt::Write as _;

use dinrail::Error;
use dinrail::proto::value::Order;
use tracing::debug;

use self::plan::Plan;
use crate::args::{Device, NOTATIONS, Notation, Reference, split_type};
use crate::failure::Failure;
use crate::output;

/// Write coils and holding registers
///
/// All values go in one request: FC 5 or 6 for one coil or register, FC 15 or 16 for several, FC 22 for a
/// single bit of a register. Nothing is sent twice. When no answer comes, the device may or may not have done
/// it: the exit code is 4 then, and reading tells what it holds.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{NOTATIONS}"), verbatim_doc_comment)]
pub(crate) struct Write {
    #[command(flatten)]
    device: Device,

    /// The first address: co:0, hr:0 or a number such as 40001.
    #[arg(value_name = "AREA:ADDR", value_parser = parse_start)]
    start: Reference,

    /// Numbers, also with 0x, 0o or 0b in front; for coils and bits on, off, true, false, 1 or 0.
    #[arg(value_name = "VALUE", allow_negative_numbers = true, required = true)]
    values: Vec<String>,

    /// What registers hold, u16 unless given; the types are listed below.
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    notation: Option<Notation>,

    /// The order of words and bytes: ABCD, CDAB, BADC or DCBA; see below.
    #[arg(long, default_value_t)]
    order: Order,

    /// Use FC 15 or 16 for a single coil or register as well, for devices that know no others.
    #[arg(long)]
    multiple: bool,

    /// Read back what was written and compare.
    #[arg(long)]
    verify: bool,
}

const EXAMPLES: &str = "\
Examples:
  dinrail write plc hr:0 42                             one register of plc:502, unit 1
  dinrail write plc hr:0 1 2 3 --unit 5                 three registers in one request
  dinrail write plc co:7 on                             a coil
  dinrail write plc hr:8 21.5 --type f32 --order CDAB   a float with its low word first
  dinrail write plc hr:8 --type i16 -- -5               what begins with a minus may stand behind --
  dinrail write plc hr:3 on --type bit:4                bit 4 of a register; the others stay as they are
  dinrail write plc hr:0 42 --verify || echo \"exit code $?\"";

/// The first address; who writes `hr:0=1`, as `serve --set` takes it, is told how it is written here.
fn parse_start(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error| as_write(text).unwrap_or(error))
}

fn as_write(text: &str) -> Option<String> {
    let (place, values) = text.split_once('=')?;
    let (place, name) = split_type(place);
    let start: Reference = place.parse().ok()?;
    let (values, option) = match name {
        Some(text) if text.starts_with("str") => (format!("'{values}'"), format!(" --type {text}")),
        Some(name) => (values.replace(',', " "), format!(" --type {name}")),
        None => (values.replace(',', " "), String::new()),
    };
    Some(format!("the equals sign is for serve --set: write {start} {values}{option}"))
}

impl Write {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let plan = Plan::new(self.start, self.notation, self.order, &self.values).map_err(Failure::Usage)?;
        let request = plan.request(self.multiple);
        request.encode().map_err(|error| Failure::Usage(format!("{}: {error}", self.start)))?;
        let client = self.device.connect().await.map_err(|error| self.failed(&error))?;
        debug!(?request, "writing");
        client.call(&request).await.map_err(|error| self.failed(&error))?;
        if self.verify {
            plan.verify(&client).await?;
        }
        self.say_what_was_done(&plan)
    }

    fn failed(&self, error: &Error) -> Failure {
        Failure::of_write(self.start, error)
    }

    fn say_what_was_done(&self, plan: &Plan) -> Result<(), Failure> {
        let done = if self.verify { "wrote and verified" } else { "wrote" };
        let mut text = String::new();
        for (place, value) in plan.rows() {
            let _ = writeln!(text, "{done} {place} = {value}"); // writing to a string cannot fail
        }
        output::print(&text)
    }
}
