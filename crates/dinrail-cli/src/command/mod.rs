//! The commands: each has its arguments and what it does with them.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod console;
pub(crate) mod pki;
pub(crate) mod read;
pub(crate) mod scan;
pub(crate) mod serve;
mod signal;
pub(crate) mod sniff;
pub(crate) mod watch;
pub(crate) mod write;
pub(crate) mod ws_bridge;

use std::future::Future;

use crate::args::Command;
use crate::failure::Failure;

/// Does what was asked for.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(serve) => block_on(serve.run()),
        Command::Check(check) => check.run(),
        Command::Read(read) => block_on(read.run()),
        Command::Write(write) => block_on(write.run()),
        Command::Watch(watch) => block_on(watch.run()),
        Command::Scan(scan) => block_on(scan.run()),
        Command::Sniff(sniff) => block_on(sniff.run()),
        Command::Bench(bench) => block_on(bench.run()),
        Command::Console(console) => console.run(),
        Command::WsBridge(bridge) => block_on(bridge.run()),
        Command::Pki(pki) => pki.run(),
        Command::Completions(completions) => completions.run(),
    }
}

/// Runs a command on this thread.
pub(crate) fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}
