//! Files in a directory of their own, and clients of what they say.

use std::net::SocketAddr;
use std::time::Duration;

use dinrail::Client;
use dinrail::transport::Endpoint;
use dinrail_gateway::config::Invalid;
use dinrail_gateway::{NotStarted, Plan, Servers};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Far longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn load(text: &str) -> Result<Plan, Invalid> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("dinrail.toml");
    std::fs::write(&path, text).unwrap();
    dinrail_gateway::load(path)
}

/// A good file.
pub(crate) fn plan(text: &str) -> Plan {
    load(text).unwrap_or_else(|invalid| panic!("{invalid}"))
}

pub(crate) async fn start(text: &str) -> Servers {
    Servers::start(plan(text)).await.unwrap()
}

pub(crate) fn url(servers: &Servers, name: &str) -> String {
    let status = servers.status().into_iter().find(|server| &*server.name == name).expect(name);
    assert!(status.running, "{status:?}");
    status.address
}

/// A client of one of the servers.
pub(crate) async fn client(servers: &Servers, name: &str) -> Client {
    let endpoint: Endpoint = url(servers, name).parse().unwrap();
    Client::connect_with(endpoint, dinrail::client::Options::default().with_timeout(SOON)).await.unwrap()
}

/// A client of one unit.
pub(crate) fn unit(client: &Client, unit: u8) -> Client {
    client.unit(unit)
}

/// A connection that is never made again: what breaks it is seen.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(url: &str) -> Self {
        Self::try_connect(url).await.unwrap()
    }

    /// `None` when nobody listens.
    pub(crate) async fn try_connect(url: &str) -> Option<Self> {
        let address: SocketAddr = url.strip_prefix("tcp://").unwrap().parse().unwrap();
        TcpStream::connect(address).await.ok().map(Self)
    }

    /// Reads hr:0; `None` when the connection has ended.
    pub(crate) async fn read(&mut self, transaction: u16) -> Option<u16> {
        let [high, low] = transaction.to_be_bytes();
        self.0.write_all(&[high, low, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).await.ok()?;
        let mut reply = [0; 11];
        tokio::time::timeout(SOON, self.0.read_exact(&mut reply)).await.expect("a reply in time").ok()?;
        assert_eq!(reply[..9], [high, low, 0, 0, 0, 5, 1, 3, 2], "a reply to this request");
        Some(u16::from_be_bytes([reply[9], reply[10]]))
    }

    /// Whether the server closes it, without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let end = tokio::time::timeout(SOON, self.0.read(&mut [0])).await.expect("an end in time");
        matches!(end, Ok(0) | Err(_))
    }
}

/// An address for a server of ours, which nobody else is given by chance as long as this lives.
pub(crate) struct Reserved {
    _socket: TcpSocket,
    pub(crate) url: String,
}

impl Reserved {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // With this on both sides a server may bind to the same port: only one of them listens.
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("tcp://{}", socket.local_addr().unwrap());
        Self { _socket: socket, url }
    }
}

/// The server that could not be started.
pub(crate) fn failed_server(failed: &NotStarted) -> &str {
    match failed {
        NotStarted::Server(failed) => &failed.name,
        other => panic!("{other}"),
    }
}
