//! Pairing, with lines of their own.

use super::*;
use crate::proto::{Adu, Framing};
use crate::transport::Kind;

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

fn frame(framing: Framing, transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 600];
    let length = framing.encode(&Adu { transaction, unit: UnitId(unit), pdu }, &mut bytes).expect("room");
    bytes.truncate(length);
    bytes
}

/// An observer, and what it has said, as text.
struct Rig {
    framing: Framing,
    observer: Observer,
}

impl Rig {
    fn new(framing: Framing) -> Self {
        Self { framing, observer: Observer::new(framing) }
    }

    fn says(&mut self, millis: u64, kind: Kind, transaction: u16, unit: u8, pdu: &[u8]) -> Vec<String> {
        self.hears(millis, kind, &frame(self.framing, transaction, unit, pdu))
    }

    fn hears(&mut self, millis: u64, kind: Kind, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        self.observer.bytes(at(millis), kind, bytes, &mut events);
        events.iter().map(text).collect()
    }

    fn bus(&mut self, millis: u64, unit: u8, pdu: &[u8]) -> Vec<String> {
        self.says(millis, Kind::Either, 0, unit, pdu)
    }
}

fn text(event: &Event) -> String {
    match event {
        Event::Exchange(exchange) => {
            let function = exchange.function().expect("a function").code();
            let took = exchange.elapsed.map_or(String::new(), |elapsed| format!(" {}ms", elapsed.as_millis()));
            format!("unit {} FC {function} {:?}{took}", exchange.unit, exchange.outcome)
        }
        Event::Garbage { bytes, awaited, .. } => format!("garbage {bytes:?}, due {:?}", awaited.map(|unit| unit.0)),
        Event::Gap { bytes, .. } => format!("gap {bytes}"),
    }
}

const READ: [u8; 5] = [3, 0, 0, 0, 2];
const READ_REPLY: [u8; 6] = [3, 4, 0, 1, 0, 2];

#[test]
fn requests_and_replies_of_a_bus_are_told_apart_by_their_order() {
    let mut bus = Rig::new(Framing::Rtu);
    assert!(bus.bus(0, 17, &READ).is_empty());
    assert_eq!(bus.bus(8, 17, &READ_REPLY), ["unit 17 FC 3 Answered 8ms"]);
    // A write's reply is its request again.
    assert!(bus.bus(20, 5, &[6, 0, 1, 0, 9]).is_empty());
    assert_eq!(bus.bus(24, 5, &[6, 0, 1, 0, 9]), ["unit 5 FC 6 Answered 4ms"]);
    assert!(bus.bus(30, 5, &[6, 0, 1, 0, 9]).is_empty(), "another one");
    assert_eq!(bus.bus(31, 5, &[0x86, 2]), ["unit 5 FC 6 Refused(IllegalDataAddress) 1ms"]);
    assert_eq!(bus.bus(40, 0, &[6, 0, 1, 0, 9]), ["unit 0 FC 6 NotToBeAnswered"]);
    // Nobody answers, and the client goes on.
    assert!(bus.bus(50, 9, &READ).is_empty());
    assert_eq!(bus.bus(800, 17, &READ), ["unit 9 FC 3 Unanswered"]);
    assert_eq!(bus.bus(801, 9, &READ_REPLY), ["unit 9 FC 3 Unasked"], "too late");
    assert_eq!(bus.bus(802, 17, &[3, 2, 0, 1]), ["unit 17 FC 3 Misanswered 2ms"]);
}

#[test]
fn the_same_write_again_after_the_timeout_is_no_reply() {
    let mut bus = Rig::new(Framing::Rtu);
    assert!(bus.bus(0, 5, &[6, 0, 1, 0, 9]).is_empty());
    assert_eq!(bus.bus(1001, 5, &[6, 0, 1, 0, 9]), ["unit 5 FC 6 Unanswered"]);
    assert_eq!(bus.bus(1005, 5, &[6, 0, 1, 0, 9]), ["unit 5 FC 6 Answered 4ms"]);
}

#[test]
fn noise_is_shown_with_the_reply_that_was_due() {
    let mut bus = Rig::new(Framing::Rtu);
    bus.bus(0, 17, &READ);
    let mut reply = frame(Framing::Rtu, 0, 17, &READ_REPLY);
    reply[4] ^= 1;
    assert_eq!(bus.hears(5, Kind::Either, &reply), [""; 0]);
    let mut events = Vec::new();
    bus.observer.end_of_burst(at(40), &mut events);
    assert_eq!(events.iter().map(text).collect::<Vec<_>>(), [format!("garbage {reply:?}, due Some(17)")]);
    assert_eq!(bus.bus(50, 17, &READ), ["unit 17 FC 3 Unanswered"]);
}

#[test]
fn frames_come_in_any_pieces() {
    let mut bytes = Vec::new();
    for unit in 1..=20 {
        bytes.extend(frame(Framing::Rtu, 0, unit, &READ));
        bytes.extend(frame(Framing::Rtu, 0, unit, &READ_REPLY));
    }
    for piece in [1, 2, 3, 7, 50, 1000] {
        let mut bus = Rig::new(Framing::Rtu);
        let events: Vec<_> = bytes.chunks(piece).flat_map(|bytes| bus.hears(0, Kind::Either, bytes)).collect();
        let expected: Vec<_> = (1..=20).map(|unit| format!("unit {unit} FC 3 Answered 0ms")).collect();
        assert_eq!(events, expected, "in pieces of {piece}");
    }
}

#[test]
fn transactions_are_paired_in_any_order() {
    let mut tcp = Rig::new(Framing::Tcp);
    assert!(tcp.says(0, Kind::Request, 1, 1, &READ).is_empty());
    assert!(tcp.says(1, Kind::Request, 2, 1, &READ).is_empty());
    assert!(tcp.says(2, Kind::Request, 3, 0, &READ).is_empty(), "unit 0 is no broadcast here");
    assert_eq!(tcp.says(10, Kind::Reply, 2, 1, &READ_REPLY), ["unit 1 FC 3 Answered 9ms"]);
    assert_eq!(tcp.says(11, Kind::Reply, 2, 1, &READ_REPLY), ["unit 1 FC 3 Unasked"]);
    assert_eq!(
        tcp.says(12, Kind::Reply, 1, 1, &[0x83, 11]),
        ["unit 1 FC 3 Refused(GatewayTargetFailedToRespond) 12ms"]
    );
    assert_eq!(tcp.says(13, Kind::Reply, 3, 7, &READ_REPLY), ["unit 7 FC 3 Unasked"], "another unit");
    // The same transaction again.
    assert_eq!(tcp.says(14, Kind::Request, 3, 0, &READ), ["unit 0 FC 3 Unanswered"]);
    assert_eq!(tcp.says(10_100, Kind::Request, 4, 1, &READ), ["unit 0 FC 3 Unanswered"]);
    let mut events = Vec::new();
    tcp.observer.finish(&mut events);
    assert_eq!(events.iter().map(text).collect::<Vec<_>>(), ["unit 1 FC 3 Unanswered"]);
}

#[test]
fn a_summary_counts_by_unit() {
    let mut observer = Observer::new(Framing::Rtu);
    let mut events = Vec::new();
    for (millis, unit, pdu) in [
        (0, 17, &READ[..]),
        (4, 17, &READ_REPLY),
        (10, 17, &READ),
        (20, 17, &READ_REPLY),
        (30, 17, &READ),
        (32, 17, &[0x83, 2]),
        (40, 9, &READ),
        (60, 17, &READ),
    ] {
        observer.bytes(at(millis), Kind::Either, &frame(Framing::Rtu, 0, unit, pdu), &mut events);
    }
    observer.bytes(at(64), Kind::Either, &[17, 3, 4, 0, 1, 0, 9, 9, 9], &mut events);
    observer.finish(&mut events);
    let mut summary = Summary::new();
    let (link, server): (Arc<str>, Arc<str>) = ("bus".into(), "bus".into());
    events.into_iter().for_each(|event| {
        summary.count(&Seen { link: link.clone(), server: server.clone(), event });
    });
    let units: Vec<_> = summary.units().map(|(_, unit, counts)| (unit, *counts)).collect();
    assert_eq!(units.iter().map(|(unit, _)| *unit).collect::<Vec<_>>(), [9, 17]);
    assert_eq!((units[0].1.requests, units[0].1.unanswered), (1, 1));
    let unit = units[1].1;
    assert_eq!((unit.requests, unit.answered, unit.exceptions, unit.unanswered, unit.broken), (4, 2, 1, 1, 1));
    assert_eq!(unit.mean(), Some(Duration::from_micros(5333) + Duration::from_nanos(333)));
    assert_eq!(unit.longest, Duration::from_millis(10));
    assert_eq!(summary.garbage(), 9);
}
