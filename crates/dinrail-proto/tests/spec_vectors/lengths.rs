//! Where RTU frames end, told from their bytes alone.

use dinrail_proto::FunctionCode;
use dinrail_proto::adu::{CustomLength, Decoded, Decoder, Length, LengthRule, Side, crc16};
use dinrail_proto::adu::{request_length, response_length};
use dinrail_proto::{ExceptionCode, Framing, Pdu, UnitId};

use crate::examples::EXAMPLES;

/// The answer must be right for the whole PDU, must come before its last byte, and must not change when more follows.
#[track_caller]
fn check(of: fn(&[u8]) -> Length, pdu: &[u8]) {
    let exact = Length::Exact(pdu.len());
    let mut followed = pdu.to_vec();
    followed.extend([0xFF; 8]);
    let known = (1..=pdu.len()).find(|&length| of(&followed[..length]) != Length::More).expect("known at last");
    for length in 0..followed.len() {
        let expected = if length < known { Length::More } else { exact };
        assert_eq!(of(&followed[..length]), expected, "{pdu:02x?} after {length} bytes");
    }
}

#[test]
fn every_example() {
    for example in EXAMPLES.iter().filter(|example| !matches!(example.request[0], 8 | 0x64)) {
        check(request_length, example.request);
        check(response_length, example.reply);
        check(response_length, Pdu::exception(example.request[0], ExceptionCode::ServerDeviceBusy).as_bytes());
    }
}

#[test]
fn return_query_data_has_two_bytes_or_ends_in_silence() {
    for of in [request_length, response_length] {
        assert_eq!(of(&[8, 0]), Length::More);
        assert_eq!(of(&[8, 0, 0, 1]), Length::Usually(5));
        assert_eq!(of(&[8, 0, 1]), Length::Exact(5));
    }
    for data in [0, 1, 2, 3, 100, 250] {
        let mut line = vec![1, 8, 0, 0];
        line.extend((0..data).map(|byte| byte as u8));
        line.extend(crc16(&line).to_le_bytes());
        let whole = line.len();
        let decoder = Decoder::new(Framing::Rtu, Side::Requests);
        for length in 0..whole {
            assert_eq!(decoder.decode(&mut line[..length], false), Decoded::Incomplete, "{length} of {whole}");
        }
        let at_once = matches!(decoder.decode(&mut line, false), Decoded::Frame { length, .. } if length == whole);
        assert_eq!(at_once, matches!(data, 2 | 250), "{data} bytes");
        let at_end = matches!(decoder.decode(&mut line, true), Decoded::Frame { length, .. } if length == whole);
        assert!(at_end, "{data} bytes");
    }
}

#[test]
fn impossible_byte_counts() {
    for (function, good) in [(1, 1..=250), (2, 1..=250), (12, 6..=70)] {
        for count in 0..=255u8 {
            let length = response_length(&[function, count]);
            let expected =
                if good.contains(&count) { Length::Exact(2 + usize::from(count)) } else { Length::Impossible };
            assert_eq!(length, expected, "{count} of function {function}");
        }
    }
    for count in 0..=255u8 {
        let good = count % 2 == 0 && (2..=250).contains(&count);
        assert_eq!(response_length(&[3, count]) != Length::Impossible, good, "{count}");
    }
    for (count, good) in [(0, false), (2, true), (3, false), (64, true), (65, false), (66, false), (0x0102, false)] {
        let [high, low] = u16::to_be_bytes(count);
        assert_eq!(response_length(&[24, high, low]) != Length::Impossible, good, "{count}");
    }
    for function in [0, 128] {
        assert_eq!(response_length(&[function]), Length::Impossible);
    }
    for function in (128..=255).chain([0]) {
        assert_eq!(request_length(&[function]), Length::Impossible);
    }
}

#[test]
fn quantities_may_contradict_byte_counts() {
    assert_eq!(request_length(&[16, 0, 0, 0, 2, 4]), Length::Exact(10));
    assert_eq!(request_length(&[16, 0, 0, 0, 2, 5]), Length::Usually(11));
    assert_eq!(request_length(&[15, 0, 0, 0, 9, 2]), Length::Exact(8));
    assert_eq!(request_length(&[15, 0, 0, 0, 9, 1]), Length::Usually(7));
    // In 8 and 16 bits these would wrap to what fits.
    assert_eq!(request_length(&[16, 0, 0, 0, 129, 2]), Length::Usually(8));
    assert_eq!(request_length(&[16, 0, 0, 0x80, 1, 2]), Length::Usually(8));
    assert_eq!(request_length(&[15, 0, 0, 8, 1, 1]), Length::Usually(7));
    // Nothing to write is a whole request: it gets its 03 at once.
    assert_eq!(request_length(&[16, 0, 0, 0, 0, 0]), Length::Exact(6));
    assert_eq!(request_length(&[23, 0, 0, 0, 1, 0, 0, 0, 1, 2]), Length::Exact(12));
    assert_eq!(request_length(&[23, 0, 0, 0, 1, 0, 0, 0, 1, 3]), Length::Usually(13));
}

#[test]
fn custom_functions() {
    const CUSTOM: &[CustomLength] = &[
        CustomLength {
            function: FunctionCode::new(65).unwrap(),
            request: LengthRule::Fixed(3),
            response: LengthRule::ByteCountAt(2),
        },
        CustomLength {
            function: FunctionCode::new(66).unwrap(),
            request: LengthRule::Computed(|pdu| {
                pdu.get(1).map_or(Length::More, |n| Length::Exact(2 + 4 * usize::from(*n)))
            }),
            response: LengthRule::Computed(response_length),
        },
    ];
    let decode = |side, body: &[u8]| {
        let mut line = body.to_vec();
        line.extend(crc16(body).to_le_bytes());
        let decoder = Decoder::new(Framing::Rtu, side).with_custom_lengths(CUSTOM);
        match decoder.decode(&mut line, false) {
            Decoded::Frame { adu, length } => Some((adu.unit, adu.pdu.len(), length)),
            _ => None,
        }
    };
    assert_eq!(decode(Side::Requests, &[9, 65, 1, 2]), Some((UnitId(9), 3, 6)));
    assert_eq!(decode(Side::Replies, &[9, 65, 1, 2, 7, 8]), Some((UnitId(9), 5, 8)));
    assert_eq!(decode(Side::Bus, &[9, 65, 1, 2, 7, 8]), Some((UnitId(9), 5, 8)));
    assert_eq!(decode(Side::Requests, &[9, 66, 1, 1, 2, 3, 4]), Some((UnitId(9), 6, 9)));
    assert_eq!(decode(Side::Replies, &[9, 65 | 0x80, 1]), Some((UnitId(9), 2, 5)));
    assert_eq!(decode(Side::Replies, &[9, 66, 1]), None);
}

#[test]
fn reserved_units() {
    for unit in [0, 1, 247, 248, 255] {
        let mut line = vec![unit, 3, 2, 0, 7];
        line.extend(crc16(&line).to_le_bytes());
        let strict = Decoder::new(Framing::Rtu, Side::Replies);
        let lenient = strict.with_reserved_units();
        let is_frame = |decoder: Decoder| matches!(decoder.decode(&mut line.clone(), false), Decoded::Frame { .. });
        assert_eq!(is_frame(strict), matches!(unit, 1..=247), "unit {unit}");
        assert!(is_frame(lenient), "unit {unit}");
    }
}
