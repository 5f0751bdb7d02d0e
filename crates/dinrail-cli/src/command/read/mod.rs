//! `dinrail read`: values of a device, once or again and again.

mod plan;

use std::time::{Duration, SystemTime};

use dinrail::client::Backoff;
use dinrail::proto::Area;
use dinrail::proto::pdu::Registers;
use dinrail::proto::value::{Order, Value};
use dinrail::{Client, Error};
use tokio::time::MissedTickBehavior;
use tracing::debug;

use self::plan::Plan;
use crate::args::{Device, NOTATIONS, Notation, Reference, parse_duration};
use crate::failure::Failure;
use crate::output::{self, Format, Readings, Row};

/// Read coils, inputs and registers
///
/// A terminal is shown a table; a pipe gets one bare value a line, and with --json one object a line:
/// {"time":"2026-01-31T12:00:00.000Z","unit":1,"address":"hr:0","type":"u16","value":42}
/// Numbers are numbers, bits are true and false, text, hex and bin are strings, and so are NaN, inf and -inf.
/// With --every, a reading that fails is an object as well, with "error" in place of "type" and "value".
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{NOTATIONS}"), verbatim_doc_comment)]
pub(crate) struct Read {
    #[command(flatten)]
    device: Device,

    /// The first address: co:0, di:0, ir:0, hr:0 or a number such as 40001.
    #[arg(value_name = "AREA:ADDR")]
    start: Reference,

    /// How many values; more than one request carries are read in several.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1)]
    count: u32,

    /// What registers hold, u16 unless given; the types are listed below.
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    notation: Option<Notation>,

    /// The order of words and bytes: ABCD, CDAB, BADC or DCBA; see below.
    #[arg(long, default_value_t)]
    order: Order,

    /// Write one JSON object a value and line.
    #[arg(long)]
    json: bool,

    /// Read again and again, so often, until Ctrl-C; an error does not end it.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    every: Option<Duration>,
}

const EXAMPLES: &str = "\
Examples:
  dinrail read plc hr:0 -n 10                         ten holding registers of plc:502, unit 1
  dinrail read 192.168.0.17:1502 40001 --unit 5       the same as hr:0
  dinrail read plc ir:8 --type f32 --order CDAB       a float with its low word first
  dinrail read plc hr:100 --type str:16               a name of 16 bytes
  dinrail read plc co:0 -n 8 --every 1s               coils, each second
  dinrail read plc hr:0 -n 4 --json --every 1s >> log.jsonl
  setpoint=$(dinrail read plc hr:20) || echo \"no setpoint, exit code $?\"";

impl Read {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let plan = Plan::new(self.start, self.notation, self.count).map_err(Failure::Usage)?;
        match self.every {
            None => self.once(&plan).await,
            Some(period) => self.again_and_again(&plan, period).await,
        }
    }

    async fn once(&self, plan: &Plan) -> Result<(), Failure> {
        let client = self.device.connect().await.map_err(|error| Failure::of_read(self.start, &error))?;
        let readings = self.read(&client, plan).await?;
        output::print(&readings.render(Format::chosen(self.json), false))
    }

    /// Only what will not be any better next time ends this.
    async fn again_and_again(&self, plan: &Plan, period: Duration) -> Result<(), Failure> {
        let format = Format::chosen(self.json);
        let patience = Backoff::new(period.min(Duration::from_millis(100)), period.min(Duration::from_secs(5)));
        let connector = self.device.connector().map_err(|error| Failure::Usage(error.to_string()))?;
        let client = Client::lazy(connector, self.device.options().with_reconnect(patience));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.read(&client, plan).await {
                Ok(readings) => output::print(&readings.render(format, true))?,
                Err(Failure::Refused(sentence) | Failure::Unreachable(sentence)) => {
                    output::complain(&sentence);
                    if format == Format::Json {
                        output::print(&output::failed_reading(self.device.unit, self.start, &sentence))?;
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn read(&self, client: &Client, plan: &Plan) -> Result<Readings, Failure> {
        let mut values = Vec::new();
        for (address, count) in plan.requests() {
            let place = Reference { address, ..self.start };
            let part = self.read_part(client, plan, place, count).await;
            values.extend(part.map_err(|error| Failure::of_read(place, &error))?);
        }
        let rows = values.into_iter().enumerate();
        let rows = rows.map(|(index, value)| Row { reference: plan.reference(index), value }).collect();
        Ok(Readings { time: SystemTime::now(), unit: self.device.unit, notation: plan.notation, rows })
    }

    /// One request's values.
    async fn read_part(
        &self,
        client: &Client,
        plan: &Plan,
        Reference { area, address }: Reference,
        count: u16,
    ) -> Result<Vec<Value>, Error> {
        debug!(unit = self.device.unit, ?area, address, count, "reading");
        Ok(match area {
            Area::Coil => from_bits(client.read_coils(address, count).await?),
            Area::DiscreteInput => from_bits(client.read_discrete_inputs(address, count).await?),
            Area::HoldingRegister => self.decode(plan, &client.read_holding_registers(address, count).await?),
            Area::InputRegister => self.decode(plan, &client.read_input_registers(address, count).await?),
        })
    }

    fn decode(&self, plan: &Plan, registers: &[u16]) -> Vec<Value> {
        let data_type = plan.data_type();
        let each = registers.chunks_exact(data_type.registers());
        let decode = |registers| data_type.decode(self.order, Registers::from(registers));
        each.map(|registers| decode(registers).expect("a chunk has as many registers as the type")).collect()
    }
}

fn from_bits(bits: Vec<bool>) -> Vec<Value> {
    bits.into_iter().map(Value::Bit).collect()
}
