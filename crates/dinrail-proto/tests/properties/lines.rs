//! Decoders: the same frames whatever the pieces, every good frame in the end, and never a panic.

use dinrail_proto::adu::{Decoded, Decoder, Expected, Length, Side, crc16, request_length};
use dinrail_proto::{Framing, Request, UnitId};
use proptest::prelude::*;

use crate::generate::{custom_function, frame, framed, garbage, is_ambiguous, line, pieces, request, rtu};

/// A frame, or the end of the line, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Frame { start: usize, end: usize, unit: u8, pdu: Vec<u8> },
    Unframeable { at: usize },
}

/// Shows a line to a decoder in pieces, ends the burst, and says what was found. Checks that every answer is sound.
fn run(decoder: &Decoder, line: &[u8], sizes: &[usize]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut window = Vec::new();
    let (mut start, mut came) = (0, 0);
    let mut sizes = sizes.iter().cycle();
    loop {
        let at_end = came == line.len();
        loop {
            let shown = window.len();
            let length = match decoder.decode(&mut window, at_end) {
                Decoded::Frame { adu, length } => {
                    assert!((1..=253).contains(&adu.pdu.len()));
                    let made = decoder.framing().adu_length(adu.pdu.len());
                    assert!(made == length || (made > length && decoder.framing() == Framing::Binary));
                    let (unit, pdu) = (adu.unit.0, adu.pdu.to_vec());
                    seen.push(Seen::Frame { start, end: start + length, unit, pdu });
                    length
                }
                Decoded::Skip { length, .. } => length,
                Decoded::Incomplete => {
                    assert!(shown < decoder.framing().max_adu(), "no decision on a full window");
                    break;
                }
                Decoded::Unframeable { .. } => {
                    seen.push(Seen::Unframeable { at: start });
                    return seen;
                }
            };
            assert!((1..=shown).contains(&length), "took {length} of {shown} bytes");
            window.drain(..length);
            start += length;
        }
        if at_end {
            assert!(window.is_empty(), "the end of a burst decides everything");
            return seen;
        }
        let size = (line.len() - came).min(*sizes.next().expect("endless"));
        window.extend(&line[came..came + size]);
        came += size;
    }
}

fn decoder() -> impl Strategy<Value = Decoder> {
    let framing = prop_oneof![
        3 => Just(Framing::Rtu), 1 => Just(Framing::Ascii), 1 => Just(Framing::Tcp), 1 => Just(Framing::Pdu), 2 => Just(Framing::Binary)
    ];
    let side = prop_oneof![Just(Side::Requests), Just(Side::Replies), Just(Side::Bus)];
    (framing, side, any::<bool>()).prop_map(|(framing, side, reserved)| {
        let decoder = Decoder::new(framing, side);
        if reserved { decoder.with_reserved_units() } else { decoder }
    })
}

fn any_line() -> impl Strategy<Value = (Decoder, Vec<u8>)> {
    decoder().prop_flat_map(|decoder| {
        let noise = proptest::collection::vec(any::<u8>(), 0..600);
        (Just(decoder), prop_oneof![4 => line(decoder.framing()).boxed(), 1 => noise.boxed()])
    })
}

proptest! {
    #[test]
    fn pieces_make_no_difference((decoder, line) in any_line(), sizes in pieces()) {
        let whole = run(&decoder, &line, &[usize::MAX]);
        prop_assert_eq!(run(&decoder, &line, &sizes), whole);
    }

    /// Frames of functions whose length is known are found without the end of a burst, and nothing is skipped.
    #[test]
    fn good_frames_are_all_found(
        (framing, frames) in prop_oneof![Just(Framing::Tcp), Just(Framing::Ascii), Just(Framing::Binary)]
            .prop_flat_map(|framing| (Just(framing), proptest::collection::vec(frame(framing), 0..6))),
        sizes in pieces(),
    ) {
        let line = frames.concat();
        let mut end = 0;
        let ends: Vec<_> = frames.iter().map(|frame| { end += frame.len(); end }).collect();
        let seen = run(&Decoder::new(framing, Side::Bus), &line, &sizes);
        let found: Vec<_> = seen.iter().map(|seen| match seen {
            Seen::Frame { end, .. } => *end,
            Seen::Unframeable { .. } => 0,
        }).collect();
        prop_assert_eq!(found, ends);
    }

    /// However many braces there are, what was sent is what is read; and what pymodbus makes of the same request. Unless
    /// by chance the checksum is right in front of one of them, once in 65536 times.
    #[test]
    fn braces_come_through(
        unit: u8,
        request in request(),
        braces in proptest::collection::vec(proptest::sample::select(b"{}{}\x00\x01\x02".to_vec()), 0..252),
        function in custom_function(),
        at in any::<prop::sample::Index>(),
    ) {
        // Fields of a legal request become braces, as long as it stays one; and a function that has no length.
        let mut legal = request.encode().expect("legal").as_bytes().to_vec();
        let place = at.index(legal.len());
        for (field, brace) in legal[1..].iter_mut().skip(place).zip(&braces) {
            *field = *brace;
        }
        let legal = if Request::decode(&legal).is_ok() { legal } else { request.encode().expect("legal").as_bytes().to_vec() };
        let custom = [&[function.code()][..], &braces].concat();
        for pdu in [legal, custom] {
            let doubled = pdu[1..].iter().flat_map(|byte| vec![*byte; if b"{}".contains(byte) { 2 } else { 1 }]);
            let mut theirs: Vec<u8> = [unit, pdu[0]].into_iter().chain(doubled).collect();
            theirs.extend(crc16(&theirs).to_le_bytes());
            let theirs = [&b"{"[..], &theirs, b"}"].concat();
            for mut frame in [framed(Framing::Binary, 0, unit, &pdu), theirs] {
                let adu = dinrail_proto::Adu { transaction: 0, unit: UnitId(unit), pdu: &pdu };
                let length = frame.len();
                prop_assume!(!(5..length - 1).any(|at| frame[at] == b'}' && crc16(&frame[1..at]) == 0));
                let decoder = Decoder::new(Framing::Binary, Side::Bus);
                prop_assert_eq!(decoder.decode(&mut frame, false), Decoded::Frame { adu, length });
            }
        }
    }

    /// Bare PDUs too, of the side that is read, when they say how long they are.
    #[test]
    fn bare_pdus_are_all_found(
        requests in proptest::collection::vec(request(), 0..6),
        sizes in pieces(),
    ) {
        let pdus: Vec<Vec<u8>> = requests.iter().map(|request| request.encode().expect("legal").as_bytes().to_vec())
            .filter(|pdu| request_length(pdu) == Length::Exact(pdu.len())).collect();
        let mut start = 0;
        let expected: Vec<_> = pdus.iter().map(|pdu| {
            let end = start + pdu.len();
            Seen::Frame { start: std::mem::replace(&mut start, end), end, unit: 255, pdu: pdu.clone() }
        }).collect();
        prop_assert_eq!(run(&Decoder::new(Framing::Pdu, Side::Requests), &pdus.concat(), &sizes), expected);
    }

    /// Behind any garbage a good frame is found, at the end of the burst at the latest; unless by chance the garbage and
    /// a part of the frame have a right checksum together, which nobody can tell from a frame.
    #[test]
    fn a_good_frame_behind_garbage_is_found(
        (framing, garbage, good) in prop_oneof![Just(Framing::Rtu), Just(Framing::Ascii), Just(Framing::Binary)]
            .prop_flat_map(|framing| (Just(framing), garbage(framing), frame(framing))),
        sizes in pieces(),
    ) {
        let line = [garbage.as_slice(), &good].concat();
        let seen = run(&Decoder::new(framing, Side::Bus), &line, &sizes);
        let found = seen.iter().any(|seen| matches!(seen, Seen::Frame { start, end, .. }
            if *start == garbage.len() && *end == line.len()));
        let swallowed = framing != Framing::Ascii && seen.iter().any(|seen| matches!(seen, Seen::Frame { start, end, .. }
            if *end > garbage.len() && (framing == Framing::Binary || crc16(&line[*start..*end]) == 0)));
        prop_assert!(found || swallowed, "{:?}", seen);
    }

    /// A function without a length is found at the end of a burst, behind garbage too.
    #[test]
    fn functions_without_a_length_end_with_the_burst(
        function in custom_function(),
        data in proptest::collection::vec(any::<u8>(), 0..200),
        noise in proptest::collection::vec(248..=255u8, 0..20),
    ) {
        let pdu = [&[function.code()][..], &data].concat();
        let good = framed(Framing::Rtu, 0, 7, &pdu);
        let line = [noise.as_slice(), &good].concat();
        let expected = Seen::Frame { start: noise.len(), end: line.len(), unit: 7, pdu };
        prop_assert_eq!(run(&Decoder::new(Framing::Rtu, Side::Bus), &line, &[1]), vec![expected]);
    }

    /// What another device carries as data is never a frame, whatever it looks like and however it comes.
    #[test]
    fn nothing_inside_a_good_frame_is_found(
        inner in proptest::collection::vec(frame(Framing::Rtu), 1..4),
        sizes in pieces(),
    ) {
        let mut data = inner.concat();
        data.truncate(250);
        data.resize(data.len().next_multiple_of(2), 0);
        let reply = rtu(&[&[200, 3, data.len() as u8][..], &data].concat());
        prop_assume!(!is_ambiguous(&reply));
        let seen = run(&Decoder::new(Framing::Rtu, Side::Bus), &reply, &sizes);
        prop_assert_eq!(seen.len(), 1, "{:?}", seen);
        let outer = matches!(seen[0], Seen::Frame { unit: 200, start: 0, .. });
        prop_assert!(outer, "{:?}", seen);
    }

    /// A client that waits for a reply finds it behind what looks like the start of a longer one, without silence.
    #[test]
    fn the_expected_reply_is_found_at_once(
        count in 1..=20u16,
        refused: bool,
        garbage in proptest::sample::select(vec![&[9u8, 3, 250][..], &[1, 3, 250], &[1, 4, 200, 1], &[7, 100], &[7]]),
        values in proptest::collection::vec(any::<u8>(), 40),
    ) {
        let request = [&[3, 0, 0][..], &count.to_be_bytes()].concat();
        let expected = Expected::reply_to(UnitId(1), &request).expect("a function code");
        let pdu = if refused {
            vec![0x83, 2]
        } else {
            let bytes = 2 * usize::from(count);
            [&[3, bytes as u8][..], &values[..bytes]].concat()
        };
        let reply = framed(Framing::Rtu, 0, 1, &pdu);
        let line = [garbage, &reply].concat();
        let decoder = Decoder::new(Framing::Rtu, Side::Replies);
        // The window as it grows; what is dropped stays dropped.
        let (mut dropped, mut found) = (0, None);
        for came in 1..=line.len() {
            loop {
                match decoder.decode_expected(&mut line[dropped..came].to_vec(), false, &expected) {
                    Decoded::Frame { adu, length } => {
                        found = Some((dropped, adu.pdu.to_vec()));
                        dropped += length;
                    }
                    Decoded::Skip { length, .. } => dropped += length,
                    Decoded::Incomplete => break,
                    Decoded::Unframeable { .. } => unreachable!("not TCP"),
                }
                if dropped == came {
                    break;
                }
            }
        }
        let by_chance = found.as_ref().is_some_and(|(at, pdu)| crc16(&line[*at..*at + pdu.len() + 3]) == 0);
        prop_assert!(found == Some((garbage.len(), pdu)) || by_chance && found.is_some(), "{:?}", found);
    }

    #[test]
    fn looking_for_a_reply_never_panics(
        line in line(Framing::Rtu),
        request in crate::generate::request(),
        unit in 0..=5u8,
        at_end: bool,
    ) {
        let request = request.encode().expect("legal");
        let expected = Expected::reply_to(UnitId(unit), request.as_bytes()).expect("a function code");
        let decoder = Decoder::new(Framing::Rtu, Side::Replies);
        let mut window = line.clone();
        let shown = window.len();
        match decoder.decode_expected(&mut window, at_end, &expected) {
            Decoded::Frame { length, .. } | Decoded::Skip { length, .. } => prop_assert!((1..=shown).contains(&length)),
            Decoded::Incomplete => prop_assert!(!at_end || shown == 0),
            Decoded::Unframeable { .. } => prop_assert!(false, "not TCP"),
        }
    }
}
