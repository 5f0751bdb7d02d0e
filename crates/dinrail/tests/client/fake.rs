//! A server that does what a test says, byte for byte.

use std::net::SocketAddr;

use dinrail::Client;
use dinrail::client::Options;
use dinrail::proto::Framing;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

/// A socket that listens on a port of its own.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// One connection of a client.
pub(crate) struct Peer<S = TcpStream>(pub(crate) S);

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) transaction: u16,
    pub(crate) unit: u8,
    pub(crate) pdu: Vec<u8>,
}

impl Asked {
    /// The first address of a read or a write.
    pub(crate) fn address(&self) -> u16 {
        u16::from_be_bytes([self.pdu[1], self.pdu[2]])
    }

    /// The frame that answers it with this PDU.
    pub(crate) fn frame(&self, pdu: &[u8]) -> Vec<u8> {
        frame(self.transaction, self.unit, pdu)
    }

    /// The frame that answers a read of registers: each holds its address plus `offset`.
    pub(crate) fn registers(&self, offset: u16) -> Vec<u8> {
        let count = u16::from_be_bytes([self.pdu[3], self.pdu[4]]);
        let mut pdu = vec![self.pdu[0], 2 * count as u8];
        for index in 0..count {
            pdu.extend((self.address() + index + offset).to_be_bytes());
        }
        self.frame(&pdu)
    }
}

pub(crate) fn frame(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = transaction.to_be_bytes().to_vec();
    frame.extend([0, 0]);
    frame.extend((pdu.len() as u16 + 1).to_be_bytes());
    frame.push(unit);
    frame.extend(pdu);
    frame
}

/// A client over a pipe in memory, for tests in paused time, and the other end of it.
pub(crate) fn pipe(options: Options) -> (Client, Peer<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    (Client::over(ours, Framing::Tcp, options), Peer(theirs))
}

impl Peer {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.expect("a client");
        stream.set_nodelay(true).expect("an option");
        Self(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// The next request; `None` when the client has closed the connection.
    pub(crate) async fn try_asked(&mut self) -> Option<Asked> {
        let mut header = [0; 7];
        self.0.read_exact(&mut header).await.ok()?;
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([header[4], header[5]])) - 1];
        self.0.read_exact(&mut pdu).await.ok()?;
        Some(Asked { transaction: u16::from_be_bytes([header[0], header[1]]), unit: header[6], pdu })
    }

    pub(crate) async fn asked(&mut self) -> Asked {
        self.try_asked().await.expect("a request")
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("a client that is there");
    }

    /// Answers every read of registers with the addresses, until the client goes.
    pub(crate) async fn serve(mut self) {
        while let Some(asked) = self.try_asked().await {
            let answer = asked.registers(0);
            if self.0.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

/// A server whose registers hold their addresses.
pub(crate) async fn registers() -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let peer = Peer::accept(&listener).await;
            tokio::spawn(peer.serve());
        }
    });
    address
}
