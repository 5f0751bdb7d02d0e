//! dinrail's own side: `dinrail-peer serve [udp]`, or `dinrail-peer client [udp] HOST PORT`.

mod client;
mod server;

use std::process::ExitCode;

/// What frames travel over.
#[derive(Clone, Copy)]
enum Medium {
    Tcp,
    Udp,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => server::run(Medium::Tcp).await,
        ["serve", "udp"] => server::run(Medium::Udp).await,
        ["client", host, port] => client::run(Medium::Tcp, &format!("{host}:{port}")).await,
        ["client", "udp", host, port] => client::run(Medium::Udp, &format!("{host}:{port}")).await,
        _ => {
            eprintln!("dinrail-peer serve [udp] | dinrail-peer client [udp] HOST PORT");
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
