//! Packets as they would have been on a network: headers of Ethernet, IP, TCP and UDP around the bytes of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{PacketBuilder, PacketBuilderStep};

use crate::transport::tap::{Link, Role};
use crate::transport::{Burst, Direction};

/// The port that tells Wireshark what it sees.
const PORT: u16 = 502;
/// The first port of a client whose own is not known.
const CLIENT_PORTS: u16 = 49152;
/// The most bytes of a segment, as on Ethernet.
const SEGMENT: usize = 1440;

/// A connection as the capture shows it.
pub(super) struct Conversation {
    /// This program's end, and the peer's.
    ends: [SocketAddr; 2],
    is_client: bool,
    is_udp: bool,
    /// The sequence numbers behind what this side, and the peer, have sent. Both begin at 0.
    next: [u32; 2],
}

/// A packet and which way it went.
pub(super) type Packet = (Direction, Vec<u8>);

impl Conversation {
    pub(super) fn new(link: &Link) -> Self {
        let is_client = link.role == Role::Client;
        let known = link.address.or(link.local);
        let v6 = known.is_some_and(|address| address.is_ipv6());
        // Addresses of two kinds make no conversation; then both are made up.
        let same = |address: &SocketAddr| address.is_ipv6() == v6;
        let made_up = |last: u8| match v6 {
            true => IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, last.into())),
            false => IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
        };
        let end = |known: Option<SocketAddr>, is_client: bool| {
            let known = known.filter(same);
            let ip = known.map_or_else(|| made_up(if is_client { 1 } else { 2 }), |address| address.ip());
            let free = CLIENT_PORTS + (link.id % u64::from(u16::MAX - CLIENT_PORTS)) as u16;
            let port = match (is_client, known) {
                (false, _) => PORT,
                (true, Some(address)) if address.port() != PORT => address.port(),
                (true, _) => free,
            };
            SocketAddr::new(ip, port)
        };
        Self {
            ends: [end(link.local, is_client), end(link.address, !is_client)],
            is_client,
            is_udp: link.burst == Burst::EachRead,
            next: [0; 2],
        }
    }

    /// The handshake.
    pub(super) fn open(&mut self) -> Vec<Packet> {
        if self.is_udp {
            return Vec::new();
        }
        let (ask, answer) = self.ways();
        let syn = (ask, self.tcp(ask, &[], |header| header.syn()));
        self.next[ask as usize] = 1;
        let ack = self.next[ask as usize];
        let syn_ack = (answer, self.tcp(answer, &[], |header| header.syn().ack(ack)));
        self.next[answer as usize] = 1;
        let ack = self.next[answer as usize];
        vec![syn, syn_ack, (ask, self.tcp(ask, &[], |header| header.ack(ack)))]
    }

    /// Bytes, `offset` bytes behind the first that went this way. Where the offset leaves a gap the sequence numbers do.
    pub(super) fn data(&mut self, direction: Direction, offset: u64, bytes: &[u8]) -> Vec<Packet> {
        if self.is_udp {
            return vec![(direction, self.udp(direction, bytes))];
        }
        let (this, other) = (direction as usize, 1 - direction as usize);
        self.next[this] = (offset as u32).wrapping_add(1); // sequence numbers wrap as well
        let mut packets = Vec::new();
        for segment in bytes.chunks(SEGMENT) {
            let ack = self.next[other];
            packets.push((direction, self.tcp(direction, segment, |header| header.psh().ack(ack))));
            self.next[this] = self.next[this].wrapping_add(segment.len() as u32);
        }
        packets
    }

    /// The end, from both sides.
    pub(super) fn close(&mut self) -> Vec<Packet> {
        if self.is_udp {
            return Vec::new();
        }
        let (first, second) = self.ways();
        let mut packets = Vec::new();
        for (this, other) in [(first, second), (second, first)] {
            let ack = self.next[other as usize];
            packets.push((this, self.tcp(this, &[], |header| header.fin().ack(ack))));
            self.next[this as usize] = self.next[this as usize].wrapping_add(1);
        }
        let ack = self.next[second as usize];
        packets.push((first, self.tcp(first, &[], |header| header.ack(ack))));
        packets
    }

    /// The ways from client to server and back.
    fn ways(&self) -> (Direction, Direction) {
        if self.is_client { (Direction::Sent, Direction::Received) } else { (Direction::Received, Direction::Sent) }
    }

    fn tcp(
        &self,
        direction: Direction,
        bytes: &[u8],
        flags: impl FnOnce(PacketBuilderStep<etherparse::TcpHeader>) -> PacketBuilderStep<etherparse::TcpHeader>,
    ) -> Vec<u8> {
        let (from, to) = self.between(direction);
        let header = ip(direction, from, to).tcp(from.port(), to.port(), self.next[direction as usize], u16::MAX);
        let mut packet = Vec::with_capacity(bytes.len() + 80);
        // Fails for payloads that fit no packet; these are segments.
        let _ = flags(header).write(&mut packet, bytes);
        packet
    }

    fn udp(&self, direction: Direction, bytes: &[u8]) -> Vec<u8> {
        let (from, to) = self.between(direction);
        let mut packet = Vec::with_capacity(bytes.len() + 64);
        // Fails for payloads that fit no packet; no frame is as long.
        let _ = ip(direction, from, to).udp(from.port(), to.port()).write(&mut packet, bytes);
        packet
    }

    fn between(&self, direction: Direction) -> (SocketAddr, SocketAddr) {
        let this = direction as usize;
        (self.ends[this], self.ends[1 - this])
    }
}

/// Locally administered addresses: the last digit is 1 for this program and 2 for the peer.
fn ip(direction: Direction, from: SocketAddr, to: SocketAddr) -> PacketBuilderStep<etherparse::IpHeaders> {
    const ENDS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
    let ethernet = PacketBuilder::ethernet2(ENDS[direction as usize], ENDS[1 - direction as usize]);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (from, to) => {
            let octets = |ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            ethernet.ipv6(octets(from), octets(to), 64)
        }
    }
}

/// A frame of a serial line behind the tags of an exported PDU: the name of the dissector, and the end.
pub(super) fn exported(dissector: &str, bytes: &[u8]) -> Vec<u8> {
    const DISSECTOR_NAME: u16 = 12;
    let name_length = dissector.len().next_multiple_of(4);
    let mut packet = Vec::with_capacity(bytes.len() + name_length + 8);
    packet.extend_from_slice(&DISSECTOR_NAME.to_be_bytes());
    packet.extend_from_slice(&(name_length as u16).to_be_bytes());
    packet.extend_from_slice(dissector.as_bytes());
    packet.resize(4 + name_length, 0);
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(bytes);
    packet
}
