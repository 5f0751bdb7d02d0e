//! Lengths of custom functions, where frames carry none: a client and a server that know them need no silence.

use dinrail_proto::adu::{Decoder, Side};
use dinrail_proto::client::{Connection, Options};
use dinrail_proto::server::{self, Units};
use dinrail_proto::{Framing, Pdu, UnitId};

use crate::{CUSTOM, asked, at, receive, response, send};

const REQUEST: &[u8] = &[65, 1, 2];
const REPLY: &[u8] = &[65, 9, 3, 7, 8, 9];

#[test]
fn both_sides_know_the_lengths_of_custom_functions() {
    for framing in [Framing::Rtu, Framing::Pdu] {
        for side in [Side::Requests, Side::Bus] {
            let mut options = Options::new(framing);
            options.custom_lengths = CUSTOM;
            // With silence on the line the client does not look for its reply, and so needs its length.
            options.frame_gap = std::time::Duration::from_millis(2);
            let mut client = Connection::<1>::new(options);
            let units = if side == Side::Bus { UnitId(5).into() } else { Units::ALL };
            let mut server =
                server::Connection::with_decoder(Decoder::new(framing, side).with_custom_lengths(CUSTOM), units);
            let mut now = 10;
            for _ in 0..3 {
                let (call, sent) = send(&mut client, at(now), 5, &Pdu::new(REQUEST).expect("a PDU"));
                // Two of them at once: nothing but the length tells where the first one ends.
                let sent = sent.expect("a frame");
                let mut window = [sent.as_slice(), &sent].concat();
                let seen = asked(&mut server, &mut window, false);
                assert_eq!(seen.iter().map(|asked| asked.1.as_slice()).collect::<Vec<_>>(), [REQUEST; 2]);
                let mut out = [0; 256];
                let length = server.reply(seen[0].2, REPLY, &mut out).expect("it fits");
                for end in 0..length {
                    assert_eq!(receive(&mut client, at(now + 1), &out[..end]), 0, "{framing:?}, {end} of {length}");
                }
                assert_eq!(receive(&mut client, at(now + 1), &out[..length]), length);
                assert_eq!(client.take(call), response(REPLY));
                now += 10;
            }
        }
    }
}

/// Without its length, a function is framed by the end of the burst.
#[test]
fn without_them_frames_end_with_the_burst() {
    for framing in [Framing::Rtu, Framing::Pdu] {
        let mut options = Options::new(framing);
        options.frame_gap = std::time::Duration::from_millis(2);
        let mut client = Connection::<1>::new(options);
        let mut server = server::Connection::new(framing, UnitId(5).into());
        let (call, sent) = send(&mut client, at(10), 5, &Pdu::new(REQUEST).expect("a PDU"));
        let mut window = sent.expect("a frame");
        assert_eq!(asked(&mut server, &mut window, false), []);
        let seen = asked(&mut server, &mut window, true);
        let mut out = [0; 256];
        let length = server.reply(seen[0].2, REPLY, &mut out).expect("it fits");
        assert_eq!(receive(&mut client, at(11), &out[..length]), 0);
        client.end_of_burst(&mut out[..length]);
        assert_eq!(client.take(call), response(REPLY));
    }
}
