//! The client's side of a line: transactions in flight, deadlines, and which reply belongs to which call.
//!
//! [`Connection`] does no I/O. A driver asks it what to send ([`Connection::poll_transmit`]), shows it what has come
//! ([`Connection::handle_input`]), wakes it when [`Connection::poll_timeout`] says so, and hands out outcomes.
//!
//! What it stands for: **a call never gets another call's answer.** Transaction, unit, function, byte counts and echoed
//! fields are checked, always. What fits no open call is counted and dropped, and the call's timer keeps running, since
//! the right answer may still come. That goes for a reply with the right transaction and nonsense in it as well: it is
//! remembered, and if nothing better comes the timeout says what it was ([`Failure::Timeout`]).
//!
//! Most framings carry no transaction id ([`Framing::has_transactions`](crate::Framing::has_transactions)). There one
//! request is out at a time; a unit that did not answer in time is left alone until its late reply was seen or it has had
//! as long again ([`Options::quarantine`]); and bytes left over are dropped before a request is sent. What comes later
//! still, from the same unit and of the same shape, cannot be told from an answer by anybody.

mod line;
mod options;
mod outcome;
mod receive;
mod slot;
mod timeout;
mod transaction;
mod transmit;

use core::fmt;
use core::time::Duration;

pub use self::options::Options;
pub use self::outcome::{Failure, Mismatch, Outcome, Stats};
pub use self::slot::CallId;

use self::line::Line;
use self::slot::{Slot, Stage};
use self::transaction::Transactions;
use crate::adu::{Decoder, Side};
use crate::error::EncodeError;
use crate::pdu::{FunctionCode, Pdu, Request, is_read};
use crate::{Framing, UnitId};

/// Why a call was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// All `N` slots hold calls; try again when one has ended.
    Full,
    /// The request cannot be sent like this.
    Invalid(EncodeError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("all slots hold calls: try again when one has ended"),
            Self::Invalid(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl core::error::Error for StartError {}

/// No frame can be found in the stream any more: the connection must be closed and [reset](Connection::reset).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unframeable {
    /// The length that cannot be.
    pub length: u16,
}

impl fmt::Display for Unframeable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer does not speak this framing: a frame of length {}", self.length)
    }
}

impl core::error::Error for Unframeable {}

/// Up to `N` calls (at most 32) over one line.
// In this order in memory: what every call touches stands together.
#[derive(Debug)]
#[repr(C)]
pub struct Connection<const N: usize> {
    /// Slots that hold a call, a bit each; and those that hold one in a stage, `ended` only until it was told of.
    used: u32,
    waiting: u32,
    open: u32,
    ended: u32,
    /// Slots whose frames the last bytes that were given to be sent consist of.
    given: u32,
    next_order: u32,
    /// Frames of TCP, which take no time on their way: the line need not be asked for anything.
    plain: bool,
    transactions: Transactions,
    slots: [Slot; N],
    /// Transactions that are awaited late.
    late: [u16; N],
    line: Line,
    options: Options,
    decoder: Decoder,
    /// Bytes that were shown and not consumed, and how many of those lie before a request and so cannot answer it.
    unconsumed: usize,
    stale: usize,
    stats: Stats,
}

impl<const N: usize> Connection<N> {
    const FITS: () = assert!(N >= 1 && N <= 32, "a connection has 1 to 32 slots");

    /// A line that nothing has been sent on yet.
    pub fn new(options: Options) -> Self {
        let () = Self::FITS;
        let depth = if options.takes_turns() { 1 } else { options.depth.clamp(1, N) };
        let local_echo = options.local_echo && options.framing.is_shared_line();
        // An echo is a request: on a line that has one, both may be found.
        let side = if local_echo { Side::Bus } else { Side::Replies };
        let decoder = Decoder::new(options.framing, side).with_custom_lengths(options.custom_lengths);
        Self {
            plain: options.framing == Framing::Tcp && options.byte_time.is_zero(),
            options: Options { depth, local_echo, ..options },
            slots: core::array::from_fn(|_| Slot::new()),
            used: 0,
            waiting: 0,
            open: 0,
            ended: 0,
            given: 0,
            next_order: 0,
            transactions: Transactions::new(),
            late: [0; N],
            line: Line::new(),
            decoder,
            unconsumed: 0,
            stale: 0,
            stats: Stats::default(),
        }
    }

    /// What was seen so far.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Whether no call waits to be sent or answered.
    pub const fn is_idle(&self) -> bool {
        self.waiting | self.open == 0
    }

    /// Whether there is no call at all, whatever has become of it.
    pub const fn is_unused(&self) -> bool {
        self.used == 0
    }

    /// How many more calls may be started.
    pub const fn room(&self) -> usize {
        N - self.used.count_ones() as usize
    }

    /// Whether one more request may go out before a reply has come in.
    pub const fn has_depth(&self) -> bool {
        self.open == 0 || (self.open.count_ones() as usize) < self.options.depth
    }

    /// Takes a request; it waits for [`poll_transmit`](Self::poll_transmit). `timeout` counts from when it is sent.
    ///
    /// On framings of [shared lines](crate::Framing::is_shared_line) unit 0 is broadcast: nobody answers, and the call ends with [`Outcome::Sent`] when the
    /// turnaround delay has passed.
    ///
    /// # Errors
    /// [`StartError::Full`], and [`StartError::Invalid`] for a broadcast that reads and for bytes that are no request.
    pub fn start(&mut self, unit: UnitId, request: &Pdu, timeout: Duration) -> Result<CallId, StartError> {
        self.start_with(unit, timeout, |pdu| {
            *pdu = *request;
            Ok(())
        })
    }

    /// As [`start`](Self::start), putting the request where it is sent from: nothing is copied.
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`StartError::Invalid`] for what the specification does not allow.
    #[inline]
    pub fn start_request(
        &mut self,
        unit: UnitId,
        request: &Request<'_>,
        timeout: Duration,
    ) -> Result<CallId, StartError> {
        self.start_with(unit, timeout, |pdu| pdu.refill(|out| request.encode_into(out)))
    }

    #[inline]
    fn start_with(
        &mut self,
        unit: UnitId,
        timeout: Duration,
        fill: impl FnOnce(&mut Pdu) -> Result<(), EncodeError>,
    ) -> Result<CallId, StartError> {
        let index = lowest(!self.used).filter(|&index| index < N).ok_or(StartError::Full)?;
        let slot = &mut self.slots[index];
        fill(&mut slot.pdu).map_err(StartError::Invalid)?;
        let Some(function) = FunctionCode::new(slot.pdu.function_byte()) else {
            let what = "a request begins with a function code of 1 to 127";
            return Err(StartError::Invalid(EncodeError::Field(what)));
        };
        let reads = || is_read(slot.pdu.as_bytes()) || function == FunctionCode::READ_WRITE_MULTIPLE_REGISTERS;
        if self.options.is_broadcast(unit) && reads() {
            let what = "unit 0 is broadcast: nobody answers, so it cannot read";
            return Err(StartError::Invalid(EncodeError::Field(what)));
        }
        slot.stage = Stage::Waiting;
        slot.order = self.next_order;
        slot.abandoned = false;
        slot.unit = unit;
        slot.timeout = timeout;
        slot.mismatch = None;
        self.next_order = self.next_order.wrapping_add(1);
        self.used |= 1 << index;
        self.waiting |= 1 << index;
        Ok(CallId { slot: index as u8, generation: slot.generation }) // index < N <= 32
    }

    /// Nobody waits for this call any more. If it has been sent, its reply is still awaited and swallowed, so that the
    /// line stays sound; its slot is free when that has come or its time is up.
    pub fn cancel(&mut self, call: CallId) {
        let Some(slot) = self.slots.get_mut(call.index()).filter(|slot| slot.generation == call.generation) else {
            return;
        };
        match slot.stage {
            Stage::Open => slot.abandoned = true,
            _ => self.free(call.index()),
        }
    }

    /// The next call that has ended and was not told of yet; [`take`](Self::take) says how.
    pub fn poll(&mut self) -> Option<CallId> {
        let index = lowest(self.ended)?;
        self.ended &= !(1 << index);
        Some(CallId { slot: index as u8, generation: self.slots[index].generation })
    }

    /// Whether the call has ended and waits to be taken.
    pub fn has_ended(&self, call: CallId) -> bool {
        let slot = self.slots.get(call.index());
        slot.is_some_and(|slot| slot.generation == call.generation && slot.has_ended())
    }

    /// Whether the call waits to be sent: none of its frame has been given to be sent yet.
    pub fn is_unsent(&self, call: CallId) -> bool {
        let slot = self.slots.get(call.index());
        slot.is_some_and(|slot| slot.generation == call.generation && slot.stage == Stage::Waiting)
    }

    /// The response of a call that has been answered, where it lies. The call stays until it is taken or cancelled.
    pub fn response(&self, call: CallId) -> Option<&Pdu> {
        let slot = self.slots.get(call.index())?;
        (slot.generation == call.generation && slot.stage == Stage::Answered).then_some(&slot.pdu)
    }

    /// How the call ended; this frees its slot. `None` while it has not, and for calls taken or cancelled before.
    pub fn take(&mut self, call: CallId) -> Option<Outcome> {
        let slot = self.slots.get(call.index()).filter(|slot| slot.generation == call.generation)?;
        let outcome = slot.outcome()?;
        self.free(call.index());
        Some(outcome)
    }

    fn free(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.stage = Stage::Free;
        slot.generation = slot.generation.wrapping_add(1);
        let others = !(1 << index);
        self.used &= others;
        self.waiting &= others;
        self.open &= others;
        self.ended &= others;
    }

    fn end(&mut self, index: usize, stage: Stage) {
        if self.slots[index].abandoned {
            return self.free(index);
        }
        self.slots[index].stage = stage;
        self.waiting &= !(1 << index);
        self.open &= !(1 << index);
        self.ended |= 1 << index;
    }
}

/// The numbers of the bits that are set, in ascending order.
fn bits(mut mask: u32) -> impl Iterator<Item = usize> + Clone {
    core::iter::from_fn(move || {
        let index = lowest(mask)?;
        mask &= mask - 1;
        Some(index)
    })
}

const fn lowest(mask: u32) -> Option<usize> {
    if mask == 0 { None } else { Some(mask.trailing_zeros() as usize) }
}
