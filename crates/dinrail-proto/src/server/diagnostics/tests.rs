//! Counters, events and effects, told in the bytes of a line.

use std::vec::Vec;

use super::{Completion, Diagnostics};
use crate::adu::{Framing, crc16};
use crate::pdu::diagnostics::Diagnostic;
use crate::server::{Connection, Event};
use crate::{ExceptionCode, UnitId};

/// A device of unit 1 on RTU whose application refuses FC 4 with 04 and does everything else.
struct Device {
    connection: Connection,
    diagnostics: Diagnostics,
}

fn rtu(body: &[u8]) -> Vec<u8> {
    let mut frame = body.to_vec();
    frame.extend(crc16(body).to_le_bytes());
    frame
}

impl Device {
    fn new(diagnostics: Diagnostics) -> Self {
        Self { connection: Connection::new(Framing::Rtu, UnitId(1).into()), diagnostics }
    }

    /// The PDU of the reply to what comes as one burst; empty when there is none.
    fn hear(&mut self, frame: &[u8]) -> Vec<u8> {
        let mut window = frame.to_vec();
        let mut reply = Vec::new();
        while !window.is_empty() {
            self.diagnostics.govern(&mut self.connection);
            let event = self.connection.end_of_burst(&mut window);
            self.diagnostics.seen(&mut self.connection, &event);
            let used = match event {
                Event::Request { adu, to, length } => {
                    let (answer, completion, after) = match (self.diagnostics.answer(adu.pdu), adu.pdu[0]) {
                        (Some(answer), _) => (answer.reply, answer.completion(), answer.after),
                        (None, 4) => {
                            let code = ExceptionCode::ServerDeviceFailure;
                            (Some(crate::Pdu::exception(4, code)), Completion::Refused(code), Default::default())
                        }
                        (None, _) => (crate::Pdu::new(adu.pdu).ok(), Completion::Done, Default::default()),
                    };
                    let mut out = [0; 256];
                    match answer {
                        Some(pdu) => {
                            let sent = self.connection.reply(to, pdu.as_bytes(), &mut out).expect("it fits");
                            if sent > 0 {
                                reply = out[1..sent - 2].to_vec();
                            }
                        }
                        None => self.connection.no_reply(),
                    }
                    self.diagnostics.completed(&mut self.connection, to, completion, after);
                    length
                }
                Event::Skip { length, .. } => length,
                Event::Wait => break,
                Event::Close { .. } => unreachable!("not on RTU"),
            };
            window.drain(..used);
        }
        reply
    }

    fn ask(&mut self, pdu: &[u8]) -> Vec<u8> {
        self.hear(&rtu(&[&[1], pdu].concat()))
    }

    fn counter(&mut self, sub_function: Diagnostic) -> u16 {
        let [high, low] = sub_function.0.to_be_bytes();
        match self.ask(&[8, high, low, 0, 0])[..] {
            [8, _, _, high, low] => u16::from_be_bytes([high, low]),
            ref other => panic!("{other:x?}"),
        }
    }
}

#[test]
fn every_sub_function_is_answered() {
    let mut device = Device::new(Diagnostics::new());
    device.diagnostics.set_register(0xBEEF);
    assert_eq!(device.ask(&[8, 0, 0, 0xA5, 0x37]), [8, 0, 0, 0xA5, 0x37]);
    assert_eq!(device.ask(&[8, 0, 0, 1, 2, 3, 4, 5]), [8, 0, 0, 1, 2, 3, 4, 5], "of any length");
    assert_eq!(device.ask(&[8, 0, 2, 0, 0]), [8, 0, 2, 0xBE, 0xEF]);
    for sub_function in 0x0B..=0x12 {
        assert_eq!(device.ask(&[8, 0, sub_function, 0, 0])[..3], [8, 0, sub_function]);
        assert_eq!(device.ask(&[8, 0, sub_function, 0, 1]), [0x88, 3]);
    }
    for (sub_function, data) in [(1, [0, 0]), (1, [0xFF, 0]), (3, [b'\n', 0]), (0x0A, [0, 0]), (0x14, [0, 0])] {
        let request = [&[8, 0, sub_function][..], &data].concat();
        assert_eq!(device.ask(&request), request);
    }
    for (sub_function, data) in [(1, [1, 0]), (1, [0xFF, 1]), (3, [0, 1]), (0x0A, [1, 0]), (0x14, [0, 1]), (4, [0, 1])]
    {
        assert_eq!(device.ask(&[&[8, 0, sub_function][..], &data].concat()), [0x88, 3]);
    }
    for sub_function in [5, 6, 7, 8, 9, 0x13, 0x15, 0xFF] {
        assert_eq!(device.ask(&[8, 0, sub_function, 0, 0]), [0x88, 1], "sub-function {sub_function}");
    }
    assert_eq!(device.ask(&[8, 1, 0, 0, 0]), [0x88, 1]);
    assert_eq!(device.ask(&[8, 0, 2, 0]), [0x88, 3], "too short");
}

#[test]
fn counters_follow_the_line() {
    let mut device = Device::new(Diagnostics::new());
    device.ask(&[3, 0, 0, 0, 1]);
    device.ask(&[4, 0, 0, 0, 1]); // refused
    device.hear(&rtu(&[7, 3, 0, 0, 0, 1])); // for another
    device.hear(&[1, 3, 0, 0, 0, 1, 0, 0]); // damaged
    device.hear(&rtu(&[0, 6, 0, 1, 0, 3])); // a broadcast
    let counters = *device.diagnostics.counters();
    assert_eq!((counters.bus_messages, counters.bus_errors, counters.exceptions), (4, 1, 1));
    assert_eq!((counters.server_messages, counters.no_response), (3, 1));
    // Each of these is a message itself.
    assert_eq!(device.counter(Diagnostic::BUS_MESSAGE_COUNT), 5);
    assert_eq!(device.counter(Diagnostic::SERVER_MESSAGE_COUNT), 5);
    assert_eq!(device.counter(Diagnostic::SERVER_NO_RESPONSE_COUNT), 1);
    assert_eq!(device.ask(&[8, 0, 0x0A, 0, 0]), [8, 0, 0x0A, 0, 0]);
    assert_eq!(device.counter(Diagnostic::BUS_MESSAGE_COUNT), 1, "the clearing request is cleared with the rest");
    assert_eq!(device.counter(Diagnostic::BUS_COMMUNICATION_ERROR_COUNT), 0);
}

#[test]
fn counters_start_again_behind_65535() {
    let mut device = Device::new(Diagnostics::new());
    device.connection.counters_mut().bus_messages = 0xFFFF;
    assert_eq!(device.counter(Diagnostic::BUS_MESSAGE_COUNT), 0);
    device.diagnostics.events = 0xFFFF;
    device.ask(&[3, 0, 0, 0, 1]);
    assert_eq!(device.ask(&[11]), [11, 0, 0, 0, 0]);
}

#[test]
fn the_event_counter_counts_what_was_done() {
    let mut device = Device::new(Diagnostics::new());
    assert_eq!(device.ask(&[11]), [11, 0, 0, 0, 0]);
    device.ask(&[3, 0, 0, 0, 1]);
    device.ask(&[4, 0, 0, 0, 1]); // an exception
    device.ask(&[11]);
    device.ask(&[12]);
    device.hear(&rtu(&[0, 6, 0, 1, 0, 3])); // a broadcast is done as well
    assert_eq!(device.ask(&[11]), [11, 0, 0, 0, 2]);
    device.diagnostics.set_busy(true);
    assert_eq!(device.ask(&[11]), [11, 0xFF, 0xFF, 0, 2]);
    device.ask(&[8, 0, 0x0A, 0, 0]);
    assert_eq!(device.ask(&[11]), [11, 0xFF, 0xFF, 0, 0]);
}

#[test]
fn the_event_log_has_the_newest_first() {
    let mut device = Device::new(Diagnostics::new());
    device.ask(&[3, 0, 0, 0, 1]); // 80 40
    device.ask(&[4, 0, 0, 0, 1]); // 80 42
    device.hear(&[1, 3, 0, 0, 0, 1, 0, 0]); // 82
    device.hear(&rtu(&[0, 6, 0, 1, 0, 3])); // C0 40
    let log = device.ask(&[12]); // 80
    assert_eq!(log, [12, 14, 0, 0, 0, 2, 0, 4, 0x80, 0x40, 0xC0, 0x82, 0x42, 0x80, 0x40, 0x80]);

    for _ in 0..40 {
        device.ask(&[3, 0, 0, 0, 1]);
    }
    let log = device.ask(&[12]);
    assert_eq!((log.len(), log[1]), (8 + 64, 70), "64 events at most");
    assert_eq!(log[8..11], [0x80, 0x40, 0x80]);
}

#[test]
fn a_restart_clears_the_counters_and_the_log_when_asked() {
    let mut device = Device::new(Diagnostics::new());
    device.diagnostics.set_register(7);
    device.ask(&[3, 0, 0, 0, 1]);
    assert_eq!(device.ask(&[8, 0, 1, 0, 0]), [8, 0, 1, 0, 0]);
    assert_eq!(device.ask(&[12]), [12, 12, 0, 0, 0, 0, 0, 1, 0x80, 0x00, 0x40, 0x80, 0x40, 0x80]);
    device.ask(&[8, 0, 1, 0xFF, 0]);
    assert_eq!(device.ask(&[12]), [12, 8, 0, 0, 0, 0, 0, 1, 0x80, 0x00]);
    assert_eq!(device.diagnostics.register(), 7, "only sub-function 0A clears it");
}

#[test]
fn who_only_listens_neither_acts_nor_answers() {
    let mut device = Device::new(Diagnostics::new());
    assert_eq!(device.ask(&[8, 0, 4, 0, 0]), []);
    assert!(device.diagnostics.is_listen_only());
    assert_eq!(device.ask(&[3, 0, 0, 0, 1]), []);
    assert_eq!(device.ask(&[8, 0, 0, 1, 2]), []);
    device.hear(&rtu(&[0, 6, 0, 1, 0, 3]));
    let before = *device.diagnostics.counters();
    assert_eq!((before.bus_messages, before.server_messages, before.no_response), (4, 1, 1));
    assert_eq!(device.diagnostics.events_logged(), [0xA0, 0xA0, 0xA0, 0x04, 0x80]);

    assert_eq!(device.ask(&[8, 0, 1, 0, 0]), [], "the request that ends it is not answered");
    assert!(!device.diagnostics.is_listen_only());
    assert_eq!(device.ask(&[3, 0, 0, 0, 1]), [3, 0, 0, 0, 1]);
    assert_eq!(device.counter(Diagnostic::BUS_MESSAGE_COUNT), 2);
}

#[test]
fn a_new_delimiter_holds_behind_the_reply_until_a_restart() {
    let mut diagnostics = Diagnostics::new();
    let mut connection = Connection::new(Framing::Ascii, UnitId(1).into());
    let mut ask = |request: &[u8]| {
        let mut window = request.to_vec();
        diagnostics.govern(&mut connection);
        let Event::Request { adu, to, .. } = connection.handle_input(&mut window) else { return Vec::new() };
        let answer = diagnostics.answer(adu.pdu).expect("a diagnostic request");
        let mut out = [0; 64];
        let reply = answer.reply.expect("a reply");
        let length = connection.reply(to, reply.as_bytes(), &mut out).expect("it fits");
        diagnostics.completed(&mut connection, to, answer.completion(), answer.after);
        out[..length].to_vec()
    };
    assert_eq!(ask(b":0108000321 00D3\r\n".as_slice()), b"", "a space is no digit");
    assert_eq!(ask(b":010800032100D3\r\n"), b":010800032100D3\r\n");
    assert_eq!(ask(b":010800000102F4\r\n"), b"", "the old one ends no frame any more");
    assert_eq!(ask(b":010800000102F4\r!"), b":010800000102F4\r!");
    assert_eq!(ask(b":010800010000F6\r!"), b":010800010000F6\r!");
    assert_eq!(ask(b":010800000102F4\r\n"), b":010800000102F4\r\n");
}

#[test]
fn overruns_are_counted_and_cleared_apart() {
    let mut device = Device::new(Diagnostics::new());
    device.connection.counters_mut().overruns = 3;
    assert_eq!(device.counter(Diagnostic::BUS_CHARACTER_OVERRUN_COUNT), 3);
    assert_eq!(device.diagnostics.events_logged()[1..], [0x80, 0x90]);
    device.ask(&[8, 0, 0x14, 0, 0]);
    assert_eq!(device.counter(Diagnostic::BUS_CHARACTER_OVERRUN_COUNT), 0);
    assert_ne!(device.counter(Diagnostic::BUS_MESSAGE_COUNT), 1, "the others stay");
}

#[test]
fn frozen_ones_answer_and_obey_but_record_nothing() {
    let mut device = Device::new(Diagnostics::new().frozen());
    device.ask(&[3, 0, 0, 0, 1]);
    assert_eq!(device.counter(Diagnostic::BUS_MESSAGE_COUNT), 0);
    assert_eq!(device.ask(&[11]), [11, 0, 0, 0, 0]);
    assert_eq!(device.ask(&[12]), [12, 6, 0, 0, 0, 0, 0, 0]);
    assert_eq!(device.ask(&[8, 0, 4, 0, 0]), []);
    assert_eq!(device.ask(&[3, 0, 0, 0, 1]), []);
    device.ask(&[8, 0, 1, 0, 0]);
    assert_eq!(device.ask(&[3, 0, 0, 0, 1]), [3, 0, 0, 0, 1]);
}
