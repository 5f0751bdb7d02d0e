//! `dinrail completions`: lets a shell complete commands and options.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::failure::Failure;
use crate::output;

/// Print a script that lets your shell complete dinrail's commands and options
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  bash  dinrail completions bash > ~/.local/share/bash-completion/completions/dinrail
  zsh   dinrail completions zsh > ~/.zfunc/_dinrail        with fpath+=~/.zfunc before compinit in ~/.zshrc
  fish  dinrail completions fish > ~/.config/fish/completions/dinrail.fish";

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Args::command(), "dinrail", &mut script);
        output::print(&String::from_utf8_lossy(&script))
    }
}
