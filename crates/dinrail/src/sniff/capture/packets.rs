//! What a packet carries, and from where to where.

use std::net::IpAddr;

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice};
use pcap_parser::Linktype;
use pcap_parser::data::EXP_PDU_TAG_PROTO_NAME;

pub(super) enum Payload<'a> {
    Tcp(TcpSlice<'a>),
    Udp(u16, u16, &'a [u8]),
}

/// What a packet carries, and from where to where.
pub(super) fn slice(link: Linktype, data: &[u8]) -> Option<(IpAddr, IpAddr, Payload<'_>)> {
    let packet = match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(data).ok()?,
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => LaxSlicedPacket::from_ip(data).ok()?,
        // Four bytes say which family of addresses follows, and so does the packet itself.
        Linktype::NULL | Linktype::LOOP => LaxSlicedPacket::from_ip(data.get(4..)?).ok()?,
        Linktype::LINUX_SLL => cooked(data, 14, 16)?,
        LINUX_SLL2 => cooked(data, 0, 20)?,
        _ => return None,
    };
    let (from, to): (IpAddr, IpAddr) = match packet.net? {
        LaxNetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Arp(_) => return None,
    };
    let payload = match packet.transport? {
        TransportSlice::Tcp(segment) => Payload::Tcp(segment),
        TransportSlice::Udp(datagram) => {
            Payload::Udp(datagram.source_port(), datagram.destination_port(), datagram.payload())
        }
        _ => return None,
    };
    Some((from, to, payload))
}

/// A packet of Linux's "any" interface: the protocol stands at `protocol`, and what it carries at `payload`.
fn cooked(data: &[u8], protocol: usize, payload: usize) -> Option<LaxSlicedPacket<'_>> {
    let protocol = u16::from_be_bytes([*data.get(protocol)?, *data.get(protocol + 1)?]);
    Some(LaxSlicedPacket::from_ether_type(EtherType(protocol), data.get(payload..)?))
}

/// LINKTYPE_LINUX_SLL2, which `tcpdump -i any` writes today.
const LINUX_SLL2: Linktype = Linktype(276);

/// The dissector that an exported PDU names, and the PDU.
pub(super) fn exported(mut data: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut dissector = None;
    loop {
        let (&[t1, t2, l1, l2], rest) = data.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([l1, l2]).into())?;
        data = rest;
        match u16::from_be_bytes([t1, t2]) {
            0 => return Some((dissector?, data)),
            EXP_PDU_TAG_PROTO_NAME => dissector = Some(value.split(|byte| *byte == 0).next().unwrap_or_default()),
            _ => {}
        }
    }
}
