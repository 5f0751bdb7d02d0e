//! The blocks of a capture file, pcap or pcapng: which of them are packets, and when those came.

use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use pcap_parser::{Block, Linktype, PcapBlockOwned};

#[derive(Clone, Copy)]
pub(super) struct Interface {
    link: Linktype,
    /// Units a second.
    resolution: u64,
    offset: i64,
}

/// Fills the first read with the first block: a pipe may give a few bytes, of which nothing can be told.
pub(super) struct Beginning<R>(R, bool);

impl<R> Beginning<R> {
    pub(super) fn new(reader: R) -> Self {
        Self(reader, false)
    }
}

impl<R: Read> Read for Beginning<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.1, true) {
            return self.0.read(out);
        }
        let (mut filled, mut needed) = (0, 24); // the header of pcap, and more than the start of pcapng's first block
        while filled < needed.min(out.len()) {
            match self.0.read(&mut out[filled..])? {
                0 => break,
                read => filled += read,
            }
            if filled >= 12 && out[..4] == [0x0A, 0x0D, 0x0D, 0x0A] {
                let length = [out[4], out[5], out[6], out[7]];
                let is_little = out[8] == 0x4D;
                needed = if is_little { u32::from_le_bytes(length) } else { u32::from_be_bytes(length) } as usize;
            }
        }
        Ok(filled)
    }
}

/// What a block holds, if that is a packet: when, on which interface, of which kind, and its bytes.
pub(super) fn packet<'a>(
    interfaces: &mut Vec<Interface>,
    block: PcapBlockOwned<'a>,
) -> Option<(SystemTime, u32, Linktype, &'a [u8])> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            *interfaces = vec![Interface { link: header.network, resolution, offset: 0 }];
            None
        }
        PcapBlockOwned::Legacy(packet) => {
            let interface = interfaces.first()?;
            let nanos = u64::from(packet.ts_usec) * (1_000_000_000 / interface.resolution);
            let since = Duration::from_secs(packet.ts_sec.into()) + Duration::from_nanos(nanos);
            Some((SystemTime::UNIX_EPOCH + since, 0, interface.link, packet.data))
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            None
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            let resolution = interface.ts_resolution().filter(|resolution| *resolution > 0).unwrap_or(1_000_000);
            interfaces.push(Interface { link: interface.linktype, resolution, offset: interface.ts_offset() });
            None
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let interface = interfaces.get(packet.if_id as usize)?;
            let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let nanos = u128::from(units % interface.resolution) * 1_000_000_000 / u128::from(interface.resolution);
            let since = Duration::from_secs((units / interface.resolution).saturating_add_signed(interface.offset))
                + Duration::from_nanos(nanos as u64); // below a second
            let data = packet.data.get(..packet.caplen as usize)?;
            Some((SystemTime::UNIX_EPOCH.checked_add(since)?, packet.if_id, interface.link, data))
        }
        PcapBlockOwned::NG(_) => None,
    }
}
