//! dinrail's own side: `dinrail-peer serve`, or `dinrail-peer client HOST PORT`.

mod client;
mod server;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => server::run().await,
        ["client", host, port] => client::run(&format!("{host}:{port}")).await,
        _ => {
            eprintln!("dinrail-peer serve | dinrail-peer client HOST PORT");
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
