//! A master of datagrams: nothing here knows more of Modbus than how long a frame is.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::device::{frame, socket, soon};

pub(crate) struct Raw {
    pub(crate) socket: UdpSocket,
    transaction: u16,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = socket().await;
        socket.connect(address).await.unwrap();
        Self { socket, transaction: 0 }
    }

    pub(crate) async fn send(&self, datagram: &[u8]) {
        assert_eq!(self.socket.send(datagram).await.unwrap(), datagram.len());
    }

    /// The next datagram.
    pub(crate) async fn receive(&self) -> Vec<u8> {
        let mut bytes = vec![0; 65536];
        let length = soon(self.socket.recv(&mut bytes)).await.expect("a datagram");
        bytes.truncate(length);
        bytes
    }

    /// Asks unit 1 and gives the PDU of the reply, which must be the next datagram.
    pub(crate) async fn ask(&mut self, pdu: &[u8]) -> Vec<u8> {
        self.ask_unit(1, pdu).await
    }

    pub(crate) async fn ask_unit(&mut self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        self.transaction = self.transaction.wrapping_add(1);
        self.send(&frame(self.transaction, unit, pdu)).await;
        let replies = frames(&self.receive().await);
        let [(transaction, from, reply)] = &replies[..] else { panic!("{replies:?}") };
        assert_eq!((*transaction, *from), (self.transaction, unit), "another request's reply");
        reply.clone()
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&self) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(100), self.socket.recv(&mut byte)).await.is_err()
    }
}

/// The frames of a datagram: transaction, unit, PDU.
pub(crate) fn frames(mut datagram: &[u8]) -> Vec<(u16, u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !datagram.is_empty() {
        let word = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
        assert_eq!(word(2), 0, "the protocol id is 0");
        let length = 6 + usize::from(word(4));
        frames.push((word(0), datagram[6], datagram[7..length].to_vec()));
        datagram = &datagram[length..];
    }
    frames
}

/// The PDU of a read: function, address, count.
pub(crate) fn read(function: u8, address: u16, count: u16) -> Vec<u8> {
    let mut pdu = vec![function];
    pdu.extend(address.to_be_bytes());
    pdu.extend(count.to_be_bytes());
    pdu
}

/// The PDU of the reply to FC 3 with these registers.
pub(crate) fn registers(values: &[u16]) -> Vec<u8> {
    let mut pdu = vec![3, 2 * values.len() as u8];
    pdu.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    pdu
}
