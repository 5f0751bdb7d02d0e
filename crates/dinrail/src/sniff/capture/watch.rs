//! Who talks to whom in a capture: an observer for each connection, and its TCP in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use etherparse::TcpSlice;
use pcap_parser::Linktype;

use super::CaptureOptions;
use super::packets::{Payload, exported, slice};
use crate::proto::Framing;
use crate::proto::adu::{Decoded, Decoder, Discard, Side};
use crate::sniff::flow::{Flow, Part};
use crate::sniff::{Event, Observer, Seen};
use crate::transport::Kind;

/// So many connections are followed at once; the one that has been quiet for longest makes room.
const MAX_LINKS: usize = 4096;

/// So many ports of others are remembered.
const MAX_OTHERS: usize = 64;

/// Everybody who is followed.
pub(super) struct Watch {
    options: CaptureOptions,
    links: HashMap<Place, Link>,
    /// Packets of others, by the port that is likely the server's.
    others: BTreeMap<u16, u64>,
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
    pub(super) fn new(options: CaptureOptions) -> Self {
        Self {
            options,
            links: HashMap::new(),
            others: BTreeMap::new(),
            clock: 0,
            events: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The ports that nobody asked for, and the packets to and from each.
    pub(super) fn others(&self) -> impl Iterator<Item = (u16, u64)> {
        self.others.iter().map(|(&port, &packets)| (port, packets))
    }

    /// Those who connect take a high port, as a rule.
    fn is_other(&mut self, from: u16, to: u16) {
        let server = from.min(to);
        if self.others.len() < MAX_OTHERS || self.others.contains_key(&server) {
            *self.others.entry(server).or_default() += 1;
        }
    }

    pub(super) fn packet(
        &mut self,
        at: SystemTime,
        interface: u32,
        link: Linktype,
        data: &[u8],
        out: &mut VecDeque<Seen>,
    ) {
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
                    (false, false) => return self.is_other(from.port(), to.port()),
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
                    (false, false) => return self.is_other(from_port, to_port),
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

    pub(super) fn finish(&mut self, out: &mut VecDeque<Seen>) {
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
