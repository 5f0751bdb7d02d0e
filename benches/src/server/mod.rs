//! The servers that are ours to write: the floor, dinrail's and tokio-modbus's. Each prints `ready PORT`, serves
//! 127.0.0.1 and ends when its standard input closes, so that none outlives the one who started it.

mod bare_tokio;
mod dinrail;
mod floor;
mod store;
mod tokio_modbus;

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

use ::dinrail::server::Metrics;
use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};
use tokio::net::unix::pipe;
use tokio::runtime::Runtime;

use crate::peer::ServerName;

/// Connections that may wait to be accepted. std, mio and tokio take 128, and a burst beyond it waits a second for
/// each.
const BACKLOG: i32 = 4096;

/// Serves as `server` until standard input closes; `port` 0 is any.
pub fn serve(server: ServerName, port: u16) -> Result<()> {
    match server {
        ServerName::Floor => floor::serve(listen(port)?),
        ServerName::BareTokio => bare_tokio::serve(listen(port)?),
        ServerName::Dinrail => dinrail::serve(port, Some(1), None),
        ServerName::DinrailRuntime => dinrail::serve(port, None, None),
        ServerName::DinrailMetrics => dinrail::serve(port, Some(1), Some(Metrics::new())),
        ServerName::TokioModbus => tokio_modbus::serve(listen(port)?, true),
        ServerName::TokioModbusNagle => tokio_modbus::serve(listen(port)?, false),
        other => bail!("{} is not in this binary", other.label()),
    }
}

/// Listens and says so.
fn listen(port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).with_context(|| format!("{address} can't be listened on; name another port"))?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    announce(listener.local_addr()?.port())?;
    Ok(listener)
}

/// Tells whoever started us where we listen.
fn announce(port: u16) -> Result<()> {
    println!("ready {port}");
    Ok(std::io::stdout().flush()?)
}

/// Standard input, if it is the pipe of whoever started us. The servers wait for its end within their own loops: a
/// second thread would make every system call of the C library dearer.
fn input() -> Option<OwnedFd> {
    let input = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    File::from(input.try_clone().ok()?).metadata().ok()?.file_type().is_fifo().then_some(input)
}

/// A current_thread runtime whose process ends with standard input.
fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(input) = input() {
        let _inside = runtime.enter();
        let input = pipe::Receiver::from_owned_fd(input)?;
        runtime.spawn(async move {
            // Nobody writes to it: readable means closed.
            let _ = input.readable().await;
            std::process::exit(0);
        });
    }
    Ok(runtime)
}
