//! Checksums and frames, as far as the specifications print them, and every example in every framing.

use dinrail_proto::adu::{Decoded, Decoder, Side, crc16, lrc};
use dinrail_proto::{Adu, Framing, UnitId};

use crate::examples::EXAMPLES;

fn encode(framing: Framing, transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut out = vec![0; framing.max_adu()];
    let adu = Adu { transaction, unit: UnitId(unit), pdu };
    let length = framing.encode(&adu, &mut out).expect("it fits");
    out.truncate(length);
    out
}

#[test]
fn checksums() {
    // SL 6.2.2: the frame 02 07 has the CRC 41 12, low byte first.
    assert_eq!(crc16(&[0x02, 0x07]).to_le_bytes(), [0x41, 0x12]);
    // Check values of the CRC itself, and of frames seen on real lines.
    assert_eq!(crc16(b"123456789"), 0x4B37);
    assert_eq!(crc16(&[]), 0xFFFF);
    assert_eq!(crc16(&[0x01, 0x03, 0x00, 0x00, 0x00, 0x0A]).to_le_bytes(), [0xC5, 0xCD]);
    assert_eq!(crc16(&[0x11, 0x03, 0x00, 0x6B, 0x00, 0x03]).to_le_bytes(), [0x76, 0x87]);
    assert_eq!(lrc(&[0x11, 0x03, 0x00, 0x6B, 0x00, 0x03]), 0x7E);
    assert_eq!(lrc(&[]), 0);
    assert_eq!(lrc(&[0xFF, 0x01]), 0);
}

/// The CRC as SL 6.2.1.2 describes it, bit by bit, against the table.
#[test]
fn the_table_does_what_the_shifts_do() {
    let shifts = |bytes: &[u8]| {
        bytes.iter().fold(0xFFFFu16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 })
        })
    };
    for first in 0..=255u8 {
        let bytes = [first, first.wrapping_mul(7), 0x55, first ^ 0xA5];
        assert_eq!(crc16(&bytes), shifts(&bytes));
        assert_eq!(crc16(&bytes[..1]), shifts(&bytes[..1]));
    }
}

#[test]
fn known_frames() {
    let pdu = [0x03, 0x00, 0x6B, 0x00, 0x03];
    assert_eq!(encode(Framing::Rtu, 0, 0x11, &pdu), [0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x76, 0x87]);
    assert_eq!(encode(Framing::Ascii, 0, 0x11, &pdu), b":1103006B00037E\r\n");
    assert_eq!(
        encode(Framing::Tcp, 0x1501, 0xFF, &pdu),
        [0x15, 0x01, 0x00, 0x00, 0x00, 0x06, 0xFF, 0x03, 0x00, 0x6B, 0x00, 0x03]
    );
}

#[test]
fn the_longest_frames() {
    for (framing, longest) in [(Framing::Tcp, 260), (Framing::Rtu, 256), (Framing::Ascii, 513), (Framing::Pdu, 253)] {
        assert_eq!(framing.max_adu(), longest);
        assert_eq!(encode(framing, 0, 1, &[0x64; 253]).len(), longest);
    }
}

#[test]
fn every_example_in_every_framing() {
    for framing in [Framing::Tcp, Framing::Rtu, Framing::Ascii, Framing::Binary] {
        for example in EXAMPLES {
            for (pdu, side) in [(example.request, Side::Requests), (example.reply, Side::Replies)] {
                for side in [side, Side::Bus] {
                    let decoder = Decoder::new(framing, side);
                    let mut line = encode(framing, 0, 0x11, pdu);
                    let length = line.len();
                    // A function without a length ends with the burst.
                    let at_end = pdu[0] == 0x64;
                    let adu = Adu { transaction: 0, unit: UnitId(0x11), pdu };
                    let decoded = decoder.decode(&mut line, at_end);
                    assert_eq!(decoded, Decoded::Frame { adu, length }, "{} as {framing:?}", example.name);
                }
            }
        }
    }
}

#[test]
fn no_single_wrong_byte_passes() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        for example in EXAMPLES {
            let good = encode(framing, 0, 0x11, example.request);
            for at in 0..good.len() {
                let mut bad = good.clone();
                // Hex digits, the colon and CR LF stay different from each other under this.
                bad[at] ^= 0x01;
                let decoded = Decoder::new(framing, Side::Requests).decode(&mut bad, true);
                let same = matches!(decoded, Decoded::Frame { length, .. } if length == good.len());
                assert!(!same, "{} as {framing:?}, byte {at}", example.name);
            }
        }
    }
}
