//! Captures: files of packets as tcpdump, Wireshark and [`Pcapng`](crate::transport::Pcapng) write them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice};
use pcap_parser::data::EXP_PDU_TAG_PROTO_NAME;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader, traits::PcapReaderIterator};

use super::flow::{Flow, Part};
use super::{Event, Observer, Seen};
use crate::proto::Framing;
use crate::proto::adu::{Decoded, Decoder, Discard, Side};
use crate::transport::Kind;

/// Room for blocks, in bytes; it grows when one is longer.
const ROOM: usize = 1 << 16;
/// Packets are shorter; this is where a file is taken for broken.
const MAX_BLOCK: usize = 16 << 20;
/// So many connections are followed at once; the one that has been quiet for longest makes room.
const MAX_LINKS: usize = 4096;

/// What to look for in a capture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaptureOptions {
    /// The ports of servers, TCP and UDP; 502 unless set.
    pub ports: Vec<u16>,
    /// How frames are laid on these connections; TCP framing unless set.
    pub framing: Framing,
    /// How long a reply may take; see [`Observer::new`] unless set.
    pub timeout: Option<Duration>,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self { ports: vec![502], framing: Framing::Tcp, timeout: None }
    }
}

impl CaptureOptions {
    /// Looks at these ports of servers.
    #[must_use]
    pub fn with_ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = ports.into_iter().collect();
        self
    }

    /// Expects this framing on TCP and UDP.
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Takes requests for unanswered after this time.
    #[must_use]
    pub fn with_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    fn observer(&self, framing: Framing) -> Observer {
        match self.timeout {
            Some(timeout) => Observer::with_timeout(framing, timeout),
            None => Observer::new(framing),
        }
    }
}

/// A capture that is read from its beginning to its end: an iterator over what is seen in it.
///
/// It reads pcap and pcapng; Ethernet with VLANs, Linux "cooked" captures, loopback and raw IP. TCP is put in order;
/// fragments of IP are not put together, since no Modbus frame needs them. RTU frames are read from the exported PDUs
/// (link type 252, dissector `mbrtu`) that [`Pcapng`](crate::transport::Pcapng) writes.
///
/// A capture that is cut off, as by a program that was killed, ends where it is cut; see [`is_cut`](Self::is_cut).
///
/// ```no_run
/// use dinrail::sniff::{Capture, CaptureOptions, Summary};
///
/// let mut summary = Summary::new();
/// for seen in Capture::open("plc.pcapng", CaptureOptions::default())? {
///     let seen = seen?;
///     println!("{}: {:?}", seen.link, seen.event);
///     summary.count(&seen);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Capture {
    reader: Box<dyn PcapReaderIterator + Send>,
    interfaces: Vec<Interface>,
    watch: Watch,
    seen: VecDeque<Seen>,
    packets: u64,
    /// Bytes of the reader's buffer.
    room: usize,
    is_cut: bool,
    is_over: bool,
}

#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    /// Units a second.
    resolution: u64,
    offset: i64,
}

impl Capture {
    /// The capture in the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, or is no capture.
    pub fn open(path: impl AsRef<Path>, options: CaptureOptions) -> io::Result<Self> {
        Self::from_reader(File::open(path)?, options)
    }

    /// The capture that is read from `reader`: a pipe from `tcpdump -U -w -`, for example.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_reader(reader: impl Read + Send + 'static, options: CaptureOptions) -> io::Result<Self> {
        let none = || io::Error::new(io::ErrorKind::InvalidData, "this is no capture: neither pcap nor pcapng");
        // The beginning may come in pieces, and must be there as a whole to be told what it is.
        let reader = create_reader(ROOM, Beginning(reader, false)).map_err(|_| none())?;
        Ok(Self {
            reader,
            interfaces: Vec::new(),
            watch: Watch { options, links: HashMap::new(), clock: 0, events: Vec::new(), parts: Vec::new() },
            seen: VecDeque::new(),
            packets: 0,
            room: ROOM,
            is_cut: false,
            is_over: false,
        })
    }

    /// How many packets have been read.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Whether the capture turned out to be cut off.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Reads on; `false` at the end.
    fn read(&mut self) -> io::Result<bool> {
        let needs_room = match self.reader.next() {
            Ok((length, block)) => {
                if let Some((at, interface, link, data)) = packet(&mut self.interfaces, block) {
                    self.packets += 1;
                    self.watch.packet(at, interface, link, data, &mut self.seen);
                }
                self.reader.consume(length);
                return Ok(true);
            }
            Err(PcapError::Eof) => return Ok(false),
            Err(PcapError::UnexpectedEof) => {
                self.is_cut = true;
                return Ok(false);
            }
            Err(PcapError::Incomplete(_)) => false,
            Err(PcapError::BufferTooSmall) => true,
            Err(_) => return Err(broken()),
        };
        if needs_room {
            self.room *= 2;
            if self.room > MAX_BLOCK || !self.reader.grow(self.room) {
                return Err(broken());
            }
        }
        self.reader.refill().map_err(|_| io::Error::other("the capture cannot be read any further"))?;
        Ok(true)
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the capture is broken here; what stands before it was read")
}

impl Iterator for Capture {
    type Item = io::Result<Seen>;

    fn next(&mut self) -> Option<io::Result<Seen>> {
        loop {
            if let Some(seen) = self.seen.pop_front() {
                return Some(Ok(seen));
            }
            if self.is_over {
                return None;
            }
            let read = self.read();
            if !matches!(read, Ok(true)) {
                self.is_over = true;
                self.watch.finish(&mut self.seen);
            }
            if let Err(error) = read {
                // What was outstanding comes behind it.
                return Some(Err(error));
            }
        }
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("packets", &self.packets).finish_non_exhaustive()
    }
}

/// Fills the first read with the first block: a pipe may give a few bytes, of which nothing can be told.
struct Beginning<R>(R, bool);

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
fn packet<'a>(
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

/// Everybody who is followed.
struct Watch {
    options: CaptureOptions,
    links: HashMap<Place, Link>,
    /// Counts packets, to know who has been quiet for longest.
    clock: u64,
    events: Vec<Event>,
    parts: Vec<Part>,
}

/// Who talks to whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Tcp { client: SocketAddr, server: SocketAddr },
    Udp { client: SocketAddr, server: SocketAddr },
    Serial(u32),
}

struct Link {
    name: Arc<str>,
    server: Arc<str>,
    observer: Observer,
    /// From the client, and from the server.
    flows: [Flow; 2],
    last: u64,
}

impl Watch {
    fn packet(&mut self, at: SystemTime, interface: u32, link: Linktype, data: &[u8], out: &mut VecDeque<Seen>) {
        self.clock += 1;
        if self.clock.is_multiple_of(64) {
            self.advance(at, out);
        }
        if link == Linktype::WIRESHARK_UPPER_PDU {
            self.exported(at, interface, data, out);
            return;
        }
        let Some((from, to, payload)) = slice(link, data) else { return };
        let is_ours = |port: u16| self.options.ports.contains(&port);
        match payload {
            Payload::Tcp(segment) => {
                let (from, to) =
                    (SocketAddr::new(from, segment.source_port()), SocketAddr::new(to, segment.destination_port()));
                // Where both ports are a server's, the one who begins is the client.
                let swapped = Place::Tcp { client: to, server: from };
                let begins = segment.syn() && !segment.ack();
                let kind = match (is_ours(from.port()), is_ours(to.port())) {
                    (false, false) => return,
                    (true, true) if !begins && self.links.contains_key(&swapped) => Kind::Reply,
                    (_, true) => Kind::Request,
                    (true, false) => Kind::Reply,
                };
                let place = if kind == Kind::Request { Place::Tcp { client: from, server: to } } else { swapped };
                self.segment(at, place, kind, &segment, out);
            }
            Payload::Udp(from_port, to_port, bytes) => {
                let (from, to) = (SocketAddr::new(from, from_port), SocketAddr::new(to, to_port));
                let swapped = Place::Udp { client: to, server: from };
                let (kind, place) = match (is_ours(from_port), is_ours(to_port)) {
                    (false, false) => return,
                    (true, true) if self.links.contains_key(&swapped) => (Kind::Reply, swapped),
                    (_, true) => (Kind::Request, Place::Udp { client: from, server: to }),
                    (true, false) => (Kind::Reply, swapped),
                };
                self.on(place, out, |link, events, _| {
                    link.observer.bytes(at, kind, bytes, events);
                    link.observer.end_of_burst(at, events);
                });
            }
        }
    }

    fn segment(&mut self, at: SystemTime, place: Place, kind: Kind, segment: &TcpSlice<'_>, out: &mut VecDeque<Seen>) {
        let (sequence, is_first) = (segment.sequence_number(), segment.syn());
        // The same ports once more.
        if is_first
            && kind == Kind::Request
            && self.links.get(&place).is_some_and(|link| link.flows[0].is_other(sequence))
        {
            self.end(place, at, out);
        }
        self.on(place, out, |link, events, parts| {
            let flow = &mut link.flows[kind as usize];
            if is_first {
                if !flow.is_begun() {
                    flow.begin(sequence);
                }
            } else {
                flow.segment(sequence, segment.payload(), parts);
            }
            link.parts(at, kind, parts, events);
        });
        if segment.rst() {
            self.end(place, at, out);
        }
    }

    /// A connection has ended.
    fn end(&mut self, place: Place, at: SystemTime, out: &mut VecDeque<Seen>) {
        if let Some(mut link) = self.links.remove(&place) {
            link.finish(Some(at), &mut self.events, &mut self.parts);
            link.tell(&mut self.events, out);
        }
    }

    /// A frame of a serial line, behind tags.
    fn exported(&mut self, at: SystemTime, interface: u32, data: &[u8], out: &mut VecDeque<Seen>) {
        let Some((dissector, bytes)) = exported(data) else { return };
        self.on(Place::Serial(interface), out, |link, events, _| match dissector {
            b"mbrtu" => {
                let mut bytes = bytes.to_vec();
                // A whole frame, whatever its function: as at the end of a burst.
                match Decoder::new(Framing::Rtu, Side::Bus).with_reserved_units().decode(&mut bytes, true) {
                    Decoded::Frame { adu, .. } => link.observer.frame(at, Kind::Either, &adu, events),
                    _ => link.observer.garbage(at, &bytes, Discard::Noise, events),
                }
            }
            b"data" => link.observer.garbage(at, bytes, Discard::Noise, events),
            _ => {}
        });
    }

    /// Has something happen on a link, which may be new.
    fn on(
        &mut self,
        place: Place,
        out: &mut VecDeque<Seen>,
        happen: impl FnOnce(&mut Link, &mut Vec<Event>, &mut Vec<Part>),
    ) {
        if self.links.len() >= MAX_LINKS && !self.links.contains_key(&place) {
            let quiet = self.links.iter().min_by_key(|(_, link)| link.last).map(|(place, _)| *place);
            if let Some(mut link) = quiet.and_then(|place| self.links.remove(&place)) {
                link.finish(None, &mut self.events, &mut self.parts);
                link.tell(&mut self.events, out);
            }
        }
        let link = self.links.entry(place).or_insert_with(|| Link::new(place, &self.options));
        link.last = self.clock;
        happen(link, &mut self.events, &mut self.parts);
        link.tell(&mut self.events, out);
    }

    fn advance(&mut self, now: SystemTime, out: &mut VecDeque<Seen>) {
        for link in self.links.values_mut() {
            link.observer.advance(now, &mut self.events);
            link.tell(&mut self.events, out);
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Seen>) {
        let mut links: Vec<Link> = self.links.drain().map(|(_, link)| link).collect();
        links.sort_by_key(|link| link.last);
        for mut link in links {
            link.finish(None, &mut self.events, &mut self.parts);
            link.tell(&mut self.events, out);
        }
    }
}

impl Link {
    fn new(place: Place, options: &CaptureOptions) -> Self {
        let (name, server, framing) = match place {
            Place::Tcp { client, server } | Place::Udp { client, server } => {
                (format!("{client} > {server}"), server.to_string(), options.framing)
            }
            Place::Serial(_) => ("serial".to_owned(), "serial".to_owned(), Framing::Rtu),
        };
        Self {
            name: name.into(),
            server: server.into(),
            observer: options.observer(framing),
            flows: Default::default(),
            last: 0,
        }
    }

    /// What is in order goes to the observer.
    fn parts(&mut self, at: SystemTime, kind: Kind, parts: &mut Vec<Part>, events: &mut Vec<Event>) {
        for part in parts.drain(..) {
            match part {
                Part::Bytes(bytes) => self.observer.bytes(at, kind, &bytes, events),
                Part::Gap(bytes) => {
                    // As a rule the next segment begins a frame.
                    self.observer.end_of_burst(at, events);
                    events.push(Event::Gap { at, bytes });
                }
            }
        }
    }

    fn finish(&mut self, at: Option<SystemTime>, events: &mut Vec<Event>, parts: &mut Vec<Part>) {
        for kind in [Kind::Request, Kind::Reply] {
            self.flows[kind as usize].end(parts);
            self.parts(at.unwrap_or(SystemTime::UNIX_EPOCH), kind, parts, events);
        }
        self.observer.finish(events);
    }

    fn tell(&self, events: &mut Vec<Event>, out: &mut VecDeque<Seen>) {
        let seen = |event| Seen { link: self.name.clone(), server: self.server.clone(), event };
        out.extend(events.drain(..).map(seen));
    }
}

enum Payload<'a> {
    Tcp(TcpSlice<'a>),
    Udp(u16, u16, &'a [u8]),
}

/// What a packet carries, and from where to where.
fn slice(link: Linktype, data: &[u8]) -> Option<(IpAddr, IpAddr, Payload<'_>)> {
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
fn exported(mut data: &[u8]) -> Option<(&[u8], &[u8])> {
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
