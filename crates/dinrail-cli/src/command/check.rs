//! `dinrail check`: whether a file can be served, without starting anything.

use std::path::PathBuf;

use super::serve::load;
use crate::failure::Failure;
use crate::output;

/// Check a file for `serve --config`, and start nothing
///
/// Shows every problem with its place and what to do about it, and exits with 2; or a line a server, and exits with 0.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    /// The file.
    #[arg(value_name = "FILE.toml", required_unless_present = "schema")]
    file: Option<PathBuf>,

    /// Write the JSON Schema of such files instead, for editors.
    #[arg(long, conflicts_with = "file")]
    schema: bool,
}

const EXAMPLES: &str = "\
Examples:
  dinrail check plant.toml                          what is wrong with it, and what to do about that
  dinrail check --schema > dinrail.schema.json      for editors that complete and check TOML";

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Some(file) = self.file else {
            return output::print(&format!("{}\n", dinrail_gateway::config::schema()));
        };
        match load(&file) {
            Ok(plan) => {
                let servers =
                    if plan.count() == 1 { "1 server".to_owned() } else { format!("{} servers", plan.count()) };
                output::print(&format!("{} is good: {servers}\n{plan}", file.display()))
            }
            Err(1) => Err(Failure::Usage(format!("{}: 1 problem", file.display()))),
            Err(count) => Err(Failure::Usage(format!("{}: {count} problems", file.display()))),
        }
    }
}
