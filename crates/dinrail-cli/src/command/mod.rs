//! The commands: each has its arguments and what it does with them.

pub(crate) mod completions;
pub(crate) mod serve;
mod signal;

use std::future::Future;

use crate::args::Command;
use crate::failure::Failure;

/// Does what was asked for.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(serve) => block_on(serve.run()),
        Command::Completions(completions) => completions.run(),
    }
}

/// Runs a command on this thread.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}
