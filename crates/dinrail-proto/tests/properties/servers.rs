//! Servers: requests are handed out whatever the pieces, only those that are for us, and answers find their way back.

use dinrail_proto::adu::{Decoded, Decoder, Side};
use dinrail_proto::server::{Connection, Event, ReplyTo, Units};
use dinrail_proto::{Framing, UnitId};
use proptest::prelude::*;

use crate::generate::{frame, is_ambiguous, line, pieces, request, response_to};

/// What a server is asked in a line that comes in pieces, and how often it was told to close.
fn run(server: &mut Connection, line: &[u8], sizes: &[usize]) -> (Vec<(u8, Vec<u8>, ReplyTo)>, bool) {
    let mut asked = Vec::new();
    let mut window = Vec::new();
    let mut came = 0;
    let mut sizes = sizes.iter().cycle();
    loop {
        let at_end = came == line.len();
        loop {
            let shown = window.len();
            let event = if at_end { server.end_of_burst(&mut window) } else { server.handle_input(&mut window) };
            let length = match event {
                Event::Request { adu, to, length } => {
                    asked.push((adu.unit.0, adu.pdu.to_vec(), to));
                    length
                }
                Event::Skip { length, .. } => length,
                Event::Wait => break,
                Event::Close { .. } => return (asked, true),
            };
            assert!((1..=shown).contains(&length), "took {length} of {shown} bytes");
            window.drain(..length);
        }
        if at_end {
            assert!(window.is_empty(), "the end of a burst decides everything");
            return (asked, false);
        }
        let size = (line.len() - came).min(*sizes.next().expect("endless"));
        window.extend(&line[came..came + size]);
        came += size;
    }
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![2 => Just(Framing::Rtu), 1 => Just(Framing::Ascii), 1 => Just(Framing::Tcp), 1 => Just(Framing::Pdu),
        1 => Just(Framing::Binary)]
}

fn units() -> impl Strategy<Value = Units> {
    let some = proptest::collection::vec(0..=5u8, 0..4);
    prop_oneof![Just(Units::ALL), some.prop_map(|units| units.into_iter().map(UnitId).collect())]
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        (framing, line) in framing().prop_flat_map(|framing| (Just(framing), line(framing))),
        units in units(),
        sizes in pieces(),
        listen_only: bool,
    ) {
        let mut one = Connection::new(framing, units);
        one.set_listen_only(listen_only);
        let mut other = one.clone();
        let whole = run(&mut one, &line, &[usize::MAX]);
        prop_assert_eq!(&run(&mut other, &line, &sizes), &whole);
        prop_assert_eq!(one.counters(), other.counters());
        prop_assert_eq!(usize::from(one.counters().server_messages), whole.0.len());
        prop_assert!(one.counters().bus_messages >= one.counters().server_messages);
        for (unit, _, to) in whole.0 {
            let broadcast = framing.is_shared_line() && unit == 0;
            prop_assert!(broadcast || units.contains(UnitId(unit)) || !framing.has_units());
            prop_assert_eq!(to.is_broadcast(), broadcast);
            prop_assert_eq!(to.is_answered(), !broadcast && !listen_only);
        }
    }

    /// On a bus we hear every exchange of the others and take none of it; what is for us is answered, and the client's
    /// decoder finds the answer.
    #[test]
    fn answers_find_their_way_back(
        framing in framing(),
        exchanges in proptest::collection::vec(
            (1..=3u8, request().prop_flat_map(|request| (Just(request), response_to(request)))), 1..5),
    ) {
        let mut server = Connection::new(framing, UnitId(1).into());
        let mut out = vec![0; framing.max_adu()];
        let mut encode = |unit, pdu: &[u8]| {
            let adu = dinrail_proto::Adu { transaction: 77, unit: UnitId(unit), pdu };
            let length = framing.encode(&adu, &mut out).expect("it fits");
            out[..length].to_vec()
        };
        for (unit, (request, response)) in exchanges {
            let (question, answer) = (request.encode().expect("legal"), response.encode().expect("legal"));
            // Each frame ends in silence, so that functions without a length are framed too.
            let frames = [question, answer].map(|pdu| encode(unit, pdu.as_bytes()));
            prop_assume!(framing != Framing::Rtu || !frames.iter().any(|frame| is_ambiguous(frame)));
            let (asked, closed) = run(&mut server, &frames[0], &[3]);
            prop_assert!(!closed);
            if unit != 1 && framing.has_units() {
                prop_assert!(asked.is_empty());
                if framing.is_shared_line() {
                    prop_assert!(run(&mut server, &frames[1], &[3]).0.is_empty());
                }
                continue;
            }
            prop_assert_eq!(asked.len(), 1);
            let (_, pdu, to) = &asked[0];
            prop_assert_eq!(pdu.as_slice(), question.as_bytes());
            let mut frame = vec![0; framing.max_adu()];
            let length = server.reply(*to, answer.as_bytes(), &mut frame).expect("it fits");
            let client = Decoder::new(framing, Side::Replies);
            let decoded = client.decode(&mut frame[..length], true);
            let transaction = if framing == Framing::Tcp { 77 } else { 0 };
            let unit = if framing.has_units() { UnitId(1) } else { UnitId::DIRECT };
            let adu = dinrail_proto::Adu { transaction, unit, pdu: answer.as_bytes() };
            prop_assert_eq!(decoded, Decoded::Frame { adu, length });
        }
    }

    /// A server of one unit takes nothing for itself from a bus on which only others speak.
    #[test]
    fn a_foreign_bus_asks_nothing(
        frames in proptest::collection::vec(frame(Framing::Ascii), 0..10),
        sizes in pieces(),
    ) {
        let mut server = Connection::new(Framing::Ascii, UnitId(248).into());
        let foreign: Vec<u8> = frames.into_iter().filter(|frame| !frame.starts_with(b":00")).flatten().collect();
        prop_assert_eq!(run(&mut server, &foreign, &sizes), (vec![], false));
        prop_assert_eq!(server.counters().bus_errors, 0);
    }
}
