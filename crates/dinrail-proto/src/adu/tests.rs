//! The decoder's promises, one by one; `tests/properties.rs` holds them against arbitrary bytes.

use super::{Adu, Decoded, Decoder, Discard, Expected, Framing, Side, crc16, lrc};
use crate::error::EncodeError;
use crate::{FunctionCode, UnitId};

/// An RTU frame of these bytes: their CRC is put behind them.
fn rtu(body: &[u8]) -> std::vec::Vec<u8> {
    let mut frame = body.to_vec();
    frame.extend(crc16(body).to_le_bytes());
    frame
}

/// What a window turns into: frames as unit and PDU, skips as lengths.
#[derive(Debug, PartialEq)]
enum Seen {
    Frame(u8, std::vec::Vec<u8>),
    Skip(usize, Discard),
}

fn all(decoder: &Decoder, bytes: &[u8], at_end: bool) -> (std::vec::Vec<Seen>, usize) {
    let mut window = bytes.to_vec();
    let mut seen = std::vec![];
    loop {
        let used = match decoder.decode(&mut window, at_end) {
            Decoded::Frame { adu, length } => {
                seen.push(Seen::Frame(adu.unit.0, adu.pdu.to_vec()));
                length
            }
            Decoded::Skip { length, reason } => {
                seen.push(Seen::Skip(length, reason));
                length
            }
            Decoded::Incomplete => return (seen, window.len()),
            Decoded::Unframeable { length } => panic!("unframeable {length}"),
        };
        window.drain(..used);
    }
}

#[test]
fn checksums_of_known_bytes() {
    assert_eq!(crc16(b"123456789"), 0x4B37); // the check value of CRC-16/MODBUS
    assert_eq!(crc16(&[0x02, 0x07]), 0x1241); // the example of SL 6.2.2: sent as 41 12
    assert_eq!(crc16(&[0x02, 0x07, 0x41, 0x12]), 0);
    assert_eq!(lrc(&[0x02, 0x07]), 0xF7);
}

#[test]
fn what_cannot_be_framed_is_said() {
    let mut out = [0; 600];
    for framing in [Framing::Tcp, Framing::Rtu, Framing::Ascii, Framing::Pdu] {
        let mut encode =
            |pdu: &[u8], room| framing.encode(&Adu { transaction: 0, unit: UnitId(1), pdu }, &mut out[..room]);
        assert!(matches!(encode(&[], 600), Err(EncodeError::Field(_))));
        assert_eq!(encode(&[7; 254], 0), Err(EncodeError::TooLong { length: 254 }));
        assert_eq!(encode(&[7; 253], 600), Ok(framing.max_adu()));
        for pdu in [&[7; 1][..], &[7; 253]] {
            let needed = framing.adu_length(pdu.len());
            assert_eq!(encode(pdu, needed), Ok(needed));
            assert_eq!(encode(pdu, needed - 1), Err(EncodeError::NoRoom { needed }));
        }
    }
}

#[test]
fn a_bus_is_read_both_ways() {
    let decoder = Decoder::new(Framing::Rtu, Side::Bus);
    let request = rtu(&[5, 3, 0, 0, 0, 2]);
    let reply = rtu(&[5, 3, 4, 1, 2, 3, 4]);
    let ours = rtu(&[1, 6, 0, 1, 0, 3]);
    let line = [request, reply, ours].concat();
    let (seen, left) = all(&decoder, &line, false);
    assert_eq!(left, 0);
    let frame = |unit, pdu: &[u8]| Seen::Frame(unit, pdu.to_vec());
    assert_eq!(seen, [frame(5, &[3, 0, 0, 0, 2]), frame(5, &[3, 4, 1, 2, 3, 4]), frame(1, &[6, 0, 1, 0, 3])]);
}

#[test]
fn of_two_right_readings_the_shorter_wins() {
    let short = rtu(&[5, 3, 6, 0, 0, 1]);
    // The same bytes begin a reply of six bytes of data, which is right as well.
    let long = rtu(&[short.as_slice(), &[9]].concat());
    assert_eq!(long.len(), 3 + 6 + 2);
    let decode = |side| match Decoder::new(Framing::Rtu, side).decode(&mut long.clone(), true) {
        Decoded::Frame { length, .. } => length,
        other => panic!("{other:?}"),
    };
    assert_eq!([Side::Requests, Side::Replies, Side::Bus].map(decode), [8, 11, 8]);
}

#[test]
fn a_broadcast_is_not_taken_for_the_start_of_a_reply() {
    // As a reply, which a broadcast never gets, this would go on for 200 bytes.
    let mut damaged = [0, 3, 200, 0, 0, 1, 0, 0];
    let decoder = Decoder::new(Framing::Rtu, Side::Bus);
    assert!(matches!(decoder.decode(&mut damaged, false), Decoded::Skip { .. }));
    damaged[0] = 1;
    assert_eq!(decoder.decode(&mut damaged, false), Decoded::Incomplete);
}

#[test]
fn an_ascii_frame_has_no_more_than_513_characters() {
    let decoder = Decoder::new(Framing::Ascii, Side::Bus);
    for (bytes, good) in [(255, true), (256, false)] {
        let mut frame = std::vec![b':'];
        frame.resize(1 + 2 * bytes, b'0');
        frame.extend(b"\r\n");
        let (seen, left) = all(&decoder, &frame, false);
        assert_eq!(left, 0);
        let expected = if good { Seen::Frame(0, std::vec![0; 253]) } else { Seen::Skip(frame.len(), Discard::Broken) };
        assert_eq!(seen, [expected]);
    }
}

#[test]
fn nothing_inside_a_foreign_frame_is_ours() {
    let inner = rtu(&[1, 6, 0, 1, 0, 3]);
    let mut body = std::vec![5, 3, inner.len() as u8];
    body.extend(&inner);
    let reply = rtu(&body);
    let decoder = Decoder::new(Framing::Rtu, Side::Bus);
    for cut in 0..reply.len() {
        assert_eq!(all(&decoder, &reply[..cut], false), (std::vec![], cut), "{cut} bytes");
    }
    assert_eq!(all(&decoder, &reply, false), (std::vec![Seen::Frame(5, body[1..].to_vec())], 0));
}

#[test]
fn the_end_of_a_burst_decides_everything() {
    let decoder = Decoder::new(Framing::Rtu, Side::Requests);
    // A write of 120 registers that never came, and a good frame behind its header.
    let mut line = std::vec![1, 16, 0, 0, 0, 120, 240];
    line.extend(rtu(&[1, 6, 0, 1, 0, 3]));
    assert_eq!(all(&decoder, &line, false), (std::vec![], line.len()));
    let (seen, left) = all(&decoder, &line, true);
    assert_eq!(seen, [Seen::Skip(7, Discard::Broken), Seen::Frame(1, std::vec![6, 0, 1, 0, 3])]);
    assert_eq!(left, 0);
}

#[test]
fn a_function_without_a_length_ends_with_the_burst() {
    let decoder = Decoder::new(Framing::Rtu, Side::Requests);
    let line = rtu(&[1, 100, 1, 2, 3]);
    assert_eq!(all(&decoder, &line, false), (std::vec![], line.len()));
    assert_eq!(all(&decoder, &line, true), (std::vec![Seen::Frame(1, std::vec![100, 1, 2, 3])], 0));
}

#[test]
fn the_expected_reply_is_found_behind_garbage() {
    let decoder = Decoder::new(Framing::Rtu, Side::Replies);
    let expected = Expected::reply_to(UnitId(1), &[3, 0, 0, 0, 2]).expect("a function");
    assert_eq!(expected, Expected { unit: UnitId(1), function: FunctionCode::READ_HOLDING_REGISTERS, length: Some(6) });
    let reply = rtu(&[1, 3, 4, 1, 2, 3, 4]);
    let refusal = rtu(&[1, 0x83, 2]);
    let other = rtu(&[1, 3, 2, 1, 2]);
    let foreign = rtu(&[2, 3, 4, 1, 2, 3, 4]);
    for (behind, found) in [(&reply, true), (&refusal, true), (&other, false), (&foreign, false)] {
        // The garbage claims to be a long reply of another unit.
        let mut line = [&[9, 3, 200][..], behind].concat();
        assert_eq!(decoder.decode(&mut line, false), Decoded::Incomplete);
        let decoded = decoder.decode_expected(&mut line, false, &expected);
        let skip = Decoded::Skip { length: 3, reason: Discard::Noise };
        assert_eq!(decoded, if found { skip } else { Decoded::Incomplete });
    }
    // A reply that has begun is not searched: what looks like an exception inside it is its data.
    let mut body = std::vec![1, 3, 10];
    body.extend(&refusal);
    let expected = Expected { length: Some(12), ..expected };
    assert_eq!(decoder.decode_expected(&mut body, false, &expected), Decoded::Incomplete);
}

#[test]
fn an_echo_of_unusual_length_needs_no_silence() {
    let decoder = Decoder::new(Framing::Rtu, Side::Replies);
    let request = [8, 0, 0, 1, 2, 3, 4, 5];
    let expected = Expected::reply_to(UnitId(1), &request).expect("a function");
    let mut line = rtu(&[&[1], &request[..]].concat());
    let last = line.len() - 1;
    assert_eq!(decoder.decode(&mut line, false), Decoded::Incomplete, "it could be longer");
    assert_eq!(decoder.decode_expected(&mut line[..last], false, &expected), Decoded::Incomplete);
    let length = line.len();
    let Decoded::Frame { adu, length: used } = decoder.decode_expected(&mut line, false, &expected) else {
        panic!("the request says how long it is");
    };
    assert_eq!((adu.pdu, used), (&request[..], length));
}

#[test]
fn noise_that_is_right_by_chance_does_not_swallow_the_frame_behind_it() {
    let request = rtu(&[7, 3, 0, 0, 0, 2]);
    // Two bytes make any checksum right: here that of noise and request together.
    let noise = (0..=u16::MAX).map(|word| [5, 0x41, word.to_be_bytes()[0], word.to_be_bytes()[1]]);
    let burst = noise.map(|noise| [&noise[..], &request].concat()).find(|burst| crc16(burst) == 0);
    let burst = burst.expect("one of them is right");
    let decoder = Decoder::new(Framing::Rtu, Side::Bus);
    assert_eq!(decoder.whole_until(&burst), Some(burst.len()));
    let found = [Seen::Skip(4, Discard::Broken), Seen::Frame(7, std::vec![3, 0, 0, 0, 2])];
    assert_eq!(all(&decoder, &burst, true), (found.into(), 0));
    // A frame that carries another is one frame: its own checksum stands at the end.
    let tunnel = rtu(&[&[5, 0x41][..], &request].concat());
    assert_eq!(all(&decoder, &tunnel, true), (std::vec![Seen::Frame(5, tunnel[1..tunnel.len() - 2].to_vec())], 0));
}

#[test]
fn ascii_frames_end_where_they_say() {
    let decoder = Decoder::new(Framing::Ascii, Side::Requests);
    let adu = Adu { transaction: 0, unit: UnitId(1), pdu: &[3, 0, 0, 0, 10] };
    let mut out = [0; 32];
    let length = Framing::Ascii.encode(&adu, &mut out).expect("fits");
    assert_eq!(&out[..length], b":01030000000AF2\r\n");
    let good = Seen::Frame(1, std::vec![3, 0, 0, 0, 10]);
    assert_eq!(all(&decoder, b":01030000000af2\r\n", false), (std::vec![good], 0));
    let dropped: [(&[u8], Discard); 6] = [
        (b":01030000000AF3\r\n", Discard::Noise),
        (b":01030000000AF\r\n", Discard::Broken),
        (b":01030000000xF2\r\n", Discard::Broken),
        (b":01030000000AF2\rx", Discard::Broken),
        (b":0103\r\n", Discard::Broken),
        (b"01030000000AF2\r\n", Discard::Noise),
    ];
    for (text, reason) in dropped {
        let line = [text, b":01030000000AF2\r\n"].concat();
        let expected = [Seen::Skip(text.len(), reason), Seen::Frame(1, std::vec![3, 0, 0, 0, 10])];
        assert_eq!(all(&decoder, &line, false), (expected.into(), 0), "{text:?}");
    }
}
