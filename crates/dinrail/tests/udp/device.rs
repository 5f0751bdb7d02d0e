//! A device that does what a test says, datagram for datagram.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use dinrail::Client;
use dinrail::client::Options;
use dinrail::transport::Udp;
use tokio::net::UdpSocket;

/// Nothing takes longer than this.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("nothing happened for a minute")
}

/// Waits until something holds that another task brings about.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let holds = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, holds).await.unwrap_or_else(|_| panic!("{what}: not within a minute"));
}

/// A socket on a port of its own.
pub(crate) async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) async fn connect(address: SocketAddr, options: Options) -> Client {
    Client::connect_with(Udp::new(address), options).await.unwrap()
}

/// A device on a port of its own.
pub(crate) struct Device(pub(crate) UdpSocket);

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) by: SocketAddr,
    pub(crate) transaction: u16,
    pub(crate) unit: u8,
    pub(crate) pdu: Vec<u8>,
}

impl Asked {
    /// The first address of a read or a write.
    pub(crate) fn address(&self) -> u16 {
        u16::from_be_bytes([self.pdu[1], self.pdu[2]])
    }

    /// The frame that answers a read of one register with this value.
    pub(crate) fn value(&self, value: u16) -> Vec<u8> {
        let [high, low] = value.to_be_bytes();
        frame(self.transaction, self.unit, &[self.pdu[0], 2, high, low])
    }
}

impl Device {
    pub(crate) async fn new() -> Self {
        Self(socket().await)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next request, which must be a datagram of its own.
    pub(crate) async fn asked(&self) -> Asked {
        let mut bytes = [0; 512];
        let (length, by) = soon(self.0.recv_from(&mut bytes)).await.unwrap();
        assert_eq!(bytes[2..4], [0, 0], "the protocol id is 0");
        assert_eq!(usize::from(u16::from_be_bytes([bytes[4], bytes[5]])), length - 6, "one frame a datagram");
        let transaction = u16::from_be_bytes([bytes[0], bytes[1]]);
        Asked { by, transaction, unit: bytes[6], pdu: bytes[7..length].to_vec() }
    }

    pub(crate) async fn send(&self, to: SocketAddr, bytes: &[u8]) {
        assert_eq!(self.0.send_to(bytes, to).await.unwrap(), bytes.len());
    }

    /// Answers reads of one register with its address, until it is dropped.
    pub(crate) async fn serve(self) {
        loop {
            let asked = self.asked_at_last().await;
            self.send(asked.by, &asked.value(asked.address())).await;
        }
    }

    async fn asked_at_last(&self) -> Asked {
        self.0.readable().await.unwrap();
        self.asked().await
    }
}

/// A frame of Modbus TCP.
pub(crate) fn frame(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = transaction.to_be_bytes().to_vec();
    frame.extend([0, 0]);
    frame.extend((pdu.len() as u16 + 1).to_be_bytes());
    frame.push(unit);
    frame.extend(pdu);
    frame
}

/// Numbers that look random and are the same each time.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
