//! `dinrail console`: reads and sets values of servers that run, by the lines of text that their console understands.

mod editor;
mod link;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use self::editor::Editor;
use self::link::{Answer, Link};
use crate::args::parse_duration;
use crate::failure::Failure;
use crate::output;

/// Where a console is unless somebody says otherwise.
pub(crate) const ADDRESS: &str = "127.0.0.1:7020";

/// Read and set values of servers that run with --console.
///
/// With a command behind the address it does that and ends. On a terminal it asks for commands, line by line; from a
/// pipe it takes one a line, leaves out empty ones and those that begin with #, and ends at the first that cannot be
/// done. What a command shows goes to standard output; an error goes to standard error, and the exit code is 1.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, verbatim_doc_comment)]
pub(crate) struct Console {
    /// Choose this server first, as `use NAME` does; where there is one, it is chosen.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,

    /// How long to wait for a connection or a reply.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_duration)]
    timeout: Duration,

    /// Where the console is, 127.0.0.1:7020 unless given.
    #[arg(value_name = "HOST:PORT")]
    address: Option<String>,

    /// What is to be done, such as get 1 hr 0 10; help says what there is.
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

const HELP: &str = "\
Examples:
  dinrail serve --console                           in one terminal, and in another:
  dinrail console                                   asks for commands, until quit or Ctrl-D
  dinrail console get 1 hr 0 10                     ten holding registers of unit 1
  dinrail console set 1 ir 0 42                     an input register, which no client can write
  dinrail console --server plc 127.0.0.1:7021 set 1 di 3 on
  dinrail console < morning.txt                     a command a line
  printf 'stats\\nquit\\n' | nc 127.0.0.1 7020        the same without dinrail

Commands:
  get UNIT AREA ADDR[:TYPE] [COUNT]                 AREA is co, di, hr or ir; ADDR as on the wire, from 0
  set UNIT AREA ADDR[:TYPE] VALUE...                42, -1, 0x1F; on or off for bits; set 1 hr 10:f32 21.5
  stats, servers, use NAME, help, quit";

/// The commands of a console.
const COMMANDS: [&str; 8] = ["get", "set", "stats", "servers", "use", "help", "quit", "exit"];

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

impl Console {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (address, command) = self.said()?;
        if command.contains(['\n', '\r']) || self.server.as_ref().is_some_and(|name| name.contains(['\n', '\r'])) {
            return Err(Failure::Usage("one command at a time: several come in by a pipe, one a line".to_owned()));
        }
        let mut link = Link::connect(address, self.timeout)?;
        if let Some(name) = &self.server {
            self.must(&mut link, &format!("use {name}"), "")?;
        }
        if !command.is_empty() {
            return self.must(&mut link, &command, "");
        }
        if io::stdin().is_terminal() { self.converse(&mut link) } else { self.read(&mut link) }
    }

    /// Where, and what: the address may be left out.
    fn said(&self) -> Result<(&str, String), Failure> {
        let address = self.address.as_deref().unwrap_or(ADDRESS);
        if is_address(address) {
            return Ok((address, self.command.join(" ")));
        }
        if COMMANDS.iter().any(|command| command.eq_ignore_ascii_case(address)) {
            let words: Vec<_> = std::iter::once(address).chain(self.command.iter().map(String::as_str)).collect();
            return Ok((ADDRESS, words.join(" ")));
        }
        let sentence = "is neither a command nor the address of a console: write a host and a port, such as";
        Err(Failure::Usage(format!("{address:?} {sentence} {ADDRESS}, or one of {}", COMMANDS[..7].join(", "))))
    }

    /// Does what has to be done.
    fn must(&self, link: &mut Link, command: &str, place: &str) -> Result<(), Failure> {
        match link.ask(command, output::print)? {
            Answer::Done | Answer::Ended => Ok(()),
            Answer::Error(sentence) => Err(Failure::Refused(format!("{place}{sentence}"))),
        }
    }

    /// Does what comes in by a pipe.
    fn read(&self, link: &mut Link) -> Result<(), Failure> {
        for (number, line) in (1..).zip(io::stdin().lock().lines()) {
            let line = line?;
            let command = line.trim();
            if command.is_empty() || command.starts_with('#') {
                continue;
            }
            self.must(link, command, &format!("line {number}: "))?;
            if is_quit(command) {
                break;
            }
        }
        Ok(())
    }

    /// Asks a person for commands.
    fn converse(&self, link: &mut Link) -> Result<(), Failure> {
        let mut editor = Editor::new()?;
        let mut chosen = self.server.clone().unwrap_or_else(|| "dinrail".to_owned());
        while let Some(line) = editor.line(&format!("{chosen}> "))? {
            let command = line.trim();
            if command.is_empty() {
                continue;
            }
            match link.ask(command, output::print)? {
                Answer::Error(sentence) => output::complain(&sentence),
                Answer::Ended => break,
                Answer::Done => {}
            }
            if is_quit(command) {
                break;
            }
            if let Some(("use", name)) = command.split_once(char::is_whitespace) {
                chosen = name.trim().escape_debug().to_string();
            }
        }
        Ok(())
    }
}

fn is_quit(command: &str) -> bool {
    ["quit", "exit"].iter().any(|word| word.eq_ignore_ascii_case(command))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn said(words: &str) -> Result<(String, String), Failure> {
        let args = Args::try_parse_from(["dinrail", "console"].into_iter().chain(words.split_whitespace()));
        let Command::Console(console) = args.expect(words).command else { panic!("{words}") };
        console.said().map(|(address, command)| (address.to_owned(), command))
    }

    #[test]
    fn an_address_may_stand_before_the_command() {
        let table = [
            ("", ADDRESS, ""),
            ("plc:7", "plc:7", ""),
            ("[::1]:7 stats", "[::1]:7", "stats"),
            ("127.0.0.1:7 --server a set 1 hr 0 -1", "127.0.0.1:7", "set 1 hr 0 -1"),
            ("set 1 hr 0 -1", ADDRESS, "set 1 hr 0 -1"),
            ("--server a STATS", ADDRESS, "STATS"),
        ];
        for (words, address, command) in table {
            assert_eq!(said(words), Ok((address.to_owned(), command.to_owned())), "{words}");
        }
        for words in ["plc", "plc get 1 hr 0", ":7", "127.0.0.1:", "127.0.0.1:70000"] {
            assert!(matches!(said(words), Err(Failure::Usage(_))), "{words}");
        }
    }
}
