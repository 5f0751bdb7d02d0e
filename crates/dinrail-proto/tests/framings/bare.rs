//! Bare PDUs, as pymodbus up to 3.7 sends them over TLS.

use dinrail_proto::adu::{Decoded, Decoder, Expected, Side};
use dinrail_proto::client::{Connection, Failure, Mismatch, Options, Outcome};
use dinrail_proto::error::ReplyError;
use dinrail_proto::server::{self, Event, Units};
use dinrail_proto::{Adu, ExceptionCode, Framing, Pdu, Request, UnitId};

use crate::{asked, at, read, receive, response, send};

fn client() -> Connection<4> {
    let mut options = Options::new(Framing::Pdu);
    options.depth = 4; // of no use without transaction ids
    options.local_echo = true; // nor this, between two
    Connection::new(options)
}

fn server() -> server::Connection {
    server::Connection::new(Framing::Pdu, UnitId(17).into())
}

#[test]
fn s001_8b_a_frame_is_the_pdu() {
    let pdu = [3, 0, 0x6B, 0, 3];
    let mut out = [0; 8];
    // pymodbus 3.7.4: FramerTLS.encode(b'\x03\x00\x6b\x00\x03', 17, 9) == b'\x03\x00\x6b\x00\x03'
    let length = Framing::Pdu.encode(&Adu { transaction: 9, unit: UnitId(17), pdu: &pdu }, &mut out);
    assert_eq!(length, Ok(5));
    assert_eq!(out[..5], pdu);
    assert_eq!((Framing::Pdu.max_adu(), Framing::Pdu.pdu_offset()), (253, 0));
    assert!(!Framing::Pdu.has_transactions() && !Framing::Pdu.has_units() && !Framing::Pdu.is_shared_line());
}

#[test]
fn requests_end_where_they_say() {
    let mut server = server();
    let requests: [&[u8]; 4] = [&[3, 0, 0x6B, 0, 3], &[16, 0, 1, 0, 2, 4, 0, 10, 1, 2], &[7], &[43, 14, 1, 0]];
    let line = requests.concat();
    for size in 1..=line.len() {
        let (mut window, mut seen) = (Vec::new(), Vec::new());
        for piece in line.chunks(size) {
            window.extend(piece);
            seen.extend(asked(&mut server, &mut window, false));
        }
        assert!(window.is_empty());
        assert_eq!(seen.iter().map(|(_, pdu, _)| pdu.as_slice()).collect::<Vec<_>>(), requests);
    }
}

#[test]
fn a_request_is_served_whatever_the_units_and_is_no_broadcast() {
    for units in [Units::NONE, Units::ALL, UnitId(17).into()] {
        let mut server = server::Connection::new(Framing::Pdu, units);
        let seen = asked(&mut server, &mut vec![6, 0, 1, 0, 3], false);
        let [(UnitId::DIRECT, _, to)] = seen[..] else { panic!("{seen:?}") };
        assert!(to.is_answered() && !to.is_broadcast());
        let mut out = [0; 8];
        assert_eq!(server.reply(to, &[6, 0, 1, 0, 3], &mut out), Ok(5));
        assert_eq!(out[..5], [6, 0, 1, 0, 3]);
        assert_eq!(server.exception(to, ExceptionCode::IllegalDataAddress, &mut out), Ok(2));
        assert_eq!(out[..2], [0x86, 2]);
    }
}

#[test]
fn what_does_not_say_how_long_it_is_ends_with_the_burst() {
    let mut server = server();
    // A function of nobody, an echo of five bytes, a byte count that contradicts its quantity, too short a request, and
    // what no request begins with: the server refuses them, in their turn.
    let whole: [&[u8]; 6] =
        [&[100, 1, 2], &[8, 0, 0, 1, 2, 3, 4, 5], &[16, 0, 0, 0, 2, 2, 0, 1], &[3, 0, 0], &[0x83, 1], &[0]];
    for pdu in whole {
        let mut window = pdu.to_vec();
        assert_eq!(asked(&mut server, &mut window, false), []);
        let seen = asked(&mut server, &mut window, true);
        assert_eq!(seen.len(), 1, "{pdu:02x?}");
        assert_eq!((seen[0].1.as_slice(), window.len()), (pdu, 0));
    }
    // No PDU is longer than 253 bytes, burst or not.
    let mut window = vec![100; 253];
    assert_eq!(asked(&mut server, &mut window, false).len(), 1);
    let mut window = vec![100; 300];
    assert_eq!(asked(&mut server, &mut window, true).iter().map(|asked| asked.1.len()).collect::<Vec<_>>(), [253, 47]);
}

#[test]
fn a_pdu_that_would_be_too_long_ends_the_connection() {
    let mut server = server();
    assert_eq!(server.handle_input(&mut [16, 0, 0, 0, 127, 254]), Event::Close { length: 260 });
    let mut client = client();
    send(&mut client, at(0), 1, &Request::ReportServerId.encode().expect("legal"));
    assert_eq!(client.handle_input(at(1), &mut [17, 252]).map_err(|error| error.length), Err(254));
}

#[test]
fn any_unit_may_be_asked_and_the_reply_is_taken_by_its_function() {
    let mut client = client();
    for (unit, now) in [(0, 0), (1, 10), (247, 20), (255, 30)] {
        let (call, sent) = send(&mut client, at(now), unit, &read(0, 2));
        assert_eq!(sent.as_deref(), Some(&[3, 0, 0, 0, 2][..]), "unit {unit}");
        assert_eq!(receive(&mut client, at(now + 1), &[3, 4, 0, 1]), 0);
        assert_eq!(client.poll(), None);
        assert_eq!(receive(&mut client, at(now + 2), &[3, 4, 0, 1, 0, 2]), 6);
        assert_eq!(client.take(call), response(&[3, 4, 0, 1, 0, 2]));
        // Unit 0 is no broadcast: a write to it is answered too.
        let write = Request::WriteSingleRegister { address: 1, value: 3 }.encode().expect("legal");
        let (call, _) = send(&mut client, at(now + 3), unit, &write);
        receive(&mut client, at(now + 4), &[0x86, 4]);
        assert_eq!(client.take(call), Some(Outcome::Exception(ExceptionCode::ServerDeviceFailure)));
    }
}

#[test]
fn one_request_is_out_at_a_time() {
    let mut client = client();
    let (first, sent) = send(&mut client, at(0), 1, &read(0, 1));
    assert!(sent.is_some());
    let (second, sent) = send(&mut client, at(0), 2, &read(1, 1));
    assert_eq!(sent, None);
    receive(&mut client, at(1), &[3, 2, 0, 7]);
    assert_eq!(client.take(first), response(&[3, 2, 0, 7]));
    let mut out = [0; 260];
    assert_eq!(client.poll_transmit(at(1), &mut out), Some(5));
    // Another function's reply is no answer, but what the timeout tells of.
    receive(&mut client, at(2), &[4, 2, 0, 7]);
    client.handle_timeout(at(1001));
    let Some(Outcome::Failed(Failure::Timeout { mismatch: Some(Mismatch::Reply(error)) })) = client.take(second) else {
        panic!("a mismatch");
    };
    assert!(matches!(error, ReplyError::Function { received: 4, .. }));
}

#[test]
fn a_late_reply_is_no_answer_whatever_the_unit() {
    let mut client = client();
    let (call, _) = send(&mut client, at(0), 1, &read(0, 1));
    client.handle_timeout(at(1000));
    assert_eq!(client.take(call), Some(Outcome::Failed(Failure::Timeout { mismatch: None })));
    // Nothing tells whose reply comes now, so the next call waits, though it asks another unit.
    let (call, sent) = send(&mut client, at(1000), 2, &read(1, 1));
    assert_eq!((sent, client.poll_timeout()), (None, Some(at(2000))));
    receive(&mut client, at(1500), &[3, 2, 0xBA, 0xD0]);
    assert_eq!((client.stats().late, client.stats().orphans), (1, 0));
    let mut out = [0; 260];
    assert_eq!(client.poll_transmit(at(1500), &mut out), Some(5));
    receive(&mut client, at(1501), &[3, 2, 0, 7]);
    assert_eq!(client.take(call), response(&[3, 2, 0, 7]));
}

#[test]
fn a_reply_without_a_length_has_the_one_that_was_asked_for() {
    let decoder = Decoder::new(Framing::Pdu, Side::Replies);
    let request = [8, 0, 0, 1, 2, 3, 4, 5];
    let expected = Expected::reply_to(UnitId(1), &request).expect("a function");
    let mut line = request;
    assert_eq!(decoder.decode(&mut line, false), Decoded::Incomplete);
    let adu = Adu { transaction: 0, unit: UnitId::DIRECT, pdu: &request };
    assert_eq!(decoder.decode_expected(&mut line, false, &expected), Decoded::Frame { adu, length: 8 });
    assert_eq!(decoder.decode_expected(&mut line[..7], false, &expected), Decoded::Incomplete);
    assert!(matches!(decoder.decode_expected(&mut [0x88, 1, 3], false, &expected), Decoded::Frame { length: 2, .. }));

    let mut client = client();
    let (call, _) = send(&mut client, at(0), 1, &Pdu::new(&request).expect("a PDU"));
    assert_eq!(receive(&mut client, at(1), &request), 8);
    assert_eq!(client.take(call), response(&request));
}

#[test]
fn leftovers_of_a_stream_out_of_step_do_not_answer_the_next_call() {
    let mut client = client();
    let (call, _) = send(&mut client, at(0), 1, &read(0, 1));
    // A reply that never becomes whole.
    assert_eq!(receive(&mut client, at(1), &[3, 4, 0]), 0);
    client.handle_timeout(at(1000));
    client.take(call);
    let (call, sent) = send(&mut client, at(2000), 1, &read(0, 1));
    assert!(sent.is_some());
    assert_eq!(receive(&mut client, at(2001), &[3, 4, 0, 3, 2, 0, 7]), 7);
    assert_eq!(client.take(call), response(&[3, 2, 0, 7]));
}
