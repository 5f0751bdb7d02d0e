//! What dinrail promises about its speed, and whether this run bears it out.

use super::markdown::Table;
use super::tables::thousands;
use crate::frame::Kind;
use crate::peer::{ClientName, ServerName, Shape};
use crate::results::{Cell, Results};

/// Instructions of a request, at most. `make test` enforces them; this is where the report has them from.
const INSTRUCTIONS: [(Kind, f64); 2] = [(Kind::Read10, 1600.0), (Kind::Read125, 2000.0)];

/// Bytes of an idle connection, at most: 1.2 KiB.
const IDLE_BYTES: f64 = 1.2 * 1024.0;

/// Seconds for ten thousand connections, at most.
const OPEN_SECONDS: f64 = 1.0;

/// Those that must cost more than dinrail, always.
const PEERS: [ServerName; 5] = [
    ServerName::TokioModbus,
    ServerName::TokioModbusNagle,
    ServerName::Libmodbus,
    ServerName::Pymodbus,
    ServerName::ModbusSerial,
];

/// The section, with a row for each target.
pub(super) fn section(results: &Results) -> String {
    let mut table = Table::new(["what dinrail promises", "limit", "measured", ""]);
    let all =
        [floor(results), peers(results), pipelined(results), clients(results), idle(results), instructions(results)];
    for Target { what, limit, measured, holds } in all.into_iter().flatten() {
        let verdict = match holds {
            Some(true) => "holds",
            Some(false) => "**misses**",
            None => "not measured",
        };
        table.row([what, limit, measured.unwrap_or_else(|| "-".to_owned()), verdict.to_owned()]);
    }
    format!("## Targets\n\n{table}")
}

struct Target {
    what: String,
    limit: String,
    measured: Option<String>,
    holds: Option<bool>,
}

impl Target {
    /// A figure that must not be above `limit`.
    fn at_most(what: impl Into<String>, limit: f64, measured: Option<f64>, show: impl Fn(f64) -> String) -> Self {
        Self {
            what: what.into(),
            limit: format!("at most {}", show(limit)),
            holds: measured.map(|figure| figure <= limit),
            measured: measured.map(show),
        }
    }
}

fn two_digits(figure: f64) -> String {
    format!("{figure:.2}")
}

/// Against the floor, each load.
fn floor(results: &Results) -> Vec<Target> {
    let target = |cell: Cell| {
        let limit = match cell {
            Cell { depth: 16, .. } => 1.15,
            Cell { connections: 1 | 1000, .. } => 1.10,
            _ => 1.05,
        };
        let what = format!("server / floor: {cell}");
        Target::at_most(what, limit, against(results, ServerName::Dinrail, ServerName::Floor, cell), two_digits)
    };
    results.cells().into_iter().map(target).collect()
}

/// Against every peer, all loads in one row.
fn peers(results: &Results) -> Vec<Target> {
    let nearest = results
        .cells()
        .into_iter()
        .flat_map(|cell| PEERS.map(|peer| (cell, peer)))
        .filter_map(|(cell, peer)| Some((against(results, peer, ServerName::Dinrail, cell)?, cell, peer)))
        .min_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let measured = nearest.map(|(ratio, cell, peer)| format!("{ratio:.2} ({}; {cell})", peer.label()));
    vec![Target {
        what: "every peer / server, under every load: the nearest".to_owned(),
        limit: "above 1".to_owned(),
        holds: nearest.map(|(ratio, ..)| ratio > 1.0),
        measured,
    }]
}

/// Pipelined, against tokio-modbus: the load on which it comes nearest.
fn pipelined(results: &Results) -> Vec<Target> {
    let target = |(peer, limit): (ServerName, f64)| {
        let cells = results.cells().into_iter().filter(|cell| cell.depth > 1);
        let worst = cells.filter_map(|cell| against(results, ServerName::Dinrail, peer, cell)).max_by(f64::total_cmp);
        Target::at_most(format!("server / {}, depth 16: the worst", peer.label()), limit, worst, two_digits)
    };
    [(ServerName::TokioModbus, 0.12), (ServerName::TokioModbusNagle, 0.35)].map(target).into()
}

fn clients(results: &Results) -> Vec<Target> {
    let shape = |connections, calls| Shape { connections, calls };
    let ratio = |of: ClientName, shape| results.client(ClientName::Dinrail, shape)?.ratio(results.client(of, shape)?);
    [
        ("client / bare client: 1 call", ClientName::Raw, shape(1, 1), 1.10),
        ("client / bare client: 100 connections", ClientName::Raw, shape(100, 1), 1.10),
        ("client / tokio-modbus: 16 calls in flight", ClientName::TokioModbus, shape(1, 16), 0.15),
    ]
    .map(|(what, of, shape, limit)| Target::at_most(what, limit, ratio(of, shape).map(|r| r.median), two_digits))
    .into()
}

fn idle(results: &Results) -> Vec<Target> {
    let figure = results.idle.iter().find(|figure| figure.server == ServerName::Dinrail);
    // What was not opened, or did not answer, was not served.
    let whole = figure.filter(|figure| figure.opened == figure.wanted && figure.answered == figure.wanted);
    let bytes = whole.map(|figure| figure.each(figure.used.max(figure.fresh)));
    vec![
        Target::at_most("bytes of an idle connection", IDLE_BYTES, bytes, thousands),
        Target::at_most("seconds to open 10 000", OPEN_SECONDS, whole.map(|figure| figure.seconds), two_digits),
    ]
}

fn instructions(results: &Results) -> Vec<Target> {
    let target = |(kind, limit): (Kind, f64)| {
        let mut figures = results.instructions.iter();
        let figure = figures.find(|figure| figure.server == ServerName::Dinrail && figure.kind == kind);
        let what = format!("instructions a request, {}", kind.label());
        Target::at_most(what, limit, figure.map(|figure| figure.instructions), thousands)
    };
    INSTRUCTIONS.map(target).into()
}

/// The processor time of a request as a multiple of another server's.
fn against(results: &Results, server: ServerName, unit: ServerName, cell: Cell) -> Option<f64> {
    Some(results.server(server, cell)?.ratio(results.server(unit, cell)?)?.median)
}
