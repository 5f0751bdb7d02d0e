//! The server's side of a line: which of its frames are requests for us, and how we answer.
//!
//! [`Connection`] does no I/O, keeps no bytes and needs no clock: a server has no deadlines on a line. The caller has a
//! window of the bytes that came and were not used yet. It shows the window, does what the [`Event`] says, drops as many
//! bytes as the event took, and asks again until the answer is [`Event::Wait`]:
//!
//! ```
//! use dinrail_proto::server::{Connection, Event};
//! use dinrail_proto::{ExceptionCode, Framing, UnitId};
//!
//! let mut connection = Connection::new(Framing::Rtu, UnitId(2).into());
//! let mut window = vec![0x02, 0x07, 0x41, 0x12]; // FC 7, read exception status, from unit 2
//! let mut out = [0; 256]; // `Framing::max_adu` of RTU
//! loop {
//!     let used = match connection.handle_input(&mut window) {
//!         Event::Request { adu, to, length } => {
//!             let written = match adu.pdu {
//!                 [7] => connection.reply(to, &[7, 0x6D], &mut out),
//!                 _ => connection.exception(to, ExceptionCode::IllegalFunction, &mut out),
//!             };
//!             assert_eq!(out[..written.unwrap()], [0x02, 0x07, 0x6D, 0x13, 0xDD]);
//!             length
//!         }
//!         Event::Skip { length, .. } => length,
//!         Event::Wait => break, // read more bytes; when the line falls silent, `end_of_burst`
//!         Event::Close { .. } => return,
//!     };
//!     window.drain(..used);
//! }
//! ```

mod counters;
mod diagnostics;
#[cfg(test)]
mod tests;
mod units;

pub use self::counters::Counters;
pub use self::diagnostics::{After, Answer, Completion, Diagnostics, Tally, is_diagnostic};
pub use self::units::Units;
use crate::UnitId;
use crate::adu::{Adu, Decoded, Decoder, Discard, Framing, Side};
use crate::error::EncodeError;
use crate::pdu::diagnostics::Diagnostic;
use crate::pdu::{ExceptionCode, FunctionCode, Pdu};

/// One line or connection, as a server sees it. It holds no buffers: an idle one costs its own size, about 100 bytes.
#[derive(Clone, Debug)]
pub struct Connection {
    decoder: Decoder,
    units: Units,
    /// The unit and function of another device's request whose reply has not been seen.
    foreign: Option<(UnitId, u8)>,
    counters: Counters,
    /// Bytes of no use have come since the last good frame: they count as one error, however many they are.
    in_garbage: bool,
    listen_only: bool,
    /// Broadcasts are for others.
    deaf: bool,
}

/// What stands at the front of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A request for us. Execute it, answer it ([`Connection::reply`], [`Connection::exception`],
    /// [`Connection::no_reply`]), and drop the first `length` bytes.
    Request {
        /// The request. Its PDU is not checked yet: that is done by [`Request::decode`](crate::Request::decode).
        adu: Adu<'a>,
        /// Where the answer goes.
        to: ReplyTo,
        /// How many bytes it takes.
        length: usize,
    },
    /// The first `length` bytes are nothing for us: drop them.
    Skip {
        /// How many bytes to drop.
        length: usize,
        /// What they were.
        what: Skipped,
    },
    /// Nothing to do before more bytes come.
    Wait,
    /// No frame can be found any more: close the connection (never on RTU and ASCII).
    Close {
        /// The length that cannot be.
        length: u16,
    },
}

/// Bytes that were nothing for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Skipped {
    /// They were no frame.
    Discarded(Discard),
    /// A request for another unit.
    ForeignRequest,
    /// A reply: of another unit, or our own come back.
    Reply,
    /// A request for us, which we must not execute since we may only listen (AP 6.8, sub-function 4).
    ListenOnly,
}

/// Where the answer to a request goes. It outlives the request's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyTo {
    transaction: u16,
    unit: UnitId,
    function: u8,
    broadcast: bool,
    answered: bool,
}

impl ReplyTo {
    /// The transaction id; 0 on framings that [have none](Framing::has_transactions).
    pub const fn transaction(&self) -> u16 {
        self.transaction
    }

    /// The unit that was asked; [`UnitId::DIRECT`] on framings that [have none](Framing::has_units).
    pub const fn unit(&self) -> UnitId {
        self.unit
    }

    /// Whether all units of a serial line were asked at once.
    pub const fn is_broadcast(&self) -> bool {
        self.broadcast
    }

    /// Whether an answer is sent. Broadcasts are never answered, not even with an exception, and neither is the restart
    /// that ends listening only. [`Connection::reply`] writes nothing then.
    pub const fn is_answered(&self) -> bool {
        self.answered
    }
}

impl Connection {
    /// The server of `units` on a line of this framing.
    ///
    /// On framings of [shared lines](Framing::is_shared_line), a server of some units understands the requests and replies
    /// of others; one that serves [every unit](Units::ALL) has the line for itself, as on all other framings. Framings
    /// [without units](Framing::has_units) ask the server whatever `units` are.
    pub fn new(framing: Framing, units: Units) -> Self {
        let alone = units == Units::ALL || !framing.is_shared_line();
        let side = if alone { Side::Requests } else { Side::Bus };
        Self::with_decoder(Decoder::new(framing, side), units)
    }

    /// The server of `units` on a line that is decoded like this: with custom functions, for instance.
    pub const fn with_decoder(decoder: Decoder, units: Units) -> Self {
        let (foreign, counters) = (None, Counters::NEW);
        Self { decoder, units, foreign, counters, in_garbage: false, listen_only: false, deaf: false }
    }

    /// Leaves broadcasts to others: a request to unit 0 of a [shared line](Framing::is_shared_line) is then skipped like one
    /// to a foreign unit, neither executed nor answered, whatever units are served. The specification wants every device to
    /// execute them (SL 2.1).
    #[must_use]
    pub const fn without_broadcasts(mut self) -> Self {
        self.deaf = true;
        self
    }

    /// What stands at the front of `bytes`; more bytes may follow.
    ///
    /// What [`Decoder::decode`] says about the window, and about the work that it takes, holds here too.
    #[inline]
    pub fn handle_input<'a>(&mut self, bytes: &'a mut [u8]) -> Event<'a> {
        self.step(bytes, false)
    }

    /// What stands at the front of `bytes` when no more bytes of this burst will come: a serial line has fallen silent,
    /// a datagram is at its end. On RTU, a request that does not say how long it is, or says it wrongly, ends here, unless
    /// noise came before it in the same burst: then it is taken for noise as well. [`Event::Wait`] then means that no bytes are left.
    #[inline]
    pub fn end_of_burst<'a>(&mut self, bytes: &'a mut [u8]) -> Event<'a> {
        self.step(bytes, true)
    }

    #[inline]
    fn step<'a>(&mut self, bytes: &'a mut [u8], at_end: bool) -> Event<'a> {
        match self.decoder.decode(bytes, at_end) {
            Decoded::Frame { adu, length } if self.decoder.framing().is_shared_line() => {
                if self.is_doubtful(&adu) {
                    self.count_discarded(Discard::Noise);
                    return Event::Skip { length, what: Skipped::Discarded(Discard::Noise) };
                }
                self.bus_frame(adu, length)
            }
            Decoded::Frame { adu, length } => self.direct_frame(adu, length),
            Decoded::Skip { length, reason } => {
                self.count_discarded(reason);
                Event::Skip { length, what: Skipped::Discarded(reason) }
            }
            Decoded::Incomplete => {
                self.in_garbage &= !at_end;
                Event::Wait
            }
            Decoded::Unframeable { length } => Event::Close { length },
        }
    }

    /// A frame behind noise that has nothing but its checksum: it ends where the burst does, and does not say itself that
    /// it ends there. A checksum that is tried at every byte of the noise is right by chance soon enough. More than half
    /// of the requests that nobody has sent would be of this kind.
    fn is_doubtful(&self, adu: &Adu<'_>) -> bool {
        self.in_garbage && matches!(self.decoder.framing(), Framing::Rtu) && !self.decoder.is_told(adu.pdu)
    }

    /// Between two there are only requests, and unit 0 is no broadcast (MG 4.4.1.2).
    #[inline]
    fn direct_frame<'a>(&mut self, adu: Adu<'a>, length: usize) -> Event<'a> {
        self.in_garbage = false;
        self.counters.bus_messages = self.counters.bus_messages.wrapping_add(1);
        if self.units.contains(adu.unit) || !self.decoder.framing().has_units() {
            self.request(adu, length, false)
        } else {
            Event::Skip { length, what: Skipped::ForeignRequest }
        }
    }

    fn bus_frame<'a>(&mut self, adu: Adu<'a>, length: usize) -> Event<'a> {
        self.in_garbage = false;
        self.counters.bus_messages = self.counters.bus_messages.wrapping_add(1);
        let broadcast = adu.unit.is_broadcast();
        if self.is_reply(&adu) {
            self.foreign = None;
            return Event::Skip { length, what: Skipped::Reply };
        }
        if !broadcast && !self.units.contains(adu.unit) {
            self.foreign = Some((adu.unit, adu.pdu[0]));
            return Event::Skip { length, what: Skipped::ForeignRequest };
        }
        self.foreign = None;
        if broadcast && self.deaf {
            return Event::Skip { length, what: Skipped::ForeignRequest };
        }
        self.request(adu, length, broadcast)
    }

    /// Whether this is what some device answered. Requests and replies can look the same (FC 5, 6, 8 and 22 are echoed):
    /// then it is a reply if it follows its request.
    ///
    /// A frame of no known shape is a request: if it is for us, it deserves its exception.
    fn is_reply(&self, adu: &Adu<'_>) -> bool {
        if adu.unit.is_broadcast() {
            return false;
        }
        if adu.pdu[0] >= 0x80 {
            return true;
        }
        let follows = self.foreign == Some((adu.unit, adu.pdu[0]));
        let bus = self.decoder.side() == Side::Bus;
        bus && self.decoder.is_response(adu.pdu) && (follows || !self.decoder.is_request(adu.pdu))
    }

    #[inline]
    fn request<'a>(&mut self, adu: Adu<'a>, length: usize, broadcast: bool) -> Event<'a> {
        if self.listen_only && !ends_listen_only(adu.pdu) {
            return Event::Skip { length, what: Skipped::ListenOnly };
        }
        self.counters.server_messages = self.counters.server_messages.wrapping_add(1);
        let to = ReplyTo {
            transaction: adu.transaction,
            unit: adu.unit,
            function: adu.pdu[0],
            broadcast,
            answered: !broadcast && !self.listen_only,
        };
        Event::Request { adu, to, length }
    }

    /// Writes the frame that answers a request with this PDU to the front of `out`, and returns its length in bytes: 0
    /// when the request [must not be answered](ReplyTo::is_answered).
    ///
    /// # Errors
    /// When the PDU is empty or over 253 bytes, or `out` is too short. [`Framing::max_adu`] bytes are always enough.
    #[inline]
    pub fn reply(&mut self, to: ReplyTo, pdu: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        self.decoder.framing().place(pdu, out)?;
        self.reply_in_place(to, pdu.len(), out)
    }

    /// As [`reply`](Self::reply) with a PDU that stands in `out` already, `pdu_length` bytes long, at
    /// [`Framing::pdu_offset`].
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    #[inline]
    pub fn reply_in_place(&mut self, to: ReplyTo, pdu_length: usize, out: &mut [u8]) -> Result<usize, EncodeError> {
        let framing = self.decoder.framing();
        match *out.get(framing.pdu_offset()..).unwrap_or_default() {
            [function, code, ..] if function >= 0x80 => self.counters.count_exception(code.into()),
            _ => {}
        }
        if !to.answered {
            self.no_reply();
            return Ok(0);
        }
        let length = framing.encode_in_place(to.transaction, to.unit, pdu_length, out)?;
        if matches!(framing, Framing::Ascii) {
            out[length - 1] = self.decoder.delimiter();
        }
        Ok(length)
    }

    /// As [`reply`](Self::reply), refusing the request.
    ///
    /// # Errors
    /// When `out` is too short.
    pub fn exception(&mut self, to: ReplyTo, code: ExceptionCode, out: &mut [u8]) -> Result<usize, EncodeError> {
        self.reply(to, Pdu::exception(to.function, code).as_bytes(), out)
    }

    /// Counts a request that is not answered, because the server does not want to.
    pub const fn no_reply(&mut self) {
        self.counters.no_response = self.counters.no_response.wrapping_add(1);
    }

    /// What was seen and answered so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The counters, to be cleared (AP 6.8, sub-functions 1, 0A and 14) or to count what only the caller can see:
    /// characters lost in the receiver.
    pub const fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Whether the server only listens (AP 6.8, sub-function 4).
    pub const fn is_listen_only(&self) -> bool {
        self.listen_only
    }

    /// Makes the server only listen, or ends that. While it listens it is handed no requests except the one that ends
    /// it: FC 8, sub-function 1, which is not answered then.
    pub const fn set_listen_only(&mut self, listen_only: bool) {
        self.listen_only = listen_only;
    }

    /// Changes the character that ends ASCII frames, in both directions, from the next frame on (AP 6.8, sub-function
    /// 3): reply to the request first.
    pub const fn set_delimiter(&mut self, delimiter: u8) {
        self.decoder.set_delimiter(delimiter);
    }

    /// How the line is decoded.
    pub const fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The units that are served.
    pub const fn units(&self) -> &Units {
        &self.units
    }

    fn count_discarded(&mut self, reason: Discard) {
        if reason != Discard::Protocol && !self.in_garbage {
            self.in_garbage = true;
            self.counters.bus_errors = self.counters.bus_errors.wrapping_add(1);
        }
    }
}

fn ends_listen_only(pdu: &[u8]) -> bool {
    let [high, low] = Diagnostic::RESTART_COMMUNICATIONS.0.to_be_bytes();
    pdu.starts_with(&[FunctionCode::DIAGNOSTICS.code(), high, low])
}
