//! A server on lines of its own and among others.

use std::vec::Vec;

use super::{Connection, Event, ReplyTo, Skipped, Units};
use crate::adu::{Discard, Framing, crc16};
use crate::pdu::diagnostics::Diagnostic;
use crate::{ExceptionCode, UnitId};

fn rtu(body: &[u8]) -> Vec<u8> {
    let mut frame = body.to_vec();
    frame.extend(crc16(body).to_le_bytes());
    frame
}

/// What a server does with some bytes.
#[derive(Debug, PartialEq)]
enum Did {
    Execute(u8, Vec<u8>, ReplyTo),
    Skip(Skipped),
}

fn feed(server: &mut Connection, window: &mut Vec<u8>, at_end: bool) -> Vec<Did> {
    let mut did = Vec::new();
    loop {
        let event = if at_end { server.end_of_burst(window) } else { server.handle_input(window) };
        let used = match event {
            Event::Request { adu, to, length } => {
                did.push(Did::Execute(adu.unit.0, adu.pdu.to_vec(), to));
                length
            }
            Event::Skip { length, what } => {
                did.push(Did::Skip(what));
                length
            }
            Event::Wait => return did,
            Event::Close { length } => panic!("closed by {length}"),
        };
        window.drain(..used);
    }
}

fn executed(did: &[Did]) -> Vec<(u8, &[u8])> {
    did.iter()
        .filter_map(|did| match did {
            Did::Execute(unit, pdu, _) => Some((*unit, pdu.as_slice())),
            Did::Skip(_) => None,
        })
        .collect()
}

#[test]
fn a_server_understands_its_neighbours_on_the_bus() {
    let mut server = Connection::new(Framing::Rtu, UnitId(1).into());
    // The neighbour's registers hold a frame that would be a request for us.
    let nested = rtu(&[1, 6, 0, 1, 0, 3]);
    let mut reply = std::vec![5, 3, 8];
    reply.extend(&nested);
    let mut line = [
        rtu(&[5, 3, 0, 0, 0, 4]),
        rtu(&reply),
        rtu(&[5, 6, 0, 1, 0, 3]),
        rtu(&[5, 6, 0, 1, 0, 3]),
        rtu(&[7, 4, 0, 0, 0, 1]),
        rtu(&[7, 0x84, 2]),
        rtu(&[1, 3, 0, 0, 0, 1]),
    ]
    .concat();
    let did = feed(&mut server, &mut line, false);
    assert!(line.is_empty());
    let skipped: Vec<_> = did[..6].iter().collect();
    for pair in skipped.chunks(2) {
        assert_eq!(pair, [&Did::Skip(Skipped::ForeignRequest), &Did::Skip(Skipped::Reply)]);
    }
    assert_eq!(executed(&did), [(1, &[3, 0, 0, 0, 1][..])]);
    let counters = server.counters();
    assert_eq!((counters.bus_messages, counters.server_messages, counters.bus_errors), (7, 1, 0));
}

#[test]
fn our_own_reply_come_back_is_no_request() {
    let mut server = Connection::new(Framing::Rtu, UnitId(1).into());
    let mut line = [rtu(&[1, 3, 2, 0, 7]), rtu(&[1, 0x83, 2]), rtu(&[1, 16, 0, 0, 0, 2])].concat();
    assert_eq!(feed(&mut server, &mut line, false), std::array::from_fn::<_, 3, _>(|_| Did::Skip(Skipped::Reply)));
}

#[test]
fn a_request_without_a_reply_does_not_make_the_next_one_a_reply() {
    let mut server = Connection::new(Framing::Rtu, UnitId(1).into());
    let (foreign, ours) = (rtu(&[5, 6, 0, 1, 0, 3]), rtu(&[1, 7]));
    let mut line = [foreign.clone(), ours, foreign].concat();
    let did = feed(&mut server, &mut line, false);
    let request = Did::Skip(Skipped::ForeignRequest);
    assert_eq!((&did[0], executed(&did).len(), &did[2]), (&request, 1, &request));
}

#[test]
fn a_broadcast_is_executed_and_never_answered() {
    let mut server = Connection::new(Framing::Rtu, UnitId(1).into());
    let did = feed(&mut server, &mut rtu(&[0, 6, 0, 1, 0, 3]), false);
    let [Did::Execute(0, _, to)] = did[..] else { panic!("{did:?}") };
    assert!(to.is_broadcast() && !to.is_answered());
    let mut out = [0; 256];
    assert_eq!(server.reply(to, &[6, 0, 1, 0, 3], &mut out), Ok(0));
    assert_eq!(server.exception(to, ExceptionCode::ServerDeviceBusy, &mut out), Ok(0));
    let counters = server.counters();
    assert_eq!((counters.no_response, counters.exceptions, counters.busy), (2, 1, 1));
    assert_eq!(counters.by_sub_function(Diagnostic::SERVER_NO_RESPONSE_COUNT), Some(2));
}

#[test]
fn a_server_without_broadcasts_leaves_them_to_others() {
    for units in [UnitId(1).into(), UnitId(0).into(), Units::ALL] {
        let mut server = Connection::new(Framing::Rtu, units).without_broadcasts();
        let did = feed(&mut server, &mut [rtu(&[0, 6, 0, 1, 0, 3]), rtu(&[0, 6, 0, 1, 0, 3])].concat(), false);
        assert_eq!(did, [Did::Skip(Skipped::ForeignRequest), Did::Skip(Skipped::ForeignRequest)], "{units:?}");
        let counters = server.counters();
        assert_eq!((counters.bus_messages, counters.server_messages, counters.no_response), (2, 0, 0));
    }
}

#[test]
fn unit_0_is_no_broadcast_on_tcp() {
    let mut server = Connection::new(Framing::Tcp, Units::ALL);
    let mut line = std::vec![0xAB, 0xCD, 0, 0, 0, 6, 0, 6, 0, 1, 0, 3];
    let did = feed(&mut server, &mut line, false);
    let [Did::Execute(0, _, to)] = did[..] else { panic!("{did:?}") };
    assert!(!to.is_broadcast() && to.is_answered());
    let mut out = [0; 260];
    assert_eq!(server.exception(to, ExceptionCode::IllegalFunction, &mut out), Ok(9));
    assert_eq!(out[..9], [0xAB, 0xCD, 0, 0, 0, 3, 0, 0x86, 1]);
}

#[test]
fn tcp_closes_only_for_lengths_that_cannot_be() {
    for length in [0u16, 1, 255, 0xFFFF] {
        let [high, low] = length.to_be_bytes();
        let mut server = Connection::new(Framing::Tcp, Units::ALL);
        assert_eq!(server.handle_input(&mut [0, 1, 0, 0, high, low]), Event::Close { length });
    }
    let mut server = Connection::new(Framing::Tcp, Units::ALL);
    let what = Skipped::Discarded(Discard::Protocol);
    assert_eq!(server.handle_input(&mut [0, 1, 0, 1, 0, 2, 1, 7]), Event::Skip { length: 8, what });
    assert_eq!(server.counters().bus_errors, 0); // a good frame, though not of Modbus
    // A datagram that ends too early leaves nothing for the next one.
    let what = Skipped::Discarded(Discard::Broken);
    assert_eq!(server.handle_input(&mut [0, 1, 0, 0, 0, 6, 1]), Event::Wait);
    assert_eq!(server.end_of_burst(&mut [0, 1, 0, 0, 0, 6, 1]), Event::Skip { length: 7, what });
}

#[test]
fn other_units_are_skipped_on_every_framing() {
    let units: Units = [UnitId(3), UnitId(200)].into_iter().collect();
    assert_eq!(units.iter().collect::<Vec<_>>(), [UnitId(3), UnitId(200)]);
    for framing in [Framing::Tcp, Framing::Rtu, Framing::Ascii] {
        let mut server = Connection::new(framing, units);
        for unit in [1, 2, 3, 4, 199, 200, 201, 247] {
            let mut out = [0; 600];
            let adu = crate::Adu { transaction: 0, unit: UnitId(unit), pdu: &[7] };
            let length = framing.encode(&adu, &mut out).expect("it fits");
            let did = feed(&mut server, &mut out[..length].to_vec(), false);
            assert_eq!(executed(&did).len(), usize::from(unit == 3 || unit == 200), "unit {unit} on {framing:?}");
        }
    }
}

#[test]
fn garbage_counts_once_until_silence_or_a_good_frame() {
    let mut server = Connection::new(Framing::Rtu, UnitId(1).into());
    let request = rtu(&[1, 3, 0, 0, 0, 1]);
    feed(&mut server, &mut std::vec![0xFF; 300], false);
    feed(&mut server, &mut std::vec![0xFF; 300], false);
    assert_eq!(server.counters().bus_errors, 1);
    assert_eq!(executed(&feed(&mut server, &mut request.clone(), false)).len(), 1);
    feed(&mut server, &mut std::vec![0xFF; 3], true);
    feed(&mut server, &mut std::vec![0xFF; 3], true);
    assert_eq!(server.counters().bus_errors, 3);
    server.counters_mut().clear();
    assert_eq!(*server.counters(), super::Counters::default());
}

#[test]
fn while_listening_only_a_restart_is_heard() {
    let mut server = Connection::new(Framing::Rtu, UnitId(1).into());
    server.set_listen_only(true);
    let mut line = [rtu(&[1, 6, 0, 1, 0, 3]), rtu(&[0, 6, 0, 1, 0, 3]), rtu(&[1, 8, 0, 1, 0, 0])].concat();
    let did = feed(&mut server, &mut line, false);
    let [Did::Skip(Skipped::ListenOnly), Did::Skip(Skipped::ListenOnly), Did::Execute(1, _, to)] = did[..] else {
        panic!("{did:?}");
    };
    assert!(!to.is_answered() && !to.is_broadcast());
    server.set_listen_only(false);
    assert_eq!(server.reply(to, &[8, 0, 1, 0, 0], &mut [0; 16]), Ok(0));
    let did = feed(&mut server, &mut rtu(&[1, 6, 0, 1, 0, 3]), false);
    assert!(matches!(did[..], [Did::Execute(1, _, to)] if to.is_answered()));
}

#[test]
fn the_ascii_delimiter_changes_in_both_directions() {
    let mut server = Connection::new(Framing::Ascii, UnitId(1).into());
    server.set_delimiter(b'!');
    assert_eq!(server.handle_input(&mut b":0107F8\r\n".to_vec()), {
        let what = Skipped::Discarded(Discard::Broken);
        Event::Skip { length: 9, what }
    });
    let did = feed(&mut server, &mut b":0107F8\r!".to_vec(), false);
    let [Did::Execute(1, _, to)] = did[..] else { panic!("{did:?}") };
    let mut out = [0; 32];
    let length = server.reply(to, &[7, 0x6D], &mut out).expect("it fits");
    assert_eq!(&out[..length], b":01076D8B\r!");
}

#[test]
fn a_request_of_the_wrong_length_is_handed_out_to_be_refused() {
    let mut server = Connection::new(Framing::Rtu, UnitId(1).into());
    // Too short; a wrong byte count; a wrong quantity, which needs no silence.
    let bodies = [&[1, 3, 0, 0][..], &[1, 16, 0, 0, 0, 1, 1, 0, 1], &[1, 16, 0, 0, 0, 2, 2, 0, 1]];
    for (body, at_end) in bodies.into_iter().zip([true, true, false]) {
        let mut line = rtu(body);
        if at_end {
            assert_eq!(feed(&mut server, &mut line, false), []);
        }
        let did = feed(&mut server, &mut line, at_end);
        assert_eq!(executed(&did), [(1, &body[1..])]);
        assert_eq!(crate::Request::decode(&body[1..]), Err(ExceptionCode::IllegalDataValue));
    }
}

#[test]
fn what_only_looks_like_a_reply_is_a_bad_request_where_there_are_no_replies() {
    let mut server = Connection::new(Framing::Ascii, Units::ALL);
    let mut frame = |pdu: &[u8]| {
        let mut out = [0; 64];
        let adu = crate::Adu { transaction: 0, unit: UnitId(1), pdu };
        let length = Framing::Ascii.encode(&adu, &mut out).expect("it fits");
        feed(&mut server, &mut out[..length].to_vec(), false)
    };
    assert_eq!(executed(&frame(&[3, 2, 0, 7])).len(), 1);
    // But an exception can be nothing else, and must not be answered with one.
    assert_eq!(frame(&[0x83, 2]), [Did::Skip(Skipped::Reply)]);
}

#[test]
fn an_idle_connection_costs_little() {
    assert!(size_of::<Connection>() <= 112, "{} bytes", size_of::<Connection>());
}

#[test]
fn behind_noise_only_what_says_how_long_it_is_is_a_request() {
    for noise in [&[][..], &[0xFF, 0x55]] {
        // A function without a known length, an echo of three bytes, one request cut short, and one that is whole.
        for (pdu, told) in [(&[100, 7][..], false), (&[8, 0, 0, 1, 2, 3], false), (&[3, 0, 0], false), (&[7], true)] {
            let mut server = Connection::new(Framing::Rtu, UnitId(1).into());
            let mut line = [noise, &rtu(&[&[1], pdu].concat())].concat();
            let executed = executed(&feed(&mut server, &mut line, true)).len();
            assert_eq!(executed, usize::from(told || noise.is_empty()), "{pdu:02x?} behind {noise:02x?}");
            assert!(line.is_empty());
            let counters = server.counters();
            assert_eq!(counters.bus_errors, u16::from(!noise.is_empty()));
            // The silence ends the doubt.
            assert_eq!(super::tests::executed(&feed(&mut server, &mut rtu(&[1, 100, 7]), true)).len(), 1);
        }
    }
}
