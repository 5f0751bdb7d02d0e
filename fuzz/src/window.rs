//! Lines: the same frames and events whatever the pieces in which the bytes come, and every byte decided in the end.

use dinrail_proto::adu::{CustomLength, Decoded, Decoder, Expected, LengthRule, Side, crc16};
use dinrail_proto::server::{Connection, Event, ReplyTo, Units};
use dinrail_proto::{ExceptionCode, Framing, FunctionCode, UnitId};

/// Functions with lengths of their own, one of them of the specification.
const CUSTOM: &[CustomLength] = &[
    custom(65, LengthRule::Fixed(3), LengthRule::ByteCountAt(2)),
    custom(5, LengthRule::ByteCountAt(1), LengthRule::Fixed(0)),
];

const fn custom(code: u8, request: LengthRule, response: LengthRule) -> CustomLength {
    CustomLength { function: FunctionCode::new(code).expect("a function code"), request, response }
}

/// The first three bytes of an input: how the line is read and how it is cut.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which side's frames, whether reserved units are taken, which units are served, and so on: a few bits each.
    pub flags: u8,
    /// A unit that is served, or whose reply is waited for.
    pub unit: u8,
    /// Where the sizes of the pieces start from.
    pub pieces: u8,
}

impl Settings {
    /// As the first bytes of an input.
    pub const fn to_bytes(self) -> [u8; 3] {
        [self.flags, self.unit, self.pieces]
    }

    fn split(data: &[u8]) -> Option<(Self, &[u8])> {
        let (&[flags, unit, pieces], line) = data.split_first_chunk()?;
        Some((Self { flags, unit, pieces }, line))
    }

    fn decoder(self, framing: Framing) -> Decoder {
        let side = match self.flags & 3 {
            0 => Side::Requests,
            1 => Side::Replies,
            _ => Side::Bus,
        };
        let decoder = Decoder::new(framing, side);
        let decoder = if self.flags & 0x80 != 0 { decoder.with_custom_lengths(CUSTOM) } else { decoder };
        if self.flags & 4 != 0 { decoder.with_reserved_units() } else { decoder }
    }

    /// Sizes from 1 to 64, small ones mostly, in no order.
    fn sizes(self) -> impl Iterator<Item = usize> {
        let mut state = u32::from(self.pieces);
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            1 + (state >> 26 & state >> 18) as usize
        })
    }
}

/// What stands at the front of a window, and how many bytes of it that takes.
enum Step<T> {
    Take(usize, Option<T>),
    Wait,
    Close,
}

/// Shows `line` in pieces to `look`, which is told whether the burst has ended, and collects what it finds with where
/// that ends. Checks that it makes progress, decides on full windows, and leaves nothing behind.
fn run<T>(
    line: &[u8],
    mut sizes: impl Iterator<Item = usize>,
    most: usize,
    mut look: impl FnMut(&mut [u8], bool) -> Step<T>,
) -> (Vec<(usize, T)>, bool) {
    let mut found = Vec::new();
    let mut window = Vec::new();
    let (mut came, mut used) = (0, 0);
    loop {
        let at_end = came == line.len();
        loop {
            let shown = window.len();
            match look(&mut window, at_end) {
                Step::Take(length, thing) => {
                    assert!((1..=shown).contains(&length), "took {length} of {shown} bytes");
                    window.drain(..length);
                    used += length;
                    found.extend(thing.map(|thing| (used, thing)));
                }
                Step::Wait => {
                    assert!(shown < most, "no decision on a full window");
                    break;
                }
                Step::Close => return (found, true),
            }
        }
        if at_end {
            assert!(window.is_empty(), "the end of a burst decides everything");
            return (found, false);
        }
        let size = sizes.next().map_or(1, |size| size.min(line.len() - came));
        window.extend(&line[came..came + size]);
        came += size;
    }
}

/// A line of one framing.
pub fn line(framing: Framing, data: &[u8]) {
    let Some((settings, line)) = Settings::split(data) else { return };
    let decoder = settings.decoder(framing);
    let look = |window: &mut [u8], at_end: bool| {
        let raw = window.to_vec();
        match decoder.decode(window, at_end) {
            Decoded::Frame { adu, length } => {
                let mut again = vec![0; framing.max_adu()];
                let made = framing.encode(&adu, &mut again).expect("what was read can be sent");
                again.truncate(made);
                match framing {
                    // There are several ways to write it, and each is read as it was meant.
                    Framing::Binary => {
                        let decoded = decoder.decode(&mut again, false);
                        assert_eq!(decoded, Decoded::Frame { adu, length: made });
                    }
                    Framing::Ascii => assert!(again.eq_ignore_ascii_case(&raw[..length])),
                    _ => assert_eq!(again, raw[..length]),
                }
                assert!(framing != Framing::Rtu || crc16(&raw[..length]) == 0);
                Step::Take(length, Some((adu.transaction, adu.unit, adu.pdu.to_vec())))
            }
            Decoded::Skip { length, .. } => Step::Take(length, None),
            Decoded::Incomplete => Step::Wait,
            Decoded::Unframeable { .. } => Step::Close,
        }
    };
    let whole = run(line, std::iter::once(line.len()), framing.max_adu(), look);
    let pieces = run(line, settings.sizes(), framing.max_adu(), look);
    assert_eq!(whole, pieces);

    // Waiting for a reply finds frames earlier at most; it must not lose its footing.
    let Some(expected) = Expected::reply_to(UnitId(settings.unit), line) else { return };
    let look = |window: &mut [u8], at_end: bool| match decoder.decode_expected(window, at_end, &expected) {
        Decoded::Frame { length, .. } => Step::Take(length, Some(())),
        Decoded::Skip { length, .. } => Step::Take(length, None),
        Decoded::Incomplete => Step::Wait,
        Decoded::Unframeable { .. } => Step::Close,
    };
    run(line, settings.sizes(), framing.max_adu(), look);
}

/// A line of any framing, as a server sees it.
pub fn server(data: &[u8]) {
    let Some((settings, line)) = Settings::split(data) else { return };
    let framing = match (settings.flags >> 3 & 3, settings.pieces >> 7) {
        (0, _) => Framing::Tcp,
        (1, _) => Framing::Ascii,
        (2, _) => Framing::Rtu,
        (_, 0) => Framing::Pdu,
        (_, _) => Framing::Binary,
    };
    let units = if settings.flags & 0x20 != 0 { Units::ALL } else { UnitId(settings.unit).into() };
    let mut server = Connection::with_decoder(settings.decoder(framing), units);
    server.set_listen_only(settings.flags & 0x40 != 0);
    let mut other = server.clone();
    let whole = serve(&mut server, line, std::iter::once(line.len()));
    let pieces = serve(&mut other, line, settings.sizes());
    assert_eq!(whole, pieces);
    assert_eq!(server.counters(), other.counters());
    assert_eq!(usize::from(server.counters().server_messages), whole.0.len());
    for (_, (to, reply)) in whole.0 {
        let broadcast = framing.is_shared_line() && to.unit() == UnitId::BROADCAST;
        assert!(broadcast || units.contains(to.unit()) || !framing.has_units());
        assert_eq!((to.is_broadcast(), to.is_answered()), (broadcast, !reply.is_empty()));
        assert!(!broadcast || reply.is_empty());
    }
}

/// Refuses every request; what was asked, and the answers.
type Served = (Vec<(usize, (ReplyTo, Vec<u8>))>, bool);

fn serve(server: &mut Connection, line: &[u8], sizes: impl Iterator<Item = usize>) -> Served {
    let most = server.decoder().framing().max_adu();
    run(line, sizes, most, |window, at_end| {
        let event = if at_end { server.end_of_burst(window) } else { server.handle_input(window) };
        match event {
            Event::Request { to, length, .. } => {
                let mut out = vec![0; most];
                let reply = server.exception(to, ExceptionCode::ServerDeviceBusy, &mut out).expect("it fits");
                out.truncate(reply);
                Step::Take(length, Some((to, out)))
            }
            Event::Skip { length, .. } => Step::Take(length, None),
            Event::Wait => Step::Wait,
            Event::Close { .. } => Step::Close,
        }
    })
}
