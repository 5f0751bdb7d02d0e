//! A connection to a console: a line there, and lines back up to a single dot.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::failure::Failure;

/// How long a line of a reply may be, in bytes; those of a console are far shorter.
const LONGEST: u64 = 1 << 20;

const MISTAKEN: &str = "is this the address of a console, and not that of a server?";

pub(super) struct Link {
    address: String,
    stream: BufReader<TcpStream>,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Error(String),
    /// The console closed the connection when it was asked to.
    Ended,
}

impl Link {
    pub(super) fn connect(address: &str, timeout: Duration) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let mend = match error.kind() {
                io::ErrorKind::ConnectionRefused => "; nobody listens there: start dinrail serve with --console",
                _ => "",
            };
            Failure::Unreachable(format!("cannot connect to {address}: {error}{mend}"))
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for place in address.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&place, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(timeout))?;
                    stream.set_write_timeout(Some(timeout))?;
                    return Ok(Self { address: address.to_owned(), stream: BufReader::new(stream) });
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// Sends a line and shows the lines of the reply, as they come, but for those of an error.
    pub(super) fn ask(
        &mut self,
        command: &str,
        mut show: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<Answer, Failure> {
        // A console that had something to say and hung up is still heard.
        let sent = self.stream.get_mut().write_all(format!("{command}\n").as_bytes());
        let mut error: Option<String> = None;
        let mut is_first = true;
        loop {
            let mut line = String::new();
            let read = (&mut self.stream).take(LONGEST).read_line(&mut line);
            let why = match read {
                Ok(0) => match &sent {
                    Ok(()) => format!("it closed the connection; {MISTAKEN}"),
                    Err(error) => error.to_string(),
                },
                Ok(_) if line.ends_with('\n') => match (line.trim_end_matches(['\r', '\n']), &mut error) {
                    (".", _) => return Ok(error.map_or(Answer::Done, Answer::Error)),
                    (line, Some(error)) => {
                        error.push('\n');
                        error.push_str(line);
                        continue;
                    }
                    (text, none) => {
                        match text.strip_prefix("error: ") {
                            Some(sentence) if is_first => *none = Some(sentence.to_owned()),
                            _ => show(&format!("{text}\n"))?,
                        }
                        is_first = false;
                        continue;
                    }
                },
                Ok(_) => "it broke off in the middle of a line".to_owned(),
                Err(error) if is_late(&error) => format!("it does not answer in time; {MISTAKEN}"),
                Err(error) => error.to_string(),
            };
            return match error {
                Some(sentence) => Ok(Answer::Error(sentence)),
                None if super::is_quit(command) => Ok(Answer::Ended),
                None => Err(Failure::Unreachable(format!("the console at {}: {why}", self.address))),
            };
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
