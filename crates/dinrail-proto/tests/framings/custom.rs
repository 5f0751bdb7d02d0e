//! Framings of a reader's own, for client and server.

use std::collections::HashSet;

use dinrail_proto::adu::{Adu, Decoded, Decoder, Discard, Framer, MAX_ADU, Reading, Side};
use dinrail_proto::client::{Connection, Failure, Options, Outcome};
use dinrail_proto::error::EncodeError;
use dinrail_proto::pdu::Area;
use dinrail_proto::server::{self, Units};
use dinrail_proto::{ExceptionCode, Framing, Request, UnitId};

use crate::{asked, at, read, receive, response, send};

/// Two bytes of length, a transaction id where there is one, and a unit.
struct Prefixed {
    name: &'static str,
    transactions: bool,
    shared: bool,
}

const PIPELINED: Framing = Framing::Custom(&Prefixed { name: "pipelined", transactions: true, shared: false });
const IN_TURN: Framing = Framing::Custom(&Prefixed { name: "in turn", transactions: false, shared: false });
const SHARED: Framing = Framing::Custom(&Prefixed { name: "shared", transactions: false, shared: true });

impl Prefixed {
    fn header(&self) -> usize {
        if self.transactions { 5 } else { 3 }
    }
}

impl Framer for Prefixed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn has_transactions(&self) -> bool {
        self.transactions
    }

    fn is_shared_line(&self) -> bool {
        self.shared
    }

    fn pdu_offset(&self) -> usize {
        self.header()
    }

    fn adu_length(&self, pdu_length: usize) -> usize {
        self.header() + pdu_length
    }

    fn decode<'a>(&self, bytes: &'a mut [u8], reading: &Reading) -> Decoded<'a> {
        let cut = Decoded::Skip { length: bytes.len(), reason: Discard::Broken };
        let waiting = if reading.at_end && !bytes.is_empty() { cut } else { Decoded::Incomplete };
        let Some((&[high, low], _)) = bytes.split_first_chunk() else { return waiting };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(self.header() + 1..=self.header() + 253).contains(&length) {
            return Decoded::Unframeable { length: length as u16 };
        }
        let Some(frame) = bytes.get(..length) else { return waiting };
        let (header, pdu) = frame.split_at(self.header());
        // Rubbish where there is no transaction: nobody may rely on it.
        let transaction = u16::from_be_bytes([header[header.len() - 3], header[header.len() - 2]]);
        let unit = UnitId(header[header.len() - 1]);
        Decoded::Frame { adu: Adu { transaction, unit, pdu }, length }
    }

    fn complete(&self, transaction: u16, unit: UnitId, pdu_length: usize, frame: &mut [u8]) -> usize {
        let header = self.header();
        if self.transactions {
            frame[2..4].copy_from_slice(&transaction.to_be_bytes());
        }
        frame[..2].copy_from_slice(&((header + pdu_length) as u16).to_be_bytes());
        frame[header - 1] = unit.0;
        header + pdu_length
    }
}

fn client(framing: Framing) -> Connection<4> {
    let mut options = Options::new(framing);
    options.depth = 4;
    Connection::new(options)
}

#[test]
fn s001_23_a_framing_of_ones_own_on_both_sides() {
    for framing in [PIPELINED, IN_TURN, SHARED] {
        let (mut client, mut server) = (client(framing), server::Connection::new(framing, UnitId(7).into()));
        let (call, sent) = send(&mut client, at(0), 7, &read(1, 1));
        let sent = sent.expect("a frame");
        // Byte by byte, behind a request for another unit.
        let mut line = vec![0; framing.max_adu()];
        let foreign = framing.encode(&Adu { transaction: 9, unit: UnitId(8), pdu: &[7] }, &mut line).expect("it fits");
        line.truncate(foreign);
        line.extend(sent);
        let (mut window, mut seen) = (Vec::new(), Vec::new());
        for byte in line {
            window.push(byte);
            seen.extend(asked(&mut server, &mut window, false));
        }
        let [(UnitId(7), pdu, to)] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(pdu, &[3, 0, 1, 0, 1]);
        let mut out = vec![0; framing.max_adu()];
        let length = server.reply(*to, &[3, 2, 0, 9], &mut out).expect("it fits");
        assert_eq!(receive(&mut client, at(1), &out[..length]), length);
        assert_eq!(client.take(call), response(&[3, 2, 0, 9]));
    }
}

#[test]
fn with_transactions_several_requests_are_out_and_replies_may_be_swapped() {
    let mut client = client(PIPELINED);
    let (first, one) = send(&mut client, at(0), 1, &read(1, 1));
    let (second, other) = send(&mut client, at(0), 1, &read(2, 1));
    let (one, other) = (one.expect("sent"), other.expect("sent"));
    let answer = |request: &[u8], value| [&[0, 9][..], &request[2..5], &[3, 2, 0, value]].concat();
    receive(&mut client, at(1), &[answer(&other, 2), answer(&one, 1)].concat());
    assert_eq!(client.take(first), response(&[3, 2, 0, 1]));
    assert_eq!(client.take(second), response(&[3, 2, 0, 2]));
    // A late reply is told by its transaction: the next call to the unit does not wait.
    let (call, one) = send(&mut client, at(10), 1, &read(1, 1));
    client.handle_timeout(at(1010));
    assert_eq!(client.take(call), Some(Outcome::Failed(Failure::Timeout { mismatch: None })));
    let (call, other) = send(&mut client, at(1010), 1, &read(2, 1));
    receive(&mut client, at(1011), &answer(&one.expect("sent"), 1));
    assert_eq!((client.stats().late, client.has_ended(call)), (1, false));
    receive(&mut client, at(1012), &answer(&other.expect("sent at once"), 2));
    assert_eq!(client.take(call), response(&[3, 2, 0, 2]));
}

#[test]
fn without_transactions_one_request_is_out_at_a_time() {
    let mut client = client(IN_TURN);
    assert!(send(&mut client, at(0), 1, &read(1, 1)).1.is_some());
    assert!(send(&mut client, at(0), 2, &read(1, 1)).1.is_none());
}

#[test]
fn unit_0_is_a_broadcast_on_shared_lines_only() {
    let write = Request::WriteSingleRegister { address: 1, value: 3 }.encode().expect("legal");
    for (framing, broadcast) in [(PIPELINED, false), (IN_TURN, false), (SHARED, true)] {
        let mut client = client(framing);
        assert_eq!(client.start(UnitId(0), &read(0, 1), crate::TIMEOUT).is_err(), broadcast);
        let mut client = self::client(framing);
        let (call, sent) = send(&mut client, at(0), 0, &write);
        for (units, served) in [(Units::from(UnitId(7)), broadcast), (Units::ALL, true)] {
            let mut server = server::Connection::new(framing, units);
            let seen = asked(&mut server, &mut sent.clone().expect("a frame"), false);
            assert_eq!(seen.len(), usize::from(served));
            assert!(seen.iter().all(|(_, _, to)| to.is_broadcast() == broadcast && to.is_answered() != broadcast));
        }
        client.handle_timeout(at(100));
        assert_eq!(client.take(call), broadcast.then_some(Outcome::Sent));
    }
}

#[test]
fn a_server_on_a_shared_line_hears_the_replies_of_others() {
    let mut server = server::Connection::new(SHARED, UnitId(1).into());
    let mut line = vec![0, 8, 5, 6, 0, 1, 0, 3];
    line.extend([0, 8, 5, 6, 0, 1, 0, 3]); // its reply, which is the same
    line.extend([0, 5, 1, 0x83, 2]); // our own exception, come back
    line.extend([0, 4, 1, 7]);
    assert_eq!(server.decoder().side(), Side::Bus);
    assert_eq!(asked(&mut server, &mut line, false).len(), 1);
    assert_eq!(server::Connection::new(IN_TURN, UnitId(1).into()).decoder().side(), Side::Requests);
}

#[test]
fn an_unframeable_stream_is_closed() {
    let mut client = client(IN_TURN);
    send(&mut client, at(0), 1, &read(1, 1));
    let error = client.handle_input(at(1), &mut [0xFF, 0xFF, 0, 0]).expect_err("no frame");
    assert_eq!(error.to_string(), "the peer does not speak this framing: a frame of length 65535");
}

#[test]
fn custom_framings_are_compared_by_name() {
    static SAME: Prefixed = Prefixed { name: "in turn", transactions: true, shared: true };
    assert_eq!(IN_TURN, Framing::Custom(&SAME));
    assert_ne!(IN_TURN, SHARED);
    assert_ne!(IN_TURN, Framing::Tcp);
    assert_eq!(format!("{IN_TURN:?} {:?}", Framing::Tcp), "Custom(\"in turn\") Tcp");
    let different: HashSet<_> = [IN_TURN, Framing::Custom(&SAME), SHARED, Framing::Tcp, Framing::Pdu].into();
    assert_eq!(different.len(), 4);
    fn shared_between_threads<T: Send + Sync + std::panic::UnwindSafe>(_: T) {}
    shared_between_threads(SHARED);
}

/// Answers that no framer may give.
struct Liar(fn(&mut [u8]) -> Decoded<'_>, usize, usize);

impl Framer for Liar {
    fn name(&self) -> &'static str {
        "liar"
    }
    fn has_units(&self) -> bool {
        false
    }
    fn pdu_offset(&self) -> usize {
        0
    }
    fn adu_length(&self, pdu_length: usize) -> usize {
        pdu_length.wrapping_add(self.1)
    }
    fn decode<'a>(&self, bytes: &'a mut [u8], _: &Reading) -> Decoded<'a> {
        (self.0)(bytes)
    }
    fn complete(&self, _: u16, _: UnitId, _: usize, _: &mut [u8]) -> usize {
        self.2
    }
}

fn frame(pdu: &[u8], length: usize) -> Decoded<'_> {
    Decoded::Frame { adu: Adu { transaction: 5, unit: UnitId(5), pdu }, length }
}

#[test]
fn answers_that_cannot_be_are_broken_frames() {
    let decode = |lie, shown: usize, at_end| {
        let framer: &'static Liar = Box::leak(Box::new(Liar(lie, 0, 1)));
        match Decoder::new(Framing::Custom(framer), Side::Replies).decode(&mut vec![7; shown], at_end) {
            Decoded::Frame { adu, length } => Err((adu.transaction, adu.unit, length)),
            Decoded::Skip { length, reason } => Ok(Decoded::Skip { length, reason }),
            Decoded::Unframeable { length } => Ok(Decoded::Unframeable { length }),
            Decoded::Incomplete => Ok(Decoded::Incomplete),
        }
    };
    let broken = |length| Ok(Decoded::Skip { length, reason: Discard::Broken });
    assert_eq!(decode(|bytes| frame(bytes, 9), 8, false), broken(8));
    assert_eq!(decode(|bytes| frame(bytes, 0), 8, false), broken(8));
    assert_eq!(decode(|_| frame(&[], 3), 8, false), broken(8));
    assert_eq!(decode(|bytes| frame(bytes, 254), 254, false), broken(254));
    assert_eq!(decode(|_| Decoded::Skip { length: 0, reason: Discard::Noise }, 8, false), broken(8));
    assert_eq!(decode(|_| Decoded::Skip { length: 9, reason: Discard::Noise }, 8, false), broken(8));
    assert_eq!(decode(|_| Decoded::Skip { length: 1, reason: Discard::Noise }, 0, true), Ok(Decoded::Incomplete));
    assert_eq!(decode(|_| Decoded::Incomplete, 252, false), Ok(Decoded::Incomplete));
    assert_eq!(decode(|_| Decoded::Incomplete, 253, false), broken(253));
    assert_eq!(decode(|_| Decoded::Incomplete, 1, true), broken(1));
    assert_eq!(decode(|_| Decoded::Incomplete, 0, true), Ok(Decoded::Incomplete));
    // Without transactions and units there are none.
    assert_eq!(decode(|bytes| frame(bytes, 8), 8, false), Err((0, UnitId::DIRECT, 8)));
}

#[test]
fn frames_that_cannot_be_are_not_made() {
    let encode = |more, made| {
        let framer: &'static Liar = Box::leak(Box::new(Liar(|_| Decoded::Incomplete, more, made)));
        Framing::Custom(framer).encode(&Adu { transaction: 0, unit: UnitId(1), pdu: &[7, 7] }, &mut [0; 2 * MAX_ADU])
    };
    assert_eq!(encode(4, 5), Ok(5));
    assert_eq!(encode(4, 6), Ok(6));
    for (more, made) in [(4, 7), (4, 0), (MAX_ADU, 5), (0usize.wrapping_sub(1), 1)] {
        assert!(matches!(encode(more, made), Err(EncodeError::Field(_))), "{more} {made}");
    }
}

#[test]
fn a_framing_may_ask_for_lengths() {
    struct Terse;
    impl Framer for Terse {
        fn name(&self) -> &'static str {
            "terse"
        }
        fn pdu_offset(&self) -> usize {
            1
        }
        fn adu_length(&self, pdu_length: usize) -> usize {
            1 + pdu_length
        }
        fn decode<'a>(&self, bytes: &'a mut [u8], reading: &Reading) -> Decoded<'a> {
            let Some((unit, pdu)) = bytes.split_first() else { return Decoded::Incomplete };
            let length = match reading.side {
                Side::Replies => reading.response_length(pdu),
                _ => reading.request_length(pdu),
            };
            match length {
                dinrail_proto::adu::Length::Exact(length) if pdu.len() >= length => {
                    let adu = Adu { transaction: 0, unit: UnitId(*unit), pdu: &pdu[..length] };
                    Decoded::Frame { adu, length: 1 + length }
                }
                _ => Decoded::Incomplete,
            }
        }
        fn complete(&self, _: u16, unit: UnitId, pdu_length: usize, frame: &mut [u8]) -> usize {
            frame[0] = unit.0;
            1 + pdu_length
        }
    }
    for (side, length) in [(Side::Requests, 4), (Side::Replies, 6)] {
        let decoder = Decoder::new(Framing::Custom(&Terse), side).with_custom_lengths(crate::CUSTOM);
        let mut line = [9, 65, 1, 2, 0, 0, 7];
        assert!(matches!(decoder.decode(&mut line, false), Decoded::Frame { length: told, .. } if told == length));
    }
    let area = Area::Coil;
    let request = Request::Read { area, address: 0, count: 1 }.encode().expect("legal");
    let mut client = Connection::<1>::new(Options::new(Framing::Custom(&Terse)));
    let (call, _) = send(&mut client, at(0), 3, &request);
    receive(&mut client, at(1), &[3, 0x81, 2]);
    assert_eq!(client.take(call), Some(Outcome::Exception(ExceptionCode::IllegalDataAddress)));
}

/// The rest of a frame that a pause had cut would be read as one of its own, where no checksum says that it is none.
#[test]
fn a_pause_ends_only_what_the_rest_of_cannot_be_taken_for_a_frame() {
    let ends = |framing, bytes: &[u8]| Decoder::new(framing, Side::Requests).may_pause_end(&mut bytes.to_vec());
    assert!(!ends(IN_TURN, &[0, 6, 17, 16, 0]) && !ends(SHARED, &[0]));
    for part in [&[16][..], &[16, 0, 0, 0, 3], &[16, 0, 0, 0, 3, 6, 1], &[3, 0]] {
        assert!(!ends(Framing::Pdu, part), "{part:?}");
        assert!(ends(Framing::Rtu, part), "{part:?}");
    }
    assert!(ends(Framing::Pdu, &[0x44, 1]), "nothing says how long it is");
    assert!(ends(Framing::Ascii, b":01"));
}
