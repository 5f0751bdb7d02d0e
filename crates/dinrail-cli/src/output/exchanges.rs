//! Exchanges that were seen on a line, as text or as JSON.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use dinrail::proto::adu::Discard;
use dinrail::proto::pdu::{Bits, Registers};
use dinrail::proto::{Area, Request, Response};
use dinrail::sniff::{Event, Exchange, Outcome, Seen, Summary};
use serde::Serialize;

use super::readings::json_line;
use crate::args::Reference;

/// So many values of a reply, and bytes of garbage, stand in a line for people. JSON has them all.
const MANY: usize = 16;

/// Writes exchanges.
pub(crate) struct Exchanges {
    json: bool,
}

impl Exchanges {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The line for what was seen.
    pub(crate) fn render(&self, seen: &Seen) -> String {
        match (&seen.event, self.json) {
            (Event::Exchange(exchange), false) => text(seen, exchange),
            (Event::Exchange(exchange), true) => json(seen, exchange),
            (Event::Garbage { at, bytes, reason, awaited }, json) => {
                let awaited = awaited.map(|unit| unit.0);
                if json {
                    let line = Garbage {
                        time: stamp(*at),
                        link: &seen.link,
                        garbage: hex(bytes),
                        reason: why(*reason),
                        awaited,
                    };
                    return json_line(&line) + "\n";
                }
                let more = if bytes.len() > MANY { "..." } else { "" };
                let due = awaited.map_or(String::new(), |unit| format!("; the reply of unit {unit} was due"));
                let shown = hex(&bytes[..bytes.len().min(MANY)]);
                let (count, why) = (bytes.len(), why(*reason));
                format!("{}  {}  NO FRAME: {count} bytes {shown}{more} ({why}{due})\n", stamp(*at), seen.link)
            }
            (Event::Gap { at, bytes }, true) => {
                json_line(&Gap { time: stamp(*at), link: &seen.link, missing: *bytes }) + "\n"
            }
            (Event::Gap { at, bytes }, false) => {
                format!("{}  {}  GAP: {bytes} bytes are not in the capture\n", stamp(*at), seen.link)
            }
            // What a later library may see.
            (event, _) => format!("{event:?}\n"),
        }
    }

    /// What stands at the end.
    pub(crate) fn summary(&self, summary: &Summary) -> String {
        if self.json {
            return summary.units().fold(String::new(), |text, (server, unit, counts)| {
                let line = UnitLine {
                    summary: server,
                    unit,
                    requests: counts.requests,
                    answered: counts.answered,
                    exceptions: counts.exceptions,
                    unanswered: counts.unanswered,
                    strange: counts.strange,
                    broken: counts.broken,
                    mean_ms: counts.mean().map(millis),
                    max_ms: counts.mean().map(|_| millis(counts.longest)),
                };
                text + &json_line(&line) + "\n"
            });
        }
        let mut text = String::from("\n");
        let width = summary.units().map(|(server, ..)| server.len()).max().unwrap_or(0).max("LINE".len());
        let _ = writeln!(
            text,
            "{:width$}  UNIT  REQUESTS  ANSWERED  EXCEPTIONS  UNANSWERED  STRANGE  BROKEN     MEAN      MAX",
            "LINE"
        );
        for (server, unit, counts) in summary.units() {
            let time = |time: Option<Duration>| time.map_or("-".to_owned(), short);
            let _ = writeln!(
                text,
                "{server:width$}  {unit:>4}  {:>8}  {:>8}  {:>10}  {:>10}  {:>7}  {:>6}  {:>7}  {:>7}",
                counts.requests,
                counts.answered,
                counts.exceptions,
                counts.unanswered,
                counts.strange,
                counts.broken,
                time(counts.mean()),
                time(counts.mean().map(|_| counts.longest)),
            );
        }
        if summary.garbage() > 0 {
            let _ = writeln!(text, "{} bytes were no frame", summary.garbage());
        }
        if summary.missing() > 0 {
            let _ = writeln!(text, "{} bytes are not in the capture", summary.missing());
        }
        text
    }
}

fn text(seen: &Seen, exchange: &Exchange) -> String {
    let asked = Asked::of(exchange);
    let mut line = format!("{}  {}  unit {:<3}  {}", stamp(exchange.at), seen.link, exchange.unit.0, asked.name);
    if let Some(reference) = asked.reference {
        let _ = write!(line, " {reference}");
        if let Some(count) = asked.count {
            let _ = write!(line, " n={count}");
        }
    }
    let values = asked.values.as_deref();
    if let Some(values) = values {
        let shown: Vec<_> = values.iter().take(MANY).map(u16::to_string).collect();
        let more = if values.len() > MANY { ", ..." } else { "" };
        let _ = write!(line, " = {}{more}", shown.join(", "));
    }
    match exchange.outcome {
        Outcome::Answered | Outcome::NotToBeAnswered => {
            if exchange.outcome == Outcome::NotToBeAnswered {
                line += "  to all, or without an answer";
            } else if let (None, Some(reply)) = (values, &exchange.reply) {
                let _ = write!(line, "  {}", hex(&reply.as_bytes()[1..]));
            }
        }
        Outcome::Refused(code) => {
            let _ = write!(line, "  EXCEPTION {code}");
        }
        Outcome::Unanswered => line += "  NO ANSWER",
        Outcome::Unasked => line += "  A REPLY THAT NOBODY ASKED FOR",
        Outcome::Misanswered => {
            let reply = exchange.reply.as_ref().map(|reply| hex(reply.as_bytes())).unwrap_or_default();
            let _ = write!(line, "  A REPLY THAT DOES NOT FIT: {reply}");
        }
        outcome => {
            let _ = write!(line, "  {outcome:?}");
        }
    }
    if let Some(elapsed) = exchange.elapsed {
        let _ = write!(line, "  {}", short(elapsed));
    }
    line + "\n"
}

fn json(seen: &Seen, exchange: &Exchange) -> String {
    let asked = Asked::of(exchange);
    let bytes = |pdu: &Option<dinrail::proto::Pdu>| pdu.as_ref().map(|pdu| hex(pdu.as_bytes()));
    let line = Line {
        time: stamp(exchange.at),
        link: &seen.link,
        transaction: exchange.transaction,
        unit: exchange.unit.0,
        function: exchange.function().map(|function| function.code()),
        name: &asked.name,
        address: asked.reference.map(|reference| reference.to_string()),
        count: asked.count,
        values: asked.values.as_deref(),
        outcome: match exchange.outcome {
            Outcome::Answered => "answered",
            Outcome::Refused(_) => "exception",
            Outcome::Misanswered => "misanswered",
            Outcome::Unanswered => "unanswered",
            Outcome::NotToBeAnswered => "broadcast",
            Outcome::Unasked => "unasked",
            _ => "other",
        },
        exception: match exchange.outcome {
            Outcome::Refused(code) => Some(code.code()),
            _ => None,
        },
        ms: exchange.elapsed.map(millis),
        request: bytes(&exchange.request),
        reply: bytes(&exchange.reply),
    };
    json_line(&line) + "\n"
}

/// What a request asks for, and what was read or written.
struct Asked {
    name: String,
    reference: Option<Reference>,
    count: Option<u16>,
    /// Bits are 0 and 1.
    values: Option<Vec<u16>>,
}

impl Asked {
    fn of(exchange: &Exchange) -> Self {
        let function = exchange.function();
        let name = match function {
            Some(function) => function.name().map_or_else(|| format!("function {}", function.code()), str::to_owned),
            None => "no function".to_owned(),
        };
        let mut asked = Self { name, reference: None, count: None, values: None };
        let Some(Ok(request)) = exchange.request.as_ref().map(|pdu| Request::decode(pdu.as_bytes())) else {
            return asked;
        };
        let response = exchange.reply.as_ref().and_then(|pdu| Response::decode(&request, pdu.as_bytes()).ok());
        asked.take(&request, response.as_ref());
        asked
    }

    fn take(&mut self, request: &Request<'_>, response: Option<&Response<'_>>) {
        let registers = |values: &Registers<'_>| Some(values.iter().collect());
        let bits = |values: &Bits<'_>| Some(values.iter().map(u16::from).collect());
        let read = match response {
            Some(Response::ReadBits { values, .. }) => bits(values),
            Some(Response::ReadRegisters { values, .. } | Response::ReadWriteMultipleRegisters(values)) => {
                registers(values)
            }
            Some(Response::FifoQueue(values)) => registers(values),
            Some(Response::ExceptionStatus(status)) => Some(vec![u16::from(*status)]),
            _ => None,
        };
        let (area, address, count, values) = match request {
            Request::Read { area, address, count } => (*area, *address, Some(*count), read),
            Request::WriteSingleCoil { address, value } => (Area::Coil, *address, None, Some(vec![u16::from(*value)])),
            Request::WriteSingleRegister { address, value } => {
                (Area::HoldingRegister, *address, None, Some(vec![*value]))
            }
            Request::WriteMultipleCoils { address, values } => {
                (Area::Coil, *address, Some(values.len() as u16), bits(values))
            }
            Request::WriteMultipleRegisters { address, values } => {
                (Area::HoldingRegister, *address, Some(values.len() as u16), registers(values))
            }
            Request::MaskWriteRegister { address, and_mask, or_mask } => {
                let _ = write!(self.name, " (and {and_mask:#06x}, or {or_mask:#06x})");
                (Area::HoldingRegister, *address, None, None)
            }
            Request::ReadWriteMultipleRegisters { read_address, read_count, write_address, values } => {
                let _ = write!(self.name, " (writes hr:{write_address} n={})", values.len());
                (Area::HoldingRegister, *read_address, Some(*read_count), read)
            }
            Request::ReadFifoQueue { address } => (Area::HoldingRegister, *address, None, read),
            _ => {
                self.values = read;
                return;
            }
        };
        self.reference = Some(Reference { area, address });
        (self.count, self.values) = (count, values);
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    link: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<u16>,
    unit: u8,
    function: Option<u8>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<&'a [u16]>,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<String>,
}

#[derive(Serialize)]
struct Garbage<'a> {
    time: String,
    link: &'a str,
    garbage: String,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    awaited: Option<u8>,
}

#[derive(Serialize)]
struct Gap<'a> {
    time: String,
    link: &'a str,
    missing: u32,
}

#[derive(Serialize)]
struct UnitLine<'a> {
    summary: &'a str,
    unit: u8,
    requests: u64,
    answered: u64,
    exceptions: u64,
    unanswered: u64,
    strange: u64,
    broken: u64,
    mean_ms: Option<f64>,
    max_ms: Option<f64>,
}

fn stamp(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

fn why(reason: Discard) -> &'static str {
    match reason {
        Discard::Protocol => "not Modbus",
        Discard::Noise => "no right checksum",
        _ => "cut short",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Milliseconds with three digits behind the point.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

fn short(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
