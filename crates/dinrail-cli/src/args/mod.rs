//! What may be typed: the commands, and the types of their arguments.

mod assignment;
mod device;
mod notation;
mod ranges;
mod reference;
mod secret;
mod time;
mod watched;

use clap::{Parser, Subcommand};

pub(crate) use self::assignment::{Assignment, parse, split_type};
pub(crate) use self::device::{Device, Line};
pub(crate) use self::notation::{NOTATIONS, Notation};
pub(crate) use self::ranges::Ranges;
pub(crate) use self::reference::{Reference, parse_area, short_name};
pub(crate) use self::secret::secret;
pub(crate) use self::time::parse_duration;
pub(crate) use self::watched::Watched;
use crate::command::{bench, check, completions, console, pki, read, scan, serve, sniff, watch, write, ws_bridge};
use crate::output::LogFormat;

/// Modbus at a shell: read, write, scan, serve and measure.
#[derive(Debug, Parser)]
#[command(name = "dinrail", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Args {
    /// Say on standard error what is asked and by whom; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// How the log on standard error is written: text or json.
    ///
    /// With json every line is an object: timestamp, level, target, message, and server, peer and what else it is
    /// about. Complaints are records too then.
    #[arg(
        long,
        verbatim_doc_comment,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_default_value = true,
        hide_short_help = true,
        hide_possible_values = true
    )]
    pub(crate) log_format: LogFormat,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Read(read::Read),
    Write(write::Write),
    #[command(visible_alias = "monitor")]
    Watch(watch::Watch),
    Scan(scan::Scan),
    Sniff(sniff::Sniff),
    Bench(bench::Bench),
    Console(console::Console),
    WsBridge(ws_bridge::WsBridge),
    Pki(pki::Pki),
    Completions(completions::Completions),
}

const AFTER_HELP: &str = "\
Try it:
  dinrail serve --demo                              in one terminal, and in another:
  dinrail read 127.0.0.1:5020 ir:0 -n 4 --every 1s
  dinrail write 127.0.0.1:5020 hr:100 42

URL is one of
  tcp://HOST[:PORT]           Modbus TCP, port 502 when left out; HOST[:PORT] alone means the same
  tls://HOST[:PORT]           Modbus TCP Security, port 802
  udp://HOST[:PORT]           Modbus TCP frames in datagrams
  rtu:///dev/ttyUSB0          a serial port; settings: rtu:///dev/ttyUSB0?baud=9600&parity=none&stop=2
  ascii:///dev/ttyUSB0        the same with ASCII frames
  rtu+tcp://HOST[:PORT]       serial frames over TCP, for device servers; also ascii+tcp, rtu+udp, ascii+udp
AREA:ADDR is co: (coils), di: (discrete inputs), ir: (input registers) or hr: (holding registers) and an address
as on the wire, from 0: hr:0. The numbers of PLC documentation, which count from 1, are understood as well: 40001
and 400001 are hr:0, 30001 is ir:0, 10001 is di:0, 00001 is co:0.

Exit codes:
  0    done
  1    refused: the device answered with an exception, or the console with an error, or what was read back is not
       what was written
  2    the command line is wrong, or a value does not fit its type
  3    no connection, or no answer in time; for serve, the address cannot be listened on
  4    the outcome of a write is unknown: it was sent, and no answer came; read before writing again
  5    the system failed: no room on the disk, no file descriptor left; a write may have been done all the same
  130  interrupted by Ctrl-C (serve and ws-bridge end with 0)";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }
}
