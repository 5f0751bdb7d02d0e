//! The `dinrail` command line: arguments and output. What happens in between is the `dinrail` library's.
#![forbid(unsafe_code)]

mod args;
mod command;
mod failure;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(message) => return output::show_usage(&message),
    };
    output::log(args.verbose, args.log_format);
    match command::run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(sentence) = failure.sentence() {
                output::complain(sentence);
            }
            failure.exit_code().into()
        }
    }
}
