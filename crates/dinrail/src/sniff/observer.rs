//! One line, or one connection, that is listened to.

use std::time::{Duration, SystemTime};

use super::Event;
use super::pairs::Pairs;
use crate::proto::adu::{Decoder, Discard, Side};
use crate::proto::{Adu, Framing};
use crate::transport::Kind;
use crate::wire::{Found, Window};

/// How long a reply may take on a line with one request at a time. Most clients give up after a second.
const SERIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a reply may take where a transaction id says whose it is.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);

/// Understands the bytes of one line: finds frames, pairs requests and replies, and says what is no frame.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use dinrail::proto::Framing;
/// use dinrail::sniff::{Event, Observer};
/// use dinrail::transport::Kind;
///
/// let mut bus = Observer::new(Framing::Rtu);
/// let (mut events, start) = (Vec::new(), SystemTime::UNIX_EPOCH);
/// bus.bytes(start, Kind::Either, &[0x11, 3, 0, 0x6B, 0, 1, 0xF7, 0x46], &mut events);
/// let later = start + Duration::from_millis(9);
/// bus.bytes(later, Kind::Either, &[0x11, 3, 2, 0xAE, 0x41, 0xC5, 0xD7], &mut events);
/// let Some(Event::Exchange(exchange)) = events.pop() else { panic!("{events:?}") };
/// assert_eq!(exchange.elapsed, Some(Duration::from_millis(9)));
/// ```
pub struct Observer {
    framing: Framing,
    /// From clients, from servers, and from whomever.
    windows: [Window; 3],
    pairs: Pairs,
    last: Option<(SystemTime, Kind)>,
}

impl Observer {
    /// Listens to a line of this framing. Requests that are not answered within a second, or 10 s where frames carry a
    /// transaction id, count as unanswered.
    pub fn new(framing: Framing) -> Self {
        Self::with_timeout(framing, if framing.has_transactions() { TCP_TIMEOUT } else { SERIAL_TIMEOUT })
    }

    /// As [`new`](Self::new), with another time until a request counts as unanswered.
    pub fn with_timeout(framing: Framing, timeout: Duration) -> Self {
        let window = |side| Window::new(Decoder::new(framing, side).with_reserved_units());
        Self {
            framing,
            windows: [window(Side::Requests), window(Side::Replies), Window::new(Decoder::new(framing, Side::Bus))],
            pairs: Pairs::new(framing, timeout),
            last: None,
        }
    }

    /// Takes bytes that have come at `at`, from a client or a server as `kind` says, and adds what they mean to `out`.
    pub fn bytes(&mut self, at: SystemTime, kind: Kind, bytes: &[u8], out: &mut Vec<Event>) {
        // Where one request is out at a time, one side has ended when the other begins.
        if !self.framing.has_transactions()
            && let Some((_, last)) = self.last
            && last != kind
        {
            self.end_of_burst(at, out);
        }
        self.last = Some((at, kind));
        self.feed(at, kind, bytes, false, out);
    }

    /// No more bytes will come that belong to those that have: the line has fallen silent, a datagram has ended, or bytes
    /// are missing.
    pub fn end_of_burst(&mut self, at: SystemTime, out: &mut Vec<Event>) {
        for kind in [Kind::Request, Kind::Reply, Kind::Either] {
            if self.windows[kind as usize].is_waiting() {
                self.feed(at, kind, &[], true, out);
            }
        }
    }

    /// Takes a whole frame that somebody else has found.
    pub fn frame(&mut self, at: SystemTime, kind: Kind, adu: &Adu<'_>, out: &mut Vec<Event>) {
        self.pairs.frame(at, kind, adu, out);
    }

    /// Takes bytes that are no frame, as somebody else has found.
    pub fn garbage(&mut self, at: SystemTime, bytes: &[u8], reason: Discard, out: &mut Vec<Event>) {
        out.push(Event::Garbage { at, bytes: bytes.to_vec(), reason, awaited: self.pairs.awaited() });
    }

    /// Time passes: requests may have waited for too long.
    pub fn advance(&mut self, now: SystemTime, out: &mut Vec<Event>) {
        self.pairs.advance(now, out);
    }

    /// It is over: what is outstanding will not come.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if let Some((at, _)) = self.last {
            self.end_of_burst(at, out);
        }
        self.pairs.finish(out);
    }

    fn feed(&mut self, at: SystemTime, kind: Kind, bytes: &[u8], at_end: bool, out: &mut Vec<Event>) {
        let pairs = &mut self.pairs;
        self.windows[kind as usize].feed(bytes, at_end, &mut |found| match found {
            Found::Frame(adu, _) => pairs.frame(at, kind, &adu, out),
            Found::Garbage(bytes, reason) => {
                out.push(Event::Garbage { at, bytes: bytes.to_vec(), reason, awaited: pairs.awaited() });
            }
        });
    }
}
