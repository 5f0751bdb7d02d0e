//! `dinrail watch`: what changes in a device, as a live table or a line a change.

use std::time::Duration;

use dinrail::Client;
use dinrail::client::Backoff;
use dinrail::point::Point;
use dinrail::proto::value::Order;
use dinrail::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::args::{Device, NOTATIONS, Notation, Watched, parse_duration};
use crate::failure::Failure;
use crate::output::{self, Format, Screen, WatchedRow, Window, change_json, change_line};

/// Show points of a device live, and what changes
///
/// A terminal is shown a table. A pipe gets a line a change: time, name, value and quality, with tabs between them,
/// and the error behind them if the quality is not good. With --json it is one object a line:
/// {"time":"2026-01-31T12:00:00.000Z","unit":1,"name":"a","address":"hr:0","type":"u16","value":4,"quality":"good"}
/// The first lines tell what every point is. Quality is good, stale (the device has not answered since, and the value
/// is the last one known) or bad (there is no value: the device refuses the point, or has never answered); if it is
/// not good there is an "error". A device that is away does not end it.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{NOTATIONS}"), verbatim_doc_comment)]
pub(crate) struct Watch {
    #[command(flatten)]
    device: Device,

    /// What to look at, such as hr:0 or level=ir:8:f32; u16 unless a type is given.
    #[arg(value_name = "[NAME=]AREA:ADDR[:TYPE]", required = true)]
    points: Vec<Watched>,

    /// How often the points are read.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    rate: Duration,

    /// The order of words and bytes: ABCD, CDAB, BADC or DCBA; see below.
    #[arg(long, default_value_t)]
    order: Order,

    /// Write one JSON object a change and line.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  dinrail watch plc hr:0 hr:1 co:3                            a table, until Ctrl-C
  dinrail watch plc level=ir:8:f32 pump=co:3 --rate 200ms     with names, five times a second
  dinrail watch plc 40001 40002:i16 --unit 5 --json >> log.jsonl
  dinrail watch plc alarm=di:0 | while read -r line; do notify-send \"$line\"; done";

/// How often the table is drawn.
const DRAW: Duration = Duration::from_millis(200);

impl Watch {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let connector = self.device.connector().map_err(|error| Failure::Usage(error.to_string()))?;
        let patience = Backoff::new(self.rate.min(Duration::from_millis(100)), Duration::from_secs(5));
        let client = Client::lazy(connector, self.device.options().with_reconnect(patience));
        let points: Vec<Point> = self.points.iter().map(|point| self.point(point)).collect();
        let watch = watch::Watch::new(client).every(self.rate, points);
        match Format::chosen(self.json) {
            Format::Table => self.draw(watch).await,
            format => self.tell(watch, format).await,
        }
    }

    fn point(&self, watched: &Watched) -> Point {
        let point = Point::new(&watched.name, watched.start.area, watched.start.address).with_order(self.order);
        match watched.notation {
            Some(notation) => point.with_type(Notation::data_type(notation)),
            None => point,
        }
    }

    async fn tell(&self, mut watch: watch::Watch, format: Format) -> Result<(), Failure> {
        while let Some(change) = watch.next().await {
            let point = &self.points[change.index];
            output::print(&match format {
                Format::Json => change_json(self.device.unit, point, &change),
                _ => change_line(point, &change),
            })?;
        }
        Ok(())
    }

    async fn draw(&self, mut watch: watch::Watch) -> Result<(), Failure> {
        let mut rows: Vec<WatchedRow> = self.points.iter().map(WatchedRow::new).collect();
        let mut screen = Screen::default();
        let mut ticks = interval(DRAW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                change = watch.next() => match change {
                    Some(change) => rows[change.index].change(&change),
                    None => return Ok(()),
                },
                _ = ticks.tick() => {
                    for state in watch.image() {
                        rows[state.index].refresh(&state);
                    }
                    output::print(&screen.draw(&rows, Window::present()))?;
                }
            }
        }
    }
}
