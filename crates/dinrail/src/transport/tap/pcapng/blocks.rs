//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng).
//!
//! Written by hand: four kinds of block, each a few numbers and options. The crates that write pcapng bring a macro
//! stack of an older generation into every program that uses dinrail (pcap-file 2.0, without a release since 2023), or
//! are for reading in the first place (pcap-parser, which reads them here).

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use crate::transport::Direction;

/// LINKTYPE_ETHERNET.
pub(super) const ETHERNET: u16 = 1;
/// LINKTYPE_WIRESHARK_UPPER_PDU: the packet begins with tags that name a dissector.
pub(super) const UPPER_PDU: u16 = 252;

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const STATISTICS_RECEIVED: u16 = 4;
const STATISTICS_DROPPED: u16 = 5;

/// Where the file begins.
pub(super) fn section(out: &mut impl Write) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend_from_slice(&0x1A2B_3C4D_u32.to_le_bytes()); // the byte order
    body.extend_from_slice(&1_u16.to_le_bytes());
    body.extend_from_slice(&0_u16.to_le_bytes());
    body.extend_from_slice(&u64::MAX.to_le_bytes()); // of any length
    option(&mut body, SECTION_APPLICATION, concat!("dinrail ", env!("CARGO_PKG_VERSION")).as_bytes());
    end_of_options(&mut body);
    block(out, SECTION_HEADER, &body)
}

/// An interface; they are numbered from 0 in the order in which they are written.
pub(super) fn interface(out: &mut impl Write, link_type: u16, name: &str) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend_from_slice(&link_type.to_le_bytes());
    body.extend_from_slice(&[0; 6]); // packets of any length
    option(&mut body, INTERFACE_NAME, name.as_bytes());
    option(&mut body, INTERFACE_RESOLUTION, &[9]); // nanoseconds
    end_of_options(&mut body);
    block(out, INTERFACE_DESCRIPTION, &body)
}

/// A packet.
pub(super) struct Packet<'a> {
    pub(super) interface: u32,
    pub(super) at: SystemTime,
    pub(super) direction: Direction,
    pub(super) bytes: &'a [u8],
    pub(super) comment: Option<&'a str>,
}

impl Packet<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut body = Vec::with_capacity(self.bytes.len() + 64);
        body.extend_from_slice(&self.interface.to_le_bytes());
        time(&mut body, self.at);
        let length = (self.bytes.len() as u32).to_le_bytes(); // a packet has a few KB at most
        body.extend_from_slice(&length);
        body.extend_from_slice(&length);
        body.extend_from_slice(self.bytes);
        pad(&mut body);
        let direction: u32 = match self.direction {
            Direction::Received => 1,
            Direction::Sent => 2,
        };
        option(&mut body, PACKET_FLAGS, &direction.to_le_bytes());
        if let Some(comment) = self.comment {
            option(&mut body, COMMENT, comment.as_bytes());
        }
        end_of_options(&mut body);
        block(out, ENHANCED_PACKET, &body)
    }
}

/// How much an interface has seen, and how much of that is not in the file.
pub(super) fn statistics(
    out: &mut impl Write,
    interface: u32,
    at: SystemTime,
    packets: u64,
    dropped: u64,
) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend_from_slice(&interface.to_le_bytes());
    time(&mut body, at);
    option(&mut body, STATISTICS_RECEIVED, &(packets + dropped).to_le_bytes());
    option(&mut body, STATISTICS_DROPPED, &dropped.to_le_bytes());
    end_of_options(&mut body);
    block(out, INTERFACE_STATISTICS, &body)
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

/// Nanoseconds since 1970, the high half first.
fn time(body: &mut Vec<u8>, at: SystemTime) {
    let nanos = at.duration_since(SystemTime::UNIX_EPOCH).as_ref().map_or(0, Duration::as_nanos) as u64; // until 2554
    body.extend_from_slice(&((nanos >> 32) as u32).to_le_bytes());
    body.extend_from_slice(&(nanos as u32).to_le_bytes());
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(1024)];
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}

/// Everything in a block begins at a multiple of four bytes.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}
