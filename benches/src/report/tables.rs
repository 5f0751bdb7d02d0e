//! The tables: who against what.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::markdown::Table;
use crate::peer::{ClientName, ServerName};
use crate::results::{Cell, Figure, IdleFigure, Results, Sample, Spread};

/// Processor time of a request, one table for each depth.
pub(super) fn cost_of_servers(results: &Results) -> String {
    let mut text = String::new();
    for (depth, title) in depths(results) {
        let cells = cells(results, depth);
        let mut table = Table::new(heads("processor time of a request", &cells));
        for &name in ServerName::value_variants() {
            let row = cells.iter().map(|&cell| match (results.server(name, cell), name) {
                (Some(figure), ServerName::Floor) => {
                    figure.spread(Sample::cpu_us).map_or_else(|| trouble(figure), |us| format!("{:.2} us", us.median))
                }
                (Some(figure), _) => {
                    let floor = results.server(ServerName::Floor, cell);
                    floor.and_then(|floor| figure.ratio(floor)).map_or_else(|| trouble(figure), ratio)
                }
                (None, _) => NOT_THERE.to_owned(),
            });
            table.row(std::iter::once(name.label().to_owned()).chain(row));
        }
        // Writing to a String can't fail, here and below.
        let _ = write!(text, "## Servers, {title}\n\n{table}\n");
    }
    text
}

/// Requests a second and latencies.
pub(super) fn speed_of_servers(results: &Results) -> String {
    let mut text = String::new();
    for (depth, title) in depths(results) {
        let cells = cells(results, depth);
        let mut table = Table::new(heads("requests a second, p50 / p99 in us", &cells));
        for &name in ServerName::value_variants() {
            let row = cells.iter().map(|&cell| results.server(name, cell).map_or_else(|| NOT_THERE.to_owned(), speed));
            table.row(std::iter::once(name.label().to_owned()).chain(row));
        }
        let _ = write!(text, "### Speed, {title}\n\nServer and load on one processor.\n\n{table}\n");
    }
    text
}

/// Clients against the floor.
pub(super) fn clients(results: &Results) -> String {
    let mut shapes = Vec::new();
    for figure in &results.clients {
        if !shapes.contains(&figure.cell) {
            shapes.push(figure.cell);
        }
    }
    if shapes.is_empty() {
        return String::new();
    }
    let mut head = vec!["processor time of a call".to_owned()];
    for shape in &shapes {
        let calls = if shape.calls == 1 { "1 call".to_owned() } else { format!("{} calls", shape.calls) };
        let plural = if shape.connections == 1 { "" } else { "s" };
        head.extend([format!("{} connection{plural}, {calls}", shape.connections), "calls a second".to_owned()]);
    }
    let (mut table, mut remarks) = (Table::new(head), Vec::new());
    for &name in ClientName::value_variants() {
        let mut row = vec![name.label().to_owned()];
        for &shape in &shapes {
            let (Some(figure), raw) = (results.client(name, shape), results.client(ClientName::Raw, shape)) else {
                row.extend([name.not_offered(shape).unwrap_or(NOT_THERE).to_owned(), "-".to_owned()]);
                continue;
            };
            let cost = match name {
                ClientName::Raw => figure.spread(Sample::cpu_us).map(|us| format!("{:.2} us", us.median)),
                _ => raw.and_then(|raw| figure.ratio(raw)).map(ratio),
            };
            let mark = match name.remark(shape) {
                "" => String::new(),
                remark => format!(" {}", footnote(&mut remarks, remark)),
            };
            row.push(cost.unwrap_or_else(|| trouble(figure)) + &mark);
            row.push(figure.spread(Sample::rate).map_or_else(|| "-".to_owned(), |rate| thousands(rate.median)));
        }
        table.row(row);
    }
    let notes = remarks.iter().enumerate().map(|(at, remark)| format!("({}) {remark}.", letter(at)));
    let notes = notes.collect::<Vec<_>>().join(" ");
    format!("## Clients\n\n{table}\n{notes}\n")
}

/// What idle connections weigh.
pub(super) fn idle(results: &Results) -> String {
    if results.idle.is_empty() {
        return String::new();
    }
    let mut table = Table::new([
        "server",
        "bytes each, fresh",
        "bytes each, after a request",
        "opened",
        "answered",
        "seconds to open",
        "resident before",
    ]);
    for figure in &results.idle {
        // A server that closes connections is not weighed by those it keeps.
        let kept = figure.answered == figure.opened;
        let each = |resident| if kept { thousands(figure.each(resident)) } else { "-".to_owned() };
        table.row([
            figure.server.label().to_owned(),
            each(figure.fresh),
            each(figure.used),
            thousands(f64::from(figure.opened)),
            thousands(f64::from(figure.answered)),
            format!("{:.2}", figure.seconds),
            format!("{:.1} MiB", figure.before as f64 / 1024.0 / 1024.0),
        ]);
    }
    let wanted = results.idle.iter().map(|figure: &IdleFigure| figure.wanted).max().unwrap_or_default();
    format!(
        "## Idle connections\n\n{} connections are opened one after the other, for twelve seconds at most; then each \
         asks once. The kernel's\nmemory for sockets is not in these figures. Those in Rust listen with a backlog of \
         4096.\n\n{table}",
        thousands(f64::from(wanted))
    )
}

/// Instructions a request.
pub(super) fn instructions(results: &Results) -> String {
    let mut table = Table::new(["instructions a request", "fc3x10", "fc3x125"]);
    let mut some = false;
    for &name in ServerName::value_variants() {
        let of: Vec<_> = results.instructions.iter().filter(|figure| figure.server == name).collect();
        if let [ten, most] = of[..] {
            table.row([name.label().to_owned(), thousands(ten.instructions), thousands(most.instructions)]);
            some = true;
        }
    }
    if some { format!("## Instructions\n\n{table}") } else { String::new() }
}

/// Everyone without a figure, and why.
pub(super) fn not_measured(results: &Results) -> String {
    let mut lines = Vec::new();
    for (label, missing) in &results.missing {
        lines.push(format!("- {label}: {missing}"));
    }
    for figure in &results.servers {
        if let Some(trouble) = &figure.trouble {
            lines.push(format!("- {}, {}: {trouble}", figure.peer.label(), figure.cell));
        }
    }
    for figure in &results.clients {
        if let Some(trouble) = &figure.trouble {
            lines.push(format!("- {} (client): {trouble}", figure.peer.label()));
        }
    }
    if lines.is_empty() { String::new() } else { format!("## Not measured\n\n{}\n", lines.join("\n")) }
}

const NOT_THERE: &str = "not there";

fn depths(results: &Results) -> Vec<(usize, &'static str)> {
    let all = [(1, "one request at a time"), (16, "sixteen requests in flight on each connection")];
    all.into_iter().filter(|(depth, _)| results.servers.iter().any(|f| f.cell.depth == *depth)).collect()
}

fn cells(results: &Results, depth: usize) -> Vec<Cell> {
    let mut cells = results.cells();
    cells.retain(|cell| cell.depth == depth);
    cells
}

fn heads(first: &str, cells: &[Cell]) -> Vec<String> {
    let of = |cell: &Cell| match cell.connections {
        1 => format!("{}, 1 connection", cell.kind.label()),
        many => format!("{}, {many}", cell.kind.label()),
    };
    std::iter::once(first.to_owned()).chain(cells.iter().map(of)).collect()
}

fn ratio(Spread { median, min, max }: Spread) -> String {
    let digits = if median < 10.0 { 2 } else { 1 };
    format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
}

fn speed(figure: &Figure<ServerName, Cell>) -> String {
    let of = |of: fn(&Sample) -> f64| figure.spread(of).map(|spread| spread.median);
    match (of(Sample::rate), of(|s| s.p50_us), of(|s| s.p99_us)) {
        (Some(rate), Some(p50), Some(p99)) => format!("{}, {p50:.0} / {p99:.0}", thousands(rate)),
        _ => trouble(figure),
    }
}

/// One word for the table; the sentence is in the list of those not measured.
fn trouble<P, C>(figure: &Figure<P, C>) -> String {
    let drops = figure.trouble.as_ref().is_some_and(|trouble| trouble.starts_with("drops"));
    if drops { "drops".to_owned() } else { "fails".to_owned() }
}

fn footnote(remarks: &mut Vec<&'static str>, remark: &'static str) -> String {
    let at = remarks.iter().position(|known| *known == remark).unwrap_or_else(|| {
        remarks.push(remark);
        remarks.len() - 1
    });
    format!("({})", letter(at))
}

fn letter(at: usize) -> char {
    // There are two remarks in all.
    char::from(b'a' + at as u8)
}

/// A whole number with a space between thousands.
pub(super) fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted() {
        let parted: Vec<_> = [0.0, 999.4, 1000.0, 1_234_567.0].map(thousands).into();
        assert_eq!(parted, ["0", "999", "1 000", "1 234 567"]);
    }
}
