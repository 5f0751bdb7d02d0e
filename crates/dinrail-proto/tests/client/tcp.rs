//! Over TCP.

use dinrail_proto::client::{Connection, Failure, Mismatch, Options, Outcome, StartError, Stats};
use dinrail_proto::error::ReplyError;
use dinrail_proto::pdu::Area;
use dinrail_proto::{ExceptionCode, Framing, FunctionCode, Instant, Pdu, Request, UnitId};

use crate::{TIMEOUT, UNIT, at, input, read, response, started};

fn connection<const N: usize>(depth: usize) -> Connection<N> {
    let mut options = Options::new(Framing::Tcp);
    options.depth = depth;
    Connection::new(options)
}

/// Sends what may be sent and returns it frame by frame.
fn sent<const N: usize>(connection: &mut Connection<N>, now: Instant) -> Vec<Vec<u8>> {
    let mut out = [0; 16 * 260];
    let length = connection.poll_transmit(now, &mut out).unwrap_or(0);
    let mut bytes = &out[..length];
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = bytes.split_at(6 + usize::from(u16::from_be_bytes([bytes[4], bytes[5]])));
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

/// The frame that answers `request` with these PDU bytes.
fn reply(request: &[u8], pdu: &[u8]) -> Vec<u8> {
    let mut frame = request[..7].to_vec();
    frame[5] = pdu.len() as u8 + 1;
    frame.extend(pdu);
    frame
}

#[test]
fn a_reply_ends_its_call() {
    let mut connection = connection::<4>(1);
    let call = started(&mut connection, &read(0x10, 1));
    assert_eq!(sent(&mut connection, at(0)), [[0, 1, 0, 0, 0, 6, 7, 3, 0, 0x10, 0, 1]]);
    assert_eq!(connection.poll(), None);
    assert_eq!(input(&mut connection, at(1), &[0, 1, 0, 0, 0, 5, 7, 3, 2, 0xAB, 0xCD]), 11);
    assert_eq!(connection.poll(), Some(call));
    assert_eq!(connection.poll(), None);
    assert_eq!(connection.take(call), response(&[3, 2, 0xAB, 0xCD]));
    assert_eq!(connection.take(call), None);
    assert!(connection.is_idle());
}

#[test]
fn a_call_that_is_alone_may_take_the_short_way() {
    let mut connection = connection::<4>(1);
    let request = Request::Read { area: Area::HoldingRegister, address: 0x10, count: 1 };
    let mut out = [0; 260];
    let (call, length) =
        connection.start_alone(Some(at(0)), UNIT, &request, TIMEOUT, &mut out).expect("nothing else is there");
    assert_eq!(out[..length], [0, 1, 0, 0, 0, 6, 7, 3, 0, 0x10, 0, 1]);
    assert_eq!(connection.poll_transmit(at(0), &mut [0; 260]), None, "it has been sent");
    assert_eq!(connection.poll_timeout(), Some(at(1000)));
    assert_eq!(connection.start_alone(Some(at(0)), UNIT, &request, TIMEOUT, &mut out), None, "there is another");
    let good = [0, 1, 0, 0, 0, 5, 7, 3, 2, 0xAB, 0xCD];
    let with = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    let exception = [0, 1, 0, 0, 0, 3, 7, 0x83, 2];
    let (part, twice) = (&good[..10], [good, good].concat());
    // Another transaction, protocol, unit, function and byte count; and what is not one whole response.
    for bytes in [&with(1, 2), &with(3, 1), &with(6, 8), &with(7, 4), &with(8, 4), &exception[..], part, &twice] {
        assert_eq!(connection.response_in(call, &request, bytes), None, "{bytes:x?}");
    }
    assert_eq!(connection.stats(), Stats::default(), "nothing has happened");
    assert_eq!(connection.response_in(call, &request, &good), Some(&good[7..]));
    assert_eq!(connection.room(), 4);
    assert_eq!(connection.response_in(call, &request, &good), None, "it is over");
    let illegal = Request::Read { area: Area::HoldingRegister, address: 0, count: 126 };
    assert_eq!(connection.start_alone(Some(at(0)), UNIT, &illegal, TIMEOUT, &mut out), None);
    assert_eq!(connection.start_alone(Some(at(0)), UNIT, &request, TIMEOUT, &mut out[..11]), None, "too little room");
    let custom = Request::Custom { function: FunctionCode::DIAGNOSTICS, data: &[0, 4, 0, 0] };
    assert_eq!(connection.start_alone(Some(at(0)), UNIT, &custom, TIMEOUT, &mut out), None, "nobody answers this");
    assert_eq!(connection.room(), 4, "none was started");
}

#[test]
fn a_call_may_turn_out_to_have_been_sent_later() {
    let mut connection = connection::<4>(1);
    let request = Request::Read { area: Area::HoldingRegister, address: 0x10, count: 1 };
    let (call, _) =
        connection.start_alone(Some(at(0)), UNIT, &request, TIMEOUT, &mut [0; 260]).expect("nothing else is there");
    connection.sent_at(call, at(30));
    assert_eq!(connection.poll_timeout(), Some(at(1030)));
    connection.handle_timeout(at(1029));
    assert_eq!(connection.take(call), None, "it still has time");
    connection.handle_timeout(at(1030));
    assert_eq!(connection.take(call), Some(Outcome::Failed(Failure::Timeout { mismatch: None })));
    connection.sent_at(call, at(2000));
    assert_eq!(connection.poll_timeout(), None, "it is over");

    let (call, _) =
        connection.start_alone(None, UNIT, &request, TIMEOUT, &mut [0; 260]).expect("nothing else is there");
    connection.handle_timeout(at(1_000_000));
    assert_eq!(connection.take(call), None, "nobody has said yet when it was sent");
    connection.sent_at(call, at(2000));
    assert_eq!(connection.poll_timeout(), Some(at(3000)));
}

#[test]
fn an_exception_ends_its_call() {
    let mut connection = connection::<1>(1);
    let call = started(&mut connection, &read(0, 1));
    let frames = sent(&mut connection, at(0));
    input(&mut connection, at(1), &reply(&frames[0], &[0x83, 2]));
    assert_eq!(connection.take(call), Some(Outcome::Exception(ExceptionCode::IllegalDataAddress)));
}

#[test]
fn a_reply_may_come_in_any_pieces() {
    let mut connection = connection::<1>(1);
    let call = started(&mut connection, &read(0, 2));
    let frames = sent(&mut connection, at(0));
    let bytes = reply(&frames[0], &[3, 4, 1, 2, 3, 4]);
    for end in 1..bytes.len() {
        assert_eq!(input(&mut connection, at(1), &bytes[..end]), 0, "after {end} bytes");
    }
    assert_eq!(input(&mut connection, at(1), &bytes), bytes.len());
    assert_eq!(connection.take(call), response(&[3, 4, 1, 2, 3, 4]));
}

#[test]
fn depth_bounds_what_is_out_and_one_batch_carries_it() {
    let mut connection = connection::<8>(3);
    let calls: Vec<_> = (0..5).map(|address| started(&mut connection, &read(address, 1))).collect();
    let frames = sent(&mut connection, at(0));
    assert_eq!(frames.iter().map(|frame| frame[9]).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(sent(&mut connection, at(0)).is_empty());
    // Out of order, two in one segment.
    let both = [reply(&frames[2], &[3, 2, 0, 2]), reply(&frames[0], &[3, 2, 0, 0])].concat();
    assert_eq!(input(&mut connection, at(1), &both), both.len());
    assert_eq!(connection.take(calls[0]), response(&[3, 2, 0, 0]));
    assert_eq!(connection.take(calls[1]), None);
    assert_eq!(connection.take(calls[2]), response(&[3, 2, 0, 2]));
    assert_eq!(sent(&mut connection, at(1)).iter().map(|frame| frame[9]).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_batch_stops_where_the_buffer_does() {
    let mut connection = connection::<2>(2);
    started(&mut connection, &read(0, 1));
    started(&mut connection, &read(1, 1));
    let mut out = [0; 260];
    assert_eq!(connection.poll_transmit(at(0), &mut out), Some(12));
    assert_eq!(connection.poll_transmit(at(0), &mut out), Some(12));
    assert_eq!(connection.poll_transmit(at(0), &mut out), None);
}

#[test]
fn what_does_not_fit_is_dropped_and_the_right_reply_still_counts() {
    let mut connection = connection::<1>(1);
    let call = started(&mut connection, &read(0, 1));
    let request = sent(&mut connection, at(0)).remove(0);
    let mut foreign = reply(&request, &[3, 2, 9, 9]);
    foreign[1] ^= 0x40;
    let mut other_unit = reply(&request, &[3, 2, 9, 9]);
    other_unit[6] = 8;
    let mut other_protocol = reply(&request, &[3, 2, 9, 9]);
    other_protocol[3] = 1;
    let wrong = [
        foreign,
        other_unit,
        other_protocol,
        reply(&request, &[4, 2, 9, 9]),       // another function
        reply(&request, &[3, 4, 9, 9, 9, 9]), // a register too many
        reply(&request, &[3, 2, 9]),          // a byte short
        reply(&request, &[3, 1, 9]),
        reply(&request, &[3]),
        reply(&request, &[0x84, 2]),
        reply(&request, &[0x83]),
    ];
    for frame in &wrong {
        assert_eq!(input(&mut connection, at(1), frame), frame.len());
        assert_eq!(connection.poll(), None, "{frame:02x?}");
    }
    input(&mut connection, at(2), &reply(&request, &[3, 2, 0, 5]));
    assert_eq!(connection.take(call), response(&[3, 2, 0, 5]));
    let stats = connection.stats();
    assert_eq!((stats.orphans, stats.mismatches, stats.timeouts), (1, 8, 0));
}

#[test]
fn echoed_fields_are_checked() {
    let write = Request::WriteSingleRegister { address: 4, value: 0x1234 }.encode().expect("legal");
    for (wrong, what) in [([6, 0, 5, 0x12, 0x34], "address"), ([6, 0, 4, 0x12, 0x35], "value")] {
        let mut connection = connection::<1>(1);
        let call = started(&mut connection, &write);
        let request = sent(&mut connection, at(0)).remove(0);
        input(&mut connection, at(1), &reply(&request, &wrong));
        connection.handle_timeout(at(1000));
        let mismatch = Some(Mismatch::Reply(ReplyError::Mismatch(what)));
        assert_eq!(connection.take(call), Some(Outcome::Failed(Failure::Timeout { mismatch })));
    }
}

#[test]
fn the_timeout_counts_from_sending_and_says_what_came_instead() {
    let mut connection = connection::<2>(1);
    let first = started(&mut connection, &read(0, 1));
    let second = started(&mut connection, &read(1, 1));
    assert_eq!(connection.poll_timeout(), None, "nothing is out yet");
    let request = sent(&mut connection, at(5_000)).remove(0);
    assert_eq!(connection.poll_timeout(), Some(at(6_000)));
    let mut other_unit = reply(&request, &[3, 2, 9, 9]);
    other_unit[6] = 9;
    input(&mut connection, at(5_500), &other_unit);
    connection.handle_timeout(at(5_999));
    assert_eq!(connection.take(first), None);
    connection.handle_timeout(at(6_000));
    let mismatch = Some(Mismatch::Unit { expected: UNIT, received: UnitId(9) });
    assert_eq!(connection.take(first), Some(Outcome::Failed(Failure::Timeout { mismatch })));
    assert_eq!(sent(&mut connection, at(6_000)).len(), 1);
    connection.handle_timeout(at(7_000));
    assert_eq!(connection.take(second), Some(Outcome::Failed(Failure::Timeout { mismatch: None })));
    assert_eq!(connection.stats().timeouts, 2);
}

#[test]
fn a_late_reply_is_nobodys() {
    let mut connection = connection::<1>(1);
    let first = started(&mut connection, &read(0, 1));
    let late = reply(&sent(&mut connection, at(0))[0], &[3, 2, 0, 1]);
    connection.handle_timeout(at(1_000));
    assert!(matches!(connection.take(first), Some(Outcome::Failed(Failure::Timeout { .. }))));
    let second = started(&mut connection, &read(0, 1));
    let request = sent(&mut connection, at(1_000)).remove(0);
    input(&mut connection, at(1_001), &late);
    assert_eq!(connection.take(second), None);
    input(&mut connection, at(1_002), &reply(&request, &[3, 2, 0, 2]));
    assert_eq!(connection.take(second), response(&[3, 2, 0, 2]));
    assert_eq!((connection.stats().late, connection.stats().orphans), (1, 0));
}

#[test]
fn an_id_that_may_be_answered_late_is_not_given_again() {
    let mut connection = connection::<2>(1);
    let silent = started(&mut connection, &read(0, 1));
    let late = sent(&mut connection, at(0)).remove(0);
    connection.handle_timeout(at(1_000));
    connection.take(silent);
    for round in 0..0x1_0010u32 {
        let call = started(&mut connection, &read(0, 1));
        let request = sent(&mut connection, at(1_000)).remove(0);
        assert_ne!(request[..2], late[..2], "round {round}");
        assert_ne!(request[..2], [0, 0], "round {round}");
        input(&mut connection, at(1_000), &reply(&request, &[3, 2, 0, 0]));
        assert!(connection.take(call).is_some());
    }
}

#[test]
fn a_cancelled_call_is_still_answered_to_nobody() {
    let mut connection = connection::<2>(1);
    let dropped = started(&mut connection, &read(0, 1));
    let waiting = started(&mut connection, &read(1, 1));
    let request = sent(&mut connection, at(0)).remove(0);
    connection.cancel(dropped);
    assert!(sent(&mut connection, at(0)).is_empty(), "its reply is still awaited");
    input(&mut connection, at(1), &reply(&request, &[3, 2, 0, 1]));
    assert_eq!((connection.poll(), connection.take(dropped)), (None, None));
    assert_eq!(connection.stats().orphans, 0);
    let request = sent(&mut connection, at(1)).remove(0);
    input(&mut connection, at(2), &reply(&request, &[3, 2, 0, 2]));
    assert_eq!(connection.take(waiting), response(&[3, 2, 0, 2]));
}

#[test]
fn a_call_cancelled_before_it_is_sent_never_is() {
    let mut connection = connection::<1>(1);
    let dropped = started(&mut connection, &read(0, 1));
    assert_eq!(connection.start(UNIT, &read(1, 1), TIMEOUT), Err(StartError::Full));
    connection.cancel(dropped);
    let call = started(&mut connection, &read(1, 1));
    connection.cancel(dropped); // an old name does nothing to the slot's new call
    assert_eq!(sent(&mut connection, at(0))[0][9], 1);
    assert_eq!(call.index(), dropped.index());
}

#[test]
fn a_lost_connection_tells_what_was_sent_from_what_was_not() {
    let mut connection = connection::<2>(1);
    let out = started(&mut connection, &read(0, 1));
    let waiting = started(&mut connection, &read(1, 1));
    let before = sent(&mut connection, at(0)).remove(0);
    input(&mut connection, at(0), &before[..5]);
    connection.reset();
    assert_eq!(connection.take(out), Some(Outcome::Failed(Failure::Lost)));
    assert_eq!(connection.take(waiting), None);
    assert_eq!(sent(&mut connection, at(1)).len(), 1, "it goes out on the next connection");
    connection.reset();
    let unsent = started(&mut connection, &read(1, 1));
    connection.refuse_waiting();
    assert_eq!(connection.take(waiting), Some(Outcome::Failed(Failure::Lost)));
    assert_eq!(connection.take(unsent), Some(Outcome::Failed(Failure::NotSent)));
}

#[test]
fn a_length_that_cannot_be_ends_the_connection() {
    for length in [0, 1, 255, 0xFFFF_u16] {
        let mut connection = connection::<1>(1);
        started(&mut connection, &read(0, 1));
        sent(&mut connection, at(0));
        let [high, low] = length.to_be_bytes();
        let error = connection.handle_input(at(1), &mut [0, 1, 0, 0, high, low]).expect_err("unframeable");
        assert_eq!(error.length, length);
    }
}

#[test]
fn unit_0_is_a_unit_like_others_on_tcp() {
    let mut connection = connection::<1>(1);
    let call = connection.start(UnitId(0), &read(0, 1), TIMEOUT).expect("a free slot");
    let request = sent(&mut connection, at(0)).remove(0);
    input(&mut connection, at(1), &reply(&request, &[3, 2, 0, 1]));
    assert_eq!(connection.take(call), response(&[3, 2, 0, 1]));
}

#[test]
fn a_request_that_is_not_legal_is_held_against_its_function() {
    let mut connection = connection::<1>(1);
    let call = started(&mut connection, &Pdu::new(&[3, 0, 0, 0, 0]).expect("a PDU"));
    let request = sent(&mut connection, at(0)).remove(0);
    input(&mut connection, at(1), &reply(&request, &[4, 0]));
    assert_eq!(connection.poll(), None);
    input(&mut connection, at(1), &reply(&request, &[0x83, 3]));
    assert_eq!(connection.take(call), Some(Outcome::Exception(ExceptionCode::IllegalDataValue)));
}

#[test]
fn what_goes_wrong_can_be_shown_and_passed_on() {
    let full: Box<dyn std::error::Error> = Box::new(dinrail_proto::client::StartError::Full);
    assert!(full.to_string().contains("try again"));
    let unframeable: Box<dyn std::error::Error> = Box::new(dinrail_proto::client::Unframeable { length: 1 });
    assert!(unframeable.to_string().ends_with("length 1"));
}
