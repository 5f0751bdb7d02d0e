//! `dinrail sniff`: what others say to each other, on a serial bus or in a capture.

mod filter;
mod source;

use std::io;
use std::time::{Duration, SystemTime};

use dinrail::sniff::{Capture, CaptureOptions, Event, Observer, Seen, Summary};
use dinrail::transport::{Burst, Connect as _, Kind, Serial};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use self::filter::Filter;
use self::source::Source;
use super::signal::Stop;
use crate::args::{parse_area, parse_duration};
use crate::failure::Failure;
use crate::output::{self, Exchanges};

/// Shorter silences end no burst: adapters on USB hand over bytes in heaps, up to 16 ms apart.
const LEAST_SILENCE: Duration = Duration::from_millis(25);

/// Show what others say to each other: requests paired with their replies
///
/// Listens to a serial bus without ever writing to it, or reads a capture of tcpdump, Wireshark or dinrail. At the end,
/// or on Ctrl-C, it sums up for each unit.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, verbatim_doc_comment)]
pub(crate) struct Sniff {
    /// A serial port, a capture file, or - for a capture from standard input
    ///
    /// rtu:///dev/ttyUSB0 or ascii:///dev/ttyUSB0; behind a question mark the settings that differ from 19200 baud,
    /// even parity, one stop bit: ?baud=9600&parity=none&stop=2.
    #[arg(value_name = "SOURCE", verbatim_doc_comment)]
    source: Source,

    /// Only these units.
    #[arg(short, long, value_name = "N,...", value_delimiter = ',')]
    unit: Vec<u8>,

    /// Only these functions, by their code.
    #[arg(short, long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=127))]
    function: Vec<u8>,

    /// Only requests for these areas: co, di, ir, hr.
    #[arg(short, long, value_name = "AREA,...", value_delimiter = ',', value_parser = parse_area)]
    area: Vec<dinrail::Area>,

    /// The ports of servers in a capture.
    #[arg(short, long, value_name = "PORT,...", value_delimiter = ',', default_value = "502")]
    port: Vec<u16>,

    /// The framing of connections in a capture.
    #[arg(long, value_name = "FRAMING", default_value = "tcp", value_parser = ["tcp", "rtu", "ascii"])]
    framing: String,

    /// When a request counts as unanswered: 1s on serial lines, 10s on TCP unless given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  dinrail sniff 'rtu:///dev/ttyUSB0?baud=9600&parity=none'
  dinrail sniff plant.pcapng --unit 17 --area hr
  dinrail sniff plant.pcap --port 502,5020 --json
  tcpdump -i eth0 -U -w - port 502 | dinrail sniff -
A shell wants quotes around an address with & in it.";

impl Sniff {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let mut shown = Shown {
            filter: Filter { units: self.unit.clone(), functions: self.function.clone(), areas: self.area.clone() },
            exchanges: Exchanges::new(self.json),
            summary: Summary::new(),
        };
        let ended = match &self.source {
            Source::Port(port) => self.listen(port, &mut stop, &mut shown).await,
            Source::File(path) => {
                let capture = Capture::open(path, self.options());
                let capture = capture.map_err(|error| Failure::Unreachable(format!("{}: {error}", path.display())))?;
                read(capture, &mut stop, &mut shown).await
            }
            Source::Input => {
                let options = self.options();
                read_from(move || Capture::from_reader(io::stdin(), options), &mut stop, &mut shown).await
            }
        };
        // Whatever ended it, what was seen was seen; but a reader who is gone wants no summary.
        if !matches!(ended, Err(Failure::ReaderGone)) {
            output::print(&shown.exchanges.summary(&shown.summary))?;
        }
        ended
    }

    fn options(&self) -> CaptureOptions {
        let framing = match self.framing.as_str() {
            "rtu" => dinrail::proto::Framing::Rtu,
            "ascii" => dinrail::proto::Framing::Ascii,
            _ => dinrail::proto::Framing::Tcp,
        };
        CaptureOptions::default().with_ports(self.port.clone()).with_framing(framing).with_timeout(self.timeout)
    }

    /// Listens to a port until it is told to stop.
    async fn listen(&self, port: &Serial, stop: &mut Stop, shown: &mut Shown) -> Result<(), Failure> {
        let gone = |error: &io::Error| Failure::Unreachable(format!("{port}: {error}"));
        let mut line = port.connect().await.map_err(|error| {
            Failure::Unreachable(format!(
                "{port}: {error}; is the port there, free, and yours to open (group dialout)?"
            ))
        })?;
        let silence = match port.burst() {
            Burst::Silence(silence) => silence.max(LEAST_SILENCE),
            _ => LEAST_SILENCE,
        };
        let framing = port.framing();
        let mut observer = match self.timeout {
            Some(timeout) => Observer::with_timeout(framing, timeout),
            None => Observer::new(framing),
        };
        let name: std::sync::Arc<str> = port.path().into();
        let mut events = Vec::new();
        let mut buffer = [0; 1024];
        let mut show = |events: &mut Vec<Event>| {
            events.drain(..).try_for_each(|event| shown.show(&Seen::new(name.clone(), name.clone(), event)))
        };
        output::complain(&format!("listening on {port}; Ctrl-C ends it"));
        let ended = loop {
            tokio::select! {
                read = line.read(&mut buffer) => match read {
                    Ok(0) => break Err(Failure::Unreachable(format!("{port}: the port is gone"))),
                    Ok(read) => observer.bytes(SystemTime::now(), Kind::Either, &buffer[..read], &mut events),
                    Err(error) => break Err(gone(&error)),
                },
                () = tokio::time::sleep(silence) => {
                    let now = SystemTime::now();
                    observer.end_of_burst(now, &mut events);
                    observer.advance(now, &mut events);
                }
                () = stop.requested() => break Ok(()),
            }
            show(&mut events)?;
        };
        observer.finish(&mut events);
        show(&mut events)?;
        ended
    }
}

/// Reads a capture to its end, or until it is told to stop.
async fn read(capture: Capture, stop: &mut Stop, shown: &mut Shown) -> Result<(), Failure> {
    read_from(move || Ok(capture), stop, shown).await
}

async fn read_from(
    open: impl FnOnce() -> io::Result<Capture> + Send + 'static,
    stop: &mut Stop,
    shown: &mut Shown,
) -> Result<(), Failure> {
    let (sender, mut seen) = mpsc::channel(256);
    // A thread that nobody waits for: a pipe may stay silent for ever.
    std::thread::spawn(move || {
        let mut capture = match open() {
            Ok(capture) => capture,
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        let mut is_empty = true;
        for seen in &mut capture {
            is_empty &= seen.is_err();
            if sender.blocking_send(seen).is_err() {
                return;
            }
        }
        if capture.is_cut() {
            output::complain("the capture is cut off at its end");
        }
        if is_empty && let Some(hint) = elsewhere(&capture) {
            output::complain(&hint);
        }
    });
    let mut ended = Ok(());
    loop {
        tokio::select! {
            next = seen.recv() => match next {
                None => return ended,
                Some(Ok(seen)) => shown.show(&seen)?,
                Some(Err(error)) => ended = Err(Failure::Unreachable(error.to_string())),
            },
            () = stop.requested() => return ended,
        }
    }
}

/// Where there is something in a capture that was looked at in the wrong place.
fn elsewhere(capture: &Capture) -> Option<String> {
    let mut ports: Vec<_> = capture.other_ports().collect();
    ports.sort_by_key(|&(_, packets)| std::cmp::Reverse(packets));
    let (&(port, _), total) = (ports.first()?, capture.packets());
    let most: Vec<_> = ports.iter().take(5).map(|(port, packets)| format!("{port} ({packets} packets)")).collect();
    Some(format!(
        "no Modbus was found in {total} packets; there are other ports: {}; name the servers', as in --port {port}",
        most.join(", ")
    ))
}

/// What goes to the user, and is counted.
struct Shown {
    filter: Filter,
    exchanges: Exchanges,
    summary: Summary,
}

impl Shown {
    fn show(&mut self, seen: &Seen) -> Result<(), Failure> {
        if self.filter.wants(&seen.event) {
            self.summary.count(seen);
            output::print(&self.exchanges.render(seen))?;
        }
        Ok(())
    }
}
