//! The binary framing, against frames that pymodbus 3.0.2 and 3.6.9 have made (both make the same).

use dinrail_proto::adu::{Adu, Decoded, Decoder, Discard, Expected, Side};
use dinrail_proto::client::{Connection, Options, Outcome};
use dinrail_proto::error::EncodeError;
use dinrail_proto::server;
use dinrail_proto::{Framing, Request, UnitId};

use crate::{asked, at, read, receive, response, send};

const BOTH: Decoder = Decoder::new(Framing::Binary, Side::Bus);

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// `ModbusBinaryFramer.buildPacket` of requests and replies, and what they are.
fn made_by_pymodbus() -> [(&'static str, u8, &'static [u8]); 14] {
    [
        ("7b1103006b000376877d", 0x11, &[3, 0, 0x6B, 0, 3]),
        ("7b0103007b7b0001a2ce7d", 1, &[3, 0, 0x7B, 0, 1]),
        ("7b01037b7b7b7b0001f5bb7d", 1, &[3, 0x7B, 0x7B, 0, 1]),
        ("7b0103007d7d000202467d", 1, &[3, 0, 0x7D, 0, 2]),
        // Units are not doubled.
        ("7b7b0300010001de507d", 0x7B, &[3, 0, 1, 0, 1]),
        ("7b7d0300010001de367d", 0x7D, &[3, 0, 1, 0, 1]),
        ("7b011000010003067b7b7d7d7d7d7b7b7d7d7d7dbf747d", 1, &[16, 0, 1, 0, 3, 6, 0x7B, 0x7D, 0x7D, 0x7B, 0x7D, 0x7D]),
        ("7b010304007b7b00051bbd7d", 1, &[3, 4, 0, 0x7B, 0, 5]),
        ("7b010304007d7d0005fb347d", 1, &[3, 4, 0, 0x7D, 0, 5]),
        ("7b0101017b7b2b2f7d", 1, &[1, 1, 0x7B]),
        // The CRC has a brace first, last, and is two of them.
        ("7b0103280300017daa7d", 1, &[3, 0x28, 3, 0, 1]),
        ("7b010302310001d47d7d", 1, &[3, 2, 0x31, 0, 1]),
        ("7b01032cb300017d7d7d", 1, &[3, 0x2C, 0xB3, 0, 1]),
        ("7b0103300300017b0a7d", 1, &[3, 0x30, 3, 0, 1]),
    ]
}

fn encode(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut out = vec![0; Framing::Binary.max_adu()];
    let length = Framing::Binary.encode(&Adu { transaction: 0, unit: UnitId(unit), pdu }, &mut out).expect("it fits");
    out.truncate(length);
    out
}

#[test]
fn s001_22_what_pymodbus_sends_is_understood() {
    for side in [Side::Requests, Side::Replies, Side::Bus] {
        for (frame, unit, pdu) in made_by_pymodbus() {
            let mut line = hex(frame);
            let length = line.len();
            for cut in 0..length {
                let decoded = BOTH.decode(&mut line[..cut], false);
                assert_eq!(decoded, Decoded::Incomplete, "{cut} of {frame}");
            }
            let adu = Adu { transaction: 0, unit: UnitId(unit), pdu };
            let decoder = Decoder::new(Framing::Binary, side);
            assert_eq!(decoder.decode(&mut line, false), Decoded::Frame { adu, length }, "{frame}");
        }
    }
}

/// Frames without an opening brace in the data are those of pymodbus, byte for byte. The others have it once: so pymodbus
/// reads them, as it would not read its own.
#[test]
fn s001_22_what_pymodbus_understands_is_sent() {
    for (frame, unit, pdu) in made_by_pymodbus() {
        let ours = encode(unit, pdu);
        if pdu[1..].contains(&b'{') {
            assert_eq!(
                ours.iter().filter(|byte| **byte == b'{').count(),
                1 + pdu.iter().filter(|byte| **byte == b'{').count()
            );
        } else {
            assert_eq!(ours, hex(frame));
        }
    }
    assert_eq!(encode(1, &[3, 0, 0x7B, 0, 1])[..7], [b'{', 1, 3, 0, 0x7B, 0, 1]);
    // Where no length tells, braces are doubled; but one alone cannot be half of a pair.
    assert_eq!(encode(1, &[100, b'{', b'{'])[2..7], [100, b'{', b'{', b'{', b'{']);
    assert_eq!(encode(1, &[100, b'{', 1])[2..5], [100, b'{', 1]);
    assert_eq!(encode(1, &[100, b'}', 1])[2..6], [100, b'}', b'}', 1]);
}

#[test]
fn the_longest_frame_is_nothing_but_closing_braces() {
    let pdu = [b'}'; 253];
    let mut frame = encode(b'}', &pdu);
    assert_eq!((frame.len(), Framing::Binary.max_adu()), (510, 510));
    let adu = Adu { transaction: 0, unit: UnitId(b'}'), pdu: &pdu };
    assert_eq!(BOTH.decode(&mut frame, false), Decoded::Frame { adu, length: 510 });
    // One more is none.
    let mut line = vec![b'{', 1, 100];
    line.resize(3 + 2 * 253, b'}');
    line.extend(dinrail_proto::adu::crc16(&line[1..]).to_le_bytes());
    line.push(b'}');
    let length = line.len();
    assert_eq!(BOTH.decode(&mut line, true), Decoded::Skip { length, reason: Discard::Noise });
}

#[test]
fn room_is_asked_for_as_it_is_needed() {
    let mut out = [0; 16];
    let mut encode = |pdu: &[u8], room: usize| {
        Framing::Binary.encode(&Adu { transaction: 0, unit: UnitId(1), pdu }, &mut out[..room])
    };
    assert_eq!(encode(&[3, 0, 1, 0, 1], 10), Ok(10));
    assert_eq!(encode(&[3, 0, 1, 0, 1], 9), Err(EncodeError::NoRoom { needed: 10 }));
    assert_eq!(encode(&[3, 0, 0x7D, 0, 1], 11), Ok(11));
    assert_eq!(encode(&[3, 0, 0x7D, 0, 1], 10), Err(EncodeError::NoRoom { needed: 11 }));
    assert_eq!(encode(&[100, b'{', b'{'], 10), Ok(10));
    assert_eq!(encode(&[100, b'{', b'{'], 9), Err(EncodeError::NoRoom { needed: 10 }));
    assert_eq!(encode(&[], 16), Err(EncodeError::Field("a PDU has at least one byte, its function code")));
    assert_eq!(encode(&[1; 254], 16), Err(EncodeError::TooLong { length: 254 }));
}

/// No bit that flips, no byte that is missing and nothing in front keeps the frame behind it from being found.
#[test]
fn a_damaged_frame_costs_itself_alone() {
    let good = encode(9, &[6, 0, 1, 0, 3]);
    for (frame, ..) in made_by_pymodbus() {
        let frame = hex(frame);
        let flipped = (0..frame.len() * 8).map(|bit| {
            let mut line = frame.clone();
            line[bit / 8] ^= 1 << (bit % 8);
            line
        });
        let cut = (0..frame.len()).map(|at| [&frame[..at], &frame[at + 1..]].concat());
        let noise = ["{", "}", "{{", "}}", "{}", "{1}", "}{", "{{{{{{"].map(|noise| noise.as_bytes().to_vec());
        for damaged in flipped.chain(cut).chain(noise) {
            let mut window = [damaged.as_slice(), &good].concat();
            let mut found = false;
            let mut at_end = false;
            loop {
                let length = match BOTH.decode(&mut window, at_end) {
                    Decoded::Frame { adu, length } => {
                        assert_eq!((adu.unit, adu.pdu), (UnitId(9), &[6, 0, 1, 0, 3][..]), "{damaged:02x?}");
                        found = true;
                        length
                    }
                    Decoded::Skip { length, .. } => length,
                    Decoded::Incomplete if at_end => break,
                    Decoded::Incomplete => {
                        at_end = true;
                        continue;
                    }
                    Decoded::Unframeable { .. } => panic!("never"),
                };
                window.drain(..length);
            }
            assert!(found, "behind {damaged:02x?}");
        }
    }
}

/// Without waiting for silence: that a frame is damaged is known when two more bytes have come.
#[test]
fn a_damaged_frame_is_known_soon() {
    let mut damaged = encode(1, &[3, 0, 1, 0, 1]);
    damaged[4] ^= 1;
    let length = damaged.len();
    let mut window = [damaged, encode(9, &[7])].concat();
    assert_eq!(BOTH.decode(&mut window[..length], false), Decoded::Incomplete);
    assert_eq!(BOTH.decode(&mut window[..length + 1], false), Decoded::Skip { length, reason: Discard::Noise });
}

#[test]
fn the_expected_reply_is_found_behind_garbage() {
    let expected = Expected::reply_to(UnitId(1), &[3, 0, 0, 0, 1]).expect("a function");
    let (ours, other) = (encode(1, &[3, 2, 0, 7]), encode(2, &[3, 2, 0, 7]));
    for (reply, found) in [(ours, true), (encode(1, &[0x83, 2]), true), (other, false)] {
        let mut line = [&b"{x"[..], &reply].concat();
        assert_eq!(BOTH.decode(&mut line, false), Decoded::Incomplete);
        let decoded = BOTH.decode_expected(&mut line, false, &expected);
        let skip = Decoded::Skip { length: 2, reason: Discard::Noise };
        assert_eq!(decoded, if found { skip } else { Decoded::Incomplete });
    }
}

#[test]
fn s001_23_client_and_server_share_a_binary_line() {
    let mut client = Connection::<2>::new(Options::new(Framing::Binary));
    let mut server = server::Connection::new(Framing::Binary, UnitId(0x7D).into());
    // The neighbour's exchange passes by; its registers hold what would be a request for us.
    let nested = encode(0x7D, &[6, 0, 1, 0, 3]);
    let mut reply = vec![3, nested.len() as u8];
    reply.extend(&nested);
    let mut line = [encode(5, &[3, 0, 0, 0, 5]), encode(5, &reply)].concat();
    assert_eq!(asked(&mut server, &mut line, false), []);
    assert!(line.is_empty());

    let (call, sent) = send(&mut client, at(0), 0x7D, &read(0x7B7D, 2));
    assert!(send(&mut client, at(0), 1, &read(0, 1)).1.is_none()); // one at a time
    let seen = asked(&mut server, &mut sent.expect("a frame"), false);
    let [(unit, pdu, to)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((unit.0, pdu.as_slice()), (0x7D, &[3, 0x7B, 0x7D, 0, 2][..]));
    let mut out = [0; 510];
    let answer = [3, 4, b'{', b'{', b'}', b'}'];
    let length = server.reply(*to, &answer, &mut out).expect("it fits");
    assert_eq!(receive(&mut client, at(1), &out[..length]), length);
    assert_eq!(client.take(call), response(&answer));
}

#[test]
fn unit_0_is_a_broadcast() {
    let mut client = Connection::<1>::new(Options::new(Framing::Binary));
    let write = Request::WriteSingleRegister { address: 1, value: 3 }.encode().expect("legal");
    let (call, sent) = send(&mut client, at(0), 0, &write);
    let mut server = server::Connection::new(Framing::Binary, UnitId(4).into());
    let seen = asked(&mut server, &mut sent.expect("a frame"), false);
    assert!(seen[0].2.is_broadcast());
    client.handle_timeout(at(100));
    assert_eq!(client.take(call), Some(Outcome::Sent));
}
