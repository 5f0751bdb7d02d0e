//! One client of the console: a line, a reply, and so on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dinrail::UnitId;
use dinrail::service::Peer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, info};

use super::command::{self, Command, HELP, Place};
use super::lines::{Line, Lines};
use super::rows::rows;
use super::{Desk, IDLE, LONGEST_LINE, PATIENCE};

/// How much of a reply is put together before it is sent.
const PIECE: usize = 16 * 1024;

/// How many of the values that were set are in the log.
const LOGGED: usize = 16;

/// Serves a client until it goes, or has to.
pub(super) async fn run(mut stream: TcpStream, peer: SocketAddr, desk: Desk) {
    debug!(target: "dinrail::console", %peer, "connected");
    let ended = converse(&mut stream, peer, desk).await;
    match ended {
        Ok(End::Gone) => debug!(target: "dinrail::console", %peer, "disconnected"),
        Ok(End::Refused(why)) => {
            info!(target: "dinrail::console", %peer, why, "disconnected");
            part(stream).await;
        }
        Err(error) => debug!(target: "dinrail::console", %peer, %error, "disconnected"),
    }
}

/// Why it is over.
enum End {
    /// It went, or asked to go.
    Gone,
    /// It was sent away.
    Refused(&'static str),
}

async fn converse(stream: &mut TcpStream, peer: SocketAddr, desk: Desk) -> std::io::Result<End> {
    let (reader, writer) = stream.split();
    let mut lines = Lines::of(reader);
    let mut session =
        Session { peer: Peer::at(peer), desk, chosen: None, reply: Reply { writer, text: String::new() } };
    loop {
        let Ok(line) = timeout(IDLE, lines.next()).await else { return Ok(End::Gone) };
        let line = match line? {
            Line::Text(line) => line,
            Line::End => return Ok(End::Gone),
            Line::TooLong => {
                session.reply.error(&format!("a line has {LONGEST_LINE} bytes at most: set values in parts")).await?;
                return Ok(End::Refused("a line was too long"));
            }
            Line::NoText => {
                session.reply.error("this is the console of dinrail, and these bytes are no text: try help").await?;
                return Ok(End::Refused("it sent what is no text"));
            }
        };
        if is_http(&line) {
            let sentence = "this is the console of dinrail, and no web server: take dinrail console, or nc";
            session.reply.error(sentence).await?;
            return Ok(End::Refused("it spoke HTTP, as a browser does"));
        }
        if session.answer(&line).await? {
            return Ok(End::Gone);
        }
    }
}

/// Whether a line begins a request of HTTP: `POST /path HTTP/1.1`. What follows it may look like commands, and came from
/// somebody who is not the one at this machine.
fn is_http(line: &str) -> bool {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(_), Some(_), Some(version), None) => {
            version.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("HTTP/"))
        }
        (Some(_), Some(target), None, None) => target.starts_with('/'), // of HTTP/0.9
        _ => false,
    }
}

/// Lets what was written arrive: with bytes left unread the system would cut the connection, and the reply with it.
async fn part(mut stream: TcpStream) {
    let gone = async {
        let _ = stream.shutdown().await;
        let mut scratch = [0; 1024];
        for _ in 0..64 {
            if !matches!(stream.read(&mut scratch).await, Ok(1..)) {
                break;
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), gone).await; // and after that it need not
}

struct Session<W> {
    peer: Peer,
    desk: Desk,
    chosen: Option<Arc<str>>,
    reply: Reply<W>,
}

impl<W: tokio::io::AsyncWrite + Unpin> Session<W> {
    /// Answers a line; whether it was the last one.
    async fn answer(&mut self, line: &str) -> std::io::Result<bool> {
        let done = match command::parse(line) {
            Ok(Command::Get { unit, place, items }) => self.get(unit, place, items).await,
            Ok(Command::Set { unit, place, values }) => self.set(unit, place, &values).await,
            Ok(Command::Use(name)) => self.choose(name),
            Ok(Command::Nothing) => Ok(Shown::Text(String::new())),
            Ok(Command::Help) => Ok(Shown::Text(HELP.to_owned())),
            Ok(Command::Stats) => Ok(Shown::Text(self.desk.stats())),
            Ok(Command::Servers) => Ok(Shown::Text(self.desk.list(self.chosen.as_deref()))),
            Ok(Command::Quit) => {
                self.reply.end().await?;
                return Ok(true);
            }
            Err(sentence) => Err(sentence),
        };
        match done {
            Err(sentence) => self.reply.error(&sentence).await?,
            Ok(Shown::Text(text)) => {
                self.reply.add(&text).await?;
                self.reply.end().await?;
            }
            Ok(Shown::Values(place, values)) => {
                for row in rows(place, &values) {
                    self.reply.add(&row).await?;
                }
                self.reply.end().await?;
            }
        }
        Ok(false)
    }

    async fn get(&self, unit: UnitId, place: Place, items: usize) -> Result<Shown, String> {
        let (_, station) = self.desk.station(self.chosen.as_deref())?;
        station.check_unit(unit)?;
        Ok(Shown::Values(place, station.read(unit, &self.peer, place, items).await?))
    }

    /// Sets values, and shows what stands there now.
    async fn set(&self, unit: UnitId, place: Place, values: &[u16]) -> Result<Shown, String> {
        let (server, station) = self.desk.station(self.chosen.as_deref())?;
        station.check_unit(unit)?;
        station.write(unit, &self.peer, place, values).await?;
        let (first, peer) = (place.name(place.address.into()), &self.peer);
        let begin = &values[..values.len().min(LOGGED)];
        info!(target: "dinrail::console", %peer, %server, %unit, from = first, count = values.len(), values = ?begin, "set");
        let shown = station.read(unit, &self.peer, place, values.len()).await;
        shown.map(|values| Shown::Values(place, values)).map_err(|why| format!("it was set; but {why}"))
    }

    fn choose(&mut self, name: &str) -> Result<Shown, String> {
        self.chosen = Some(self.desk.find(name)?.name);
        Ok(Shown::Text(String::new()))
    }
}

/// What a reply shows.
enum Shown {
    Text(String),
    Values(Place, Vec<u16>),
}

/// A reply on its way, which is sent in pieces: it is never there as a whole.
struct Reply<W> {
    writer: W,
    text: String,
}

impl<W: tokio::io::AsyncWrite + Unpin> Reply<W> {
    async fn add(&mut self, text: &str) -> std::io::Result<()> {
        self.text.push_str(text);
        if self.text.len() >= PIECE { self.send().await } else { Ok(()) }
    }

    async fn end(&mut self) -> std::io::Result<()> {
        self.text.push_str(".\n");
        self.send().await
    }

    async fn error(&mut self, sentence: &str) -> std::io::Result<()> {
        self.text.push_str("error: ");
        self.text.push_str(sentence);
        self.text.push('\n');
        self.end().await
    }

    async fn send(&mut self) -> std::io::Result<()> {
        let mut left = self.text.as_bytes();
        while !left.is_empty() {
            let taken = timeout(PATIENCE, self.writer.write(left)).await??;
            if taken == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            left = &left[taken..];
        }
        self.text.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_browsers_are_known() {
        for line in [
            "POST / HTTP/1.1",
            "GET /get%201%20hr%200 HTTP/1.1",
            "OPTIONS * HTTP/1.0",
            "set http://127.0.0.1:7020/ http/1.1",
            "PRI * HTTP/2.0",
            "GET /",
        ] {
            assert!(is_http(line), "{line}");
        }
        for line in ["", "get 1 hr 0", "set 1 hr 0:str:8 x HTTP/1.1", "use HTTP/1.1", "help", "get 1 hr", "a b HTT"] {
            assert!(!is_http(line), "{line}");
        }
    }
}
