//! The console: an operator's way to look at running servers and to set their values, by lines of text over TCP, also by
//! hand with `nc`. It knows no passwords, so it listens on this machine only unless it is told otherwise.
//!
//! A client sends a line, ended by LF or CRLF, and is sent lines of which the last is a single `.`; a reply to what cannot
//! be done begins with `error: `. `help` says what may be asked. What a browser sends, or anything else that is no text,
//! ends its connection before any of it is done: pages of strangers can make a browser here send to any port of this
//! machine.
//!
//! Memory is bounded: so many connections, a line of so many bytes, and of a client that does not read nothing more is read.

mod command;
mod desk;
mod lines;
mod listen;
mod rows;
mod session;
mod station;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dinrail::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, info, warn};

pub use self::desk::Desk;
pub use self::listen::{BadListen, Listen};
pub use self::station::Station;
pub(crate) use self::station::Store;

/// How many clients may be there at once.
pub const MOST_CLIENTS: usize = 16;
/// How many bytes a line may have, its end included.
pub const LONGEST_LINE: usize = 8192;
/// A client that asks nothing for so long is let go.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// A client that takes nothing of its reply for so long is let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// A console that listens. Dropping it closes it and all its connections.
#[derive(Debug)]
pub struct Console {
    listen: Listen,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Console {
    /// Listens, for the servers of `desk`. It needs a tokio runtime, and serves in it.
    ///
    /// # Errors
    /// [`Error::Bind`] when the address cannot be listened on.
    pub async fn start(listen: Listen, desk: Desk) -> Result<Self, Error> {
        let failed = |source| Error::Bind { address: listen.address().to_string().into(), source: Arc::new(source) };
        let listener = TcpListener::bind(listen.address()).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if address.ip().to_canonical().is_loopback() {
            info!(target: "dinrail::console", %address, "console");
        } else {
            warn!(target: "dinrail::console", %address, "console: anybody who can connect can set values: there are no passwords");
        }
        Ok(Self { listen, address, task: tokio::spawn(accept(listener, desk)) })
    }

    /// Where it was told to listen.
    pub fn listen(&self) -> Listen {
        self.listen
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Closes it and all its connections, and returns once its port is free.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await; // it ends by being cut off
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes clients; what goes wrong is waited out.
async fn accept(listener: TcpListener, desk: Desk) {
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue, // gone, and forgotten
        };
        match accepted {
            Ok((stream, peer)) if clients.len() >= MOST_CLIENTS => refuse(&stream, peer),
            Ok((stream, peer)) => {
                clients.spawn(session::run(stream, peer, desk.clone()));
            }
            Err(error) => {
                warn!(target: "dinrail::console", %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Says that there is no room, if the system takes that at once.
fn refuse(stream: &TcpStream, peer: SocketAddr) {
    let sentence = format!("error: {MOST_CLIENTS} clients are here already: end one of them, and try again\n.\n");
    let told = stream.try_write(sentence.as_bytes()).is_ok();
    debug!(target: "dinrail::console", %peer, told, "refused: too many clients");
}
