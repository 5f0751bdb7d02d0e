//! Over serial lines: nothing but silence, time and the unit tells whose a frame is.

use std::time::Duration;

use dinrail_proto::adu::{CustomLength, LengthRule};
use dinrail_proto::client::{Connection, Failure, Options, Outcome, StartError};
use dinrail_proto::{Adu, ExceptionCode, Framing, FunctionCode, Instant, Pdu, Request, UnitId};

use crate::{TIMEOUT, UNIT, at, input, read, response, started};

const GAP: Duration = Duration::from_millis(2);

fn options(framing: Framing) -> Options {
    let mut options = Options::new(framing);
    options.frame_gap = GAP;
    options
}

fn rtu() -> Connection<4> {
    Connection::new(options(Framing::Rtu))
}

fn frame(framing: Framing, unit: UnitId, pdu: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 513];
    let length = framing.encode(&Adu { transaction: 0, unit, pdu }, &mut out).expect("a PDU");
    out.truncate(length);
    out
}

fn from(unit: UnitId, pdu: &[u8]) -> Vec<u8> {
    frame(Framing::Rtu, unit, pdu)
}

fn sent<const N: usize>(connection: &mut Connection<N>, now: Instant) -> Option<Vec<u8>> {
    let mut out = [0; 513];
    connection.poll_transmit(now, &mut out).map(|length| out[..length].to_vec())
}

fn timed_out(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Failed(Failure::Timeout { .. })))
}

#[test]
fn one_request_at_a_time_and_t35_between() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let mut connection = Connection::<4>::new({
            let mut options = options(framing);
            options.depth = 4;
            options
        });
        let (first, second) = (started(&mut connection, &read(0, 1)), started(&mut connection, &read(1, 1)));
        assert_eq!(sent(&mut connection, at(10)), Some(frame(framing, UNIT, &[3, 0, 0, 0, 1])));
        assert_eq!(sent(&mut connection, at(15)), None);
        input(&mut connection, at(20), &frame(framing, UNIT, &[3, 2, 0, 9]));
        assert_eq!(connection.take(first), response(&[3, 2, 0, 9]));
        assert_eq!(connection.poll_timeout(), Some(at(22)));
        assert_eq!(sent(&mut connection, at(21)), None);
        assert_eq!(sent(&mut connection, at(22)), Some(frame(framing, UNIT, &[3, 0, 1, 0, 1])));
        input(&mut connection, at(25), &frame(framing, UNIT, &[0x83, 4]));
        assert_eq!(connection.take(second), Some(Outcome::Exception(ExceptionCode::ServerDeviceFailure)));
    }
}

#[test]
fn a_unit_that_did_not_answer_is_left_alone_and_others_are_not() {
    let mut connection = rtu();
    let silent = started(&mut connection, &read(0, 1));
    sent(&mut connection, at(0)).expect("a request");
    connection.handle_timeout(at(1_000));
    assert!(timed_out(connection.take(silent)));
    let same = started(&mut connection, &read(1, 1));
    let other = connection.start(UnitId(8), &read(2, 1), TIMEOUT).expect("a free slot");
    assert_eq!(sent(&mut connection, at(1_001)), Some(from(UnitId(8), &[3, 0, 2, 0, 1])), "the other unit goes first");
    input(&mut connection, at(1_010), &from(UnitId(8), &[3, 2, 0, 2]));
    assert_eq!(connection.take(other), response(&[3, 2, 0, 2]));
    assert_eq!(connection.poll_timeout(), Some(at(2_000)), "the quarantine is as long as the timeout");
    assert_eq!(sent(&mut connection, at(1_999)), None);
    assert!(sent(&mut connection, at(2_000)).is_some());
    input(&mut connection, at(2_010), &from(UNIT, &[3, 2, 0, 1]));
    assert_eq!(connection.take(same), response(&[3, 2, 0, 1]));
}

#[test]
fn a_late_reply_ends_the_quarantine_and_no_other_frame_does() {
    let mut connection = rtu();
    started(&mut connection, &read(0, 1));
    sent(&mut connection, at(0)).expect("a request");
    connection.handle_timeout(at(1_000));
    started(&mut connection, &read(0, 1));
    for other in [from(UnitId(8), &[3, 2, 0, 9]), from(UNIT, &[4, 2, 0, 9]), from(UNIT, &[3, 4, 0, 9, 0, 9])] {
        input(&mut connection, at(1_100), &other);
        assert_eq!(sent(&mut connection, at(1_200)), None);
    }
    assert_eq!((connection.stats().late, connection.stats().orphans), (0, 3));
    input(&mut connection, at(1_300), &from(UNIT, &[3, 2, 0, 9]));
    assert_eq!(sent(&mut connection, at(1_301)), None, "t3.5 after it");
    assert!(sent(&mut connection, at(1_302)).is_some());
    assert_eq!((connection.stats().late, connection.stats().orphans), (1, 3));
}

#[test]
fn the_quarantine_can_be_set() {
    let mut options = options(Framing::Rtu);
    options.quarantine = Some(Duration::from_millis(50));
    let mut connection = Connection::<4>::new(options);
    started(&mut connection, &read(0, 1));
    sent(&mut connection, at(0)).expect("a request");
    connection.handle_timeout(at(1_000));
    started(&mut connection, &read(0, 1));
    assert_eq!((sent(&mut connection, at(1_049)), connection.poll_timeout()), (None, Some(at(1_050))));
    assert!(sent(&mut connection, at(1_050)).is_some());
}

#[test]
fn more_silent_units_than_can_be_remembered_hold_up_the_line() {
    let mut options = options(Framing::Rtu);
    options.quarantine = Some(Duration::from_secs(3600));
    let mut connection = Connection::<4>::new(options);
    for unit in 1..=8 {
        let now = at(u64::from(unit) * 2_000);
        let call = connection.start(UnitId(unit), &read(0, 1), TIMEOUT).expect("a free slot");
        sent(&mut connection, now).expect("a request");
        connection.handle_timeout(now + TIMEOUT);
        assert!(timed_out(connection.take(call)));
    }
    connection.start(UnitId(9), &read(0, 1), TIMEOUT).expect("a free slot");
    assert_eq!(sent(&mut connection, at(100_000)), None);
    assert_eq!(connection.poll_timeout(), Some(at(3_000) + Duration::from_secs(3600)));
    assert!(sent(&mut connection, at(3_000) + Duration::from_secs(3600)).is_some());
}

#[test]
fn a_broadcast_is_sent_and_takes_the_turnaround_delay() {
    let mut connection = rtu();
    let write = Request::WriteSingleRegister { address: 1, value: 2 }.encode().expect("legal");
    let broadcast = connection.start(UnitId::BROADCAST, &write, TIMEOUT).expect("a free slot");
    let next = started(&mut connection, &read(0, 1));
    assert_eq!(sent(&mut connection, at(0)), Some(from(UnitId(0), &[6, 0, 1, 0, 2])));
    input(&mut connection, at(50), &from(UnitId(0), &[6, 0, 1, 0, 2]));
    assert_eq!((connection.take(broadcast), connection.poll_timeout()), (None, Some(at(100))));
    connection.handle_timeout(at(100));
    assert_eq!(connection.take(broadcast), Some(Outcome::Sent));
    assert!(sent(&mut connection, at(100)).is_some());
    assert_eq!((connection.stats().orphans, connection.stats().timeouts), (1, 0));
    assert_eq!(connection.take(next), None);
    let reading = connection.start(UnitId::BROADCAST, &read(0, 1), TIMEOUT);
    assert!(matches!(reading, Err(StartError::Invalid(_))), "nobody would answer");
}

#[test]
fn the_timeout_counts_from_when_the_request_has_left() {
    let mut options = options(Framing::Rtu);
    options.byte_time = Duration::from_millis(1);
    let mut connection = Connection::<1>::new(options);
    started(&mut connection, &read(0, 1));
    assert_eq!(sent(&mut connection, at(0)).expect("a request").len(), 8);
    assert_eq!(connection.poll_timeout(), Some(at(1_008)));
}

#[test]
fn what_came_before_the_request_does_not_answer_it() {
    let mut connection = Connection::<4>::new(Options::new(Framing::Rtu));
    let reply = from(UNIT, &[3, 2, 0, 9]);
    assert_eq!(input(&mut connection, at(0), &reply[..4]), 0, "the front of what looks like a reply");
    let call = started(&mut connection, &read(0, 1));
    sent(&mut connection, at(1)).expect("a request");
    assert_eq!(input(&mut connection, at(2), &reply), 4, "its front; the rest may be the front of another");
    assert_eq!(connection.take(call), None);
    // This line knows no silence, so the answer itself must show that what stands before it is noise.
    let bytes = [&reply[4..], &from(UNIT, &[3, 2, 0, 1])].concat();
    assert_eq!(input(&mut connection, at(3), &bytes), bytes.len());
    assert_eq!(connection.take(call), response(&[3, 2, 0, 1]));
    assert_eq!(connection.stats().noise, 7);
}

#[test]
fn a_reply_behind_noise_is_found_when_the_line_falls_silent() {
    let mut connection = rtu();
    let call = started(&mut connection, &read(0, 1));
    sent(&mut connection, at(0)).expect("a request");
    // The start of a long reply, as far as can be told.
    let mut bytes = [&[9, 3, 200][..], &from(UNIT, &[3, 2, 0, 9])].concat();
    assert_eq!(input(&mut connection, at(1), &bytes), 0);
    connection.end_of_burst(&mut bytes);
    assert_eq!(connection.take(call), response(&[3, 2, 0, 9]));
}

#[test]
fn a_damaged_reply_is_no_reply() {
    for bit in 0..7 * 8 {
        let mut connection = rtu();
        let call = started(&mut connection, &read(0, 1));
        sent(&mut connection, at(0)).expect("a request");
        let mut bytes = from(UNIT, &[3, 2, 0, 9]);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let used = input(&mut connection, at(1), &bytes);
        connection.end_of_burst(&mut bytes[used..]);
        assert_eq!(connection.take(call), None, "bit {bit}");
    }
}

#[test]
fn an_echo_is_not_taken_for_the_answer() {
    let write = Request::WriteSingleRegister { address: 1, value: 2 }.encode().expect("legal");
    for request in [write, read(0, 1)] {
        for noise in [&[][..], &[0xFF], &[9, 3]] {
            let mut options = options(Framing::Rtu);
            options.local_echo = true;
            let mut connection = Connection::<4>::new(options);
            let call = started(&mut connection, &request);
            let frame = sent(&mut connection, at(0)).expect("a request");
            let mut echo = [noise, &frame].concat();
            let used = input(&mut connection, at(1), &echo);
            connection.end_of_burst(&mut echo[used..]);
            assert_eq!(connection.poll(), None, "noise {noise:?}");
            let answer = if request.function_byte() == 6 { request } else { Pdu::new(&[3, 2, 0, 9]).expect("a PDU") };
            input(&mut connection, at(2), &from(UNIT, answer.as_bytes()));
            assert_eq!(connection.take(call), Some(Outcome::Response(answer)), "noise {noise:?}");
        }
    }
}

#[test]
fn an_echo_may_come_in_pieces() {
    let mut options = options(Framing::Ascii);
    options.local_echo = true;
    let mut connection = Connection::<4>::new(options);
    let write = Request::WriteSingleCoil { address: 1, value: true }.encode().expect("legal");
    let call = started(&mut connection, &write);
    let frame = sent(&mut connection, at(0)).expect("a request");
    for byte in &frame {
        assert_eq!(input(&mut connection, at(1), &[*byte]), 1);
    }
    assert_eq!(connection.poll(), None);
    input(&mut connection, at(2), &frame);
    assert_eq!(connection.take(call), Some(Outcome::Response(write)));
}

#[test]
fn a_line_that_is_never_silent_keeps_no_call_for_ever() {
    let mut connection = rtu();
    input(&mut connection, at(0), &[0xFF]);
    let calls = [started(&mut connection, &read(0, 1)), started(&mut connection, &read(1, 1))];
    for millis in 1..=1_001 {
        assert_eq!(sent(&mut connection, at(millis)), None);
        assert_eq!(connection.take(calls[0]), None);
        input(&mut connection, at(millis), &[0xFF]);
        connection.handle_timeout(at(millis - 1));
    }
    connection.handle_timeout(at(1_001));
    assert_eq!(calls.map(|call| connection.take(call)), [Some(Outcome::Failed(Failure::NotSent)); 2]);
    assert_eq!(connection.stats().timeouts, 0);
}

#[test]
fn reserved_units_are_heard_when_they_are_asked() {
    for (unit, heard) in [(UnitId(250), true), (UNIT, false)] {
        let mut connection = rtu();
        connection.start(unit, &read(0, 1), TIMEOUT).expect("a free slot");
        sent(&mut connection, at(0)).expect("a request");
        input(&mut connection, at(1), &from(UnitId(250), &[3, 2, 0, 9]));
        assert_eq!(connection.poll().is_some(), heard);
    }
}

#[test]
fn custom_functions_are_framed_by_their_own_rule() {
    const CUSTOM: &[CustomLength] = &[CustomLength {
        function: FunctionCode::READ_COILS,
        request: LengthRule::Fixed(5),
        response: LengthRule::Fixed(4),
    }];
    let mut options = options(Framing::Rtu);
    options.custom_lengths = CUSTOM;
    let mut connection = Connection::<1>::new(options);
    connection.start(UNIT, &Pdu::new(&[1, 9]).expect("a PDU"), TIMEOUT).expect("a free slot");
    sent(&mut connection, at(0)).expect("a request");
    input(&mut connection, at(1), &from(UNIT, &[1, 7, 7, 7]));
    assert!(connection.poll().is_some(), "without waiting for silence");
}

#[test]
fn silencing_a_device_is_not_answered() {
    let mut connection = rtu();
    let call = started(&mut connection, &Pdu::new(&[8, 0, 4, 0, 0]).expect("a PDU"));
    sent(&mut connection, at(0)).expect("a request");
    connection.handle_timeout(at(100));
    assert_eq!(connection.take(call), Some(Outcome::Sent));
    started(&mut connection, &read(0, 1));
    assert!(sent(&mut connection, at(100)).is_some(), "no quarantine");
}

#[test]
fn a_pause_takes_what_is_whole_and_keeps_the_rest() {
    let mut connection = rtu();
    let call = started(&mut connection, &read(0, 1));
    sent(&mut connection, at(0)).expect("a request");
    let reply = from(UNIT, &[3, 2, 0, 9]);
    // An adapter hands out the reply in two pieces.
    let mut bytes = reply[..4].to_vec();
    assert_eq!(connection.handle_input(at(10), &mut bytes), Ok(0));
    assert_eq!(connection.pause(&mut bytes), 0, "it may be going on");
    bytes.extend_from_slice(&reply[4..]);
    assert_eq!(connection.handle_input(at(26), &mut bytes), Ok(reply.len()));
    assert_eq!(connection.take(call), response(&[3, 2, 0, 9]));
    assert_eq!(connection.stats().noise, 0);

    // What looks like the beginning of a long reply holds up the good one behind it until there is a pause.
    let call = started(&mut connection, &read(1, 1));
    sent(&mut connection, at(40)).expect("a request");
    let mut bytes = [&[UNIT.0, 3, 250, 1][..], &reply, &[UNIT.0, 3]].concat();
    assert_eq!(connection.handle_input(at(50), &mut bytes), Ok(0));
    assert_eq!(connection.pause(&mut bytes), 4 + reply.len());
    assert_eq!(connection.take(call), response(&[3, 2, 0, 9]));
    assert_eq!(connection.stats().noise, 4);
}

#[test]
fn a_line_is_kept_as_busy_as_frames_and_silences_allow() {
    // 19200 baud, in microseconds: a byte, and t3.5, which device and client keep.
    let (byte, silence) = (573, 2_005);
    let mut options = Options::new(Framing::Rtu);
    options.byte_time = Duration::from_micros(byte);
    options.frame_gap = Duration::from_micros(silence);
    let mut connection = Connection::<4>::new(options);
    let reply = from(UNIT, &[&[3, 20][..], &[7; 20]].concat());
    let mut now = Instant::ZERO;
    let mut cycle = 0;
    for exchange in 0..1_000 {
        let call = started(&mut connection, &read(0, 10));
        // What the client says itself about when it may speak is all that it is woken for.
        let at = connection.poll_timeout().map_or(now, |at| at.max(now));
        assert_eq!(at.as_micros() - now.as_micros(), if exchange == 0 { 0 } else { silence }, "nothing but t3.5");
        let request = sent(&mut connection, at).expect("the line is silent");
        cycle = (request.len() + reply.len()) as u64 * byte + 2 * silence;
        now = at + Duration::from_micros(request.len() as u64 * byte + silence);
        let mut window = Vec::new();
        for part in &reply {
            now += Duration::from_micros(byte);
            window.push(*part);
            let used = connection.handle_input(now, &mut window).expect("RTU");
            window.drain(..used);
        }
        assert!(matches!(connection.take(call), Some(Outcome::Response(_))), "answered by its last byte");
    }
    assert_eq!(now.as_micros(), 1_000 * cycle - silence, "not a microsecond is lost");
}
