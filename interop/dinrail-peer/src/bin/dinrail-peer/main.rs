//! dinrail's own side: `dinrail-peer serve [udp | rtu PATH | ascii PATH]`, or
//! `dinrail-peer client [[udp] HOST PORT | rtu PATH | ascii PATH]`.

mod client;
mod server;

use std::process::ExitCode;

/// What frames travel over.
#[derive(Clone, Copy)]
enum Medium {
    Tcp,
    Udp,
    Rtu,
    Ascii,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => server::run(Medium::Tcp, "127.0.0.1:0").await,
        ["serve", "udp"] => server::run(Medium::Udp, "127.0.0.1:0").await,
        ["serve", "rtu", path] => server::run(Medium::Rtu, path).await,
        ["serve", "ascii", path] => server::run(Medium::Ascii, path).await,
        ["client", "rtu", path] => client::run(Medium::Rtu, path).await,
        ["client", "ascii", path] => client::run(Medium::Ascii, path).await,
        ["client", host, port] => client::run(Medium::Tcp, &format!("{host}:{port}")).await,
        ["client", "udp", host, port] => client::run(Medium::Udp, &format!("{host}:{port}")).await,
        _ => {
            eprintln!("dinrail-peer serve [udp | rtu PATH | ascii PATH]");
            eprintln!("dinrail-peer client [[udp] HOST PORT | rtu PATH | ascii PATH]");
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
