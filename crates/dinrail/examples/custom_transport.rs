//! A transport of one's own: client and server in one process, joined by pipes. `cargo run --example custom_transport`
//!
//! A server takes its connections from a `Listener`, a client makes them with a `Connect`. Both hand over a stream of
//! bytes; framing, matching and reconnecting are done above it.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::fmt;
use std::io;

use dinrail::client::{self, Client};
use dinrail::server::{self, serve_listener};
use dinrail::service::{Memory, Peer};
use dinrail::transport::{Connect, Listener};
use dinrail::{Area, Error};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};

/// The server's end: connections that were asked for.
struct Incoming(mpsc::Receiver<DuplexStream>);

impl Listener for Incoming {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, Peer::default())),
            // Nobody is left to connect; the server waits until it is stopped.
            None => std::future::pending().await,
        }
    }
}

/// The client's end: makes a pipe and hands the other end of it over.
struct InProcess(mpsc::Sender<DuplexStream>);

impl Connect for InProcess {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(1024);
        let refused = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "the server has stopped");
        self.0.send(far).await.map_err(refused)?;
        Ok(near)
    }
}

/// Names the peer in errors.
impl fmt::Display for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server in this process")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (registers, connections) = converse().await?;
    println!("read {registers:?}; the server closed {connections} connection when it stopped");
    Ok(())
}

/// Writes, reads, and stops the server: what was read, and how many connections were closed then.
pub async fn converse() -> Result<(Vec<u16>, usize), Error> {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0, &[1, 2, 3])?;
    let (connect, incoming) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { stopped.await.unwrap_or_default() };
    let server = tokio::spawn(serve_listener(Incoming(incoming), memory, server::Options::default(), shutdown));

    let client = Client::connect_with(InProcess(connect), client::Options::default()).await?;
    client.write_register(3, 4).await?;
    let registers = client.read_holding_registers(0, 5).await?;

    let _ = stop.send(());
    let report = server.await.map_err(io::Error::from)??;
    Ok((registers, report.drained))
}
