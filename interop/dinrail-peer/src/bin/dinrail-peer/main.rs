//! dinrail's own side: `dinrail-peer serve MEDIUM [PATH]`, or `dinrail-peer client MEDIUM HOST PORT | MEDIUM PATH`.
//! A medium is the scheme of one of dinrail's URLs.

mod client;
mod security;
mod server;

use std::process::ExitCode;

use dinrail::FunctionCode;
use dinrail::proto::adu::{CustomLength, LengthRule};
use dinrail_peer::cells::CUSTOM_CODE;

/// The custom function, which the suite calls with three bytes. A line's silence would tell where it ends, too; RTU over
/// TCP has none.
static LENGTHS: &[CustomLength] = &[CustomLength::new(
    FunctionCode::new(CUSTOM_CODE).expect("between 1 and 127"),
    LengthRule::Fixed(4),
    LengthRule::Fixed(4),
)];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", medium] => server::run(&format!("{medium}://127.0.0.1:0")).await,
        ["serve", medium, path] => server::run(&format!("{medium}://{path}")).await,
        ["client", medium, path] => client::run(&format!("{medium}://{path}")).await,
        ["client", medium, host, port] => client::run(&format!("{medium}://{host}:{port}")).await,
        _ => {
            eprintln!("dinrail-peer serve MEDIUM [PATH]\ndinrail-peer client MEDIUM HOST PORT | MEDIUM PATH");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
