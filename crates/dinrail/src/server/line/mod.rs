//! Connections of every framing but Modbus TCP's: serial lines, RTU or ASCII frames over TCP, framings of your own.
//!
//! One request is worked on at a time, since nothing in a reply says which request it answers. What stands on the line is
//! decided by [`proto::server::Connection`](crate::proto::server::Connection); here are reading, time and sending.
//!
//! A serial line is shared. A server keeps quiet until the line has been silent for long enough; and when somebody has
//! spoken since the request, the client has given that request up, so it is not answered any more: the answer would be
//! taken for that of a later one.

#[cfg(test)]
mod tests;
mod wire;

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::Instant;
use tracing::debug;

pub(super) use self::wire::Wire;
use super::connection::{Asker, End, Line, completion};
use super::metrics::{Garbage, LineError};
use super::scratch::Scratch;
use crate::proto::adu::{Decoded, Decoder, Side};
use crate::proto::server::{After, Completion, Connection, Event, ReplyTo, Units};
use crate::proto::{Framing, Pdu, UnitId};
use crate::server::DiagnosticsMode;
use crate::service::{Reply, Service};
use crate::timer::Timer;
use crate::transport::{Burst, Stream};

/// Serves a connection until it ends.
pub(super) async fn serve<S: Service>(line: &mut Line<impl Stream>, wire: Wire, service: &S) -> End {
    match Driver::new(line, wire, service).run().await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

/// There is no end but an error.
enum Never {}

struct Driver<'a, T, S> {
    line: &'a mut Line<T>,
    service: &'a S,
    wire: Wire,
    protocol: Connection,
    /// Bytes that came; the first `used` of them are dealt with.
    window: Vec<u8>,
    used: usize,
    /// The reply, as it is sent.
    frame: Box<[u8]>,
    /// What of the frame is still to come back from a line that repeats what is sent.
    echo: std::ops::Range<usize>,
    /// The reply that comes back, and whether it came back damaged or behind noise: should it then come whole, it is no
    /// request.
    echoed: Option<(UnitId, Pdu)>,
    garbled: bool,
    /// When the last byte came, or will have been sent.
    active: Instant,
    /// What the line has been seen to hold, for the metrics.
    garbage: Garbage,
    /// The line has paused: what is left of the window may be a part of a frame.
    paused: bool,
    /// A gap within a frame, on a line that is strict.
    torn: bool,
    timer: Timer,
}

impl<'a, T: Stream, S: Service> Driver<'a, T, S> {
    fn new(line: &'a mut Line<T>, wire: Wire, service: &'a S) -> Self {
        let side = if wire.is_shared && wire.units != Units::ALL { Side::Bus } else { Side::Requests };
        let mut decoder = Decoder::new(wire.framing, side).with_custom_lengths(wire.custom_lengths);
        if !matches!(wire.burst, Burst::Silence(_)) {
            // Gateways use the units that serial lines reserve.
            decoder = decoder.with_reserved_units();
        }
        let protocol = Connection::with_decoder(decoder, wire.units);
        Self {
            line,
            service,
            wire,
            protocol: if wire.broadcast { protocol } else { protocol.without_broadcasts() },
            window: Vec::new(),
            used: 0,
            frame: vec![0; wire.framing.max_adu()].into_boxed_slice(),
            echo: 0..0,
            echoed: None,
            garbled: false,
            active: Instant::now(),
            garbage: Garbage::default(),
            paused: false,
            torn: false,
            timer: if wire.exact { Timer::exact() } else { Timer::coarse() },
        }
    }

    async fn run(mut self) -> Result<Never, End> {
        loop {
            let came = self.fill(self.silence()).await?;
            let Some(ended) = self.ended(came) else { continue };
            if !self.line.known.entry.begin(self.line.known.shared.coarse_now()) {
                return Err(End::Stop);
            }
            let requests = self.work(ended).await?;
            if !self.line.known.entry.end() {
                return Err(End::Stop);
            }
            if let Some(rate) = &self.line.known.entry.rate {
                tokio::time::sleep(rate.take(requests, self.line.known.shared.now())).await;
            }
        }
    }

    /// When silence says something about what is in the window.
    fn silence(&self) -> Option<Instant> {
        match self.wire.burst {
            Burst::Silence(gap) if !self.window.is_empty() => {
                Some(self.active + if self.paused { self.patience() } else { gap })
            }
            // Who waits for the answer to a function that we do not know sends nothing more.
            Burst::Never if !self.window.is_empty() && !self.paused && self.wire.framing != Framing::Tcp => {
                Some(self.active + self.wire.patience)
            }
            _ => None,
        }
    }

    /// How long the rest of a frame may be in coming: on a line that is strict, not at all.
    fn patience(&self) -> Duration {
        match self.wire.burst {
            Burst::Silence(gap) if self.wire.strict.is_some() => gap,
            Burst::Silence(gap) => gap.max(self.wire.patience),
            _ => Duration::MAX,
        }
    }

    /// How many bytes of the window are all that will come of a burst; `None` when there is nothing to do.
    fn ended(&mut self, came: bool) -> Option<usize> {
        let all = self.window.len();
        match self.wire.burst {
            Burst::EachRead => Some(all),
            // Frames are looked for between two silences only.
            _ if self.wire.strict.is_some() => {
                let ended = !came && self.is_one_frame();
                if !came && !ended {
                    self.drop_torn();
                }
                ended.then_some(all)
            }
            _ if came => Some(0),
            Burst::Silence(gap) if !self.paused && gap < self.patience() => {
                self.paused = true;
                self.protocol.decoder().whole_until(&self.window)
            }
            Burst::Never if !self.protocol.decoder().may_pause_end(&mut self.window.clone()) => {
                self.paused = true; // the rest is awaited, however long it takes
                None
            }
            _ => Some(all),
        }
    }

    /// Deals with everything that stands in the window, and returns how many requests that were. No more will come of the
    /// bytes before `ended`.
    async fn work(&mut self, ended: usize) -> Result<u64, End> {
        let mut requests = 0;
        let since = self.line.known.shared.is_watched().then(std::time::Instant::now);
        loop {
            let at_end = self.used < ended;
            let until = if at_end { ended } else { self.window.len() };
            let bytes = &mut self.window[self.used..until];
            let event = match self.wire.diagnostics {
                DiagnosticsMode::Off if at_end => self.protocol.end_of_burst(bytes),
                DiagnosticsMode::Off => self.protocol.handle_input(bytes),
                _ => self.line.known.shared.diagnostics.step(&mut self.protocol, bytes, at_end),
            };
            if self.line.known.shared.is_watched()
                && let Some(counts) = self.line.known.shared.counts()
            {
                self.garbage.see(counts, &event, at_end);
            }
            match event {
                Event::Request { adu, to, length } => {
                    // A frame's PDU has 1 to 253 bytes.
                    let pdu = Pdu::new(adu.pdu).ok();
                    self.used += length;
                    if let Some(pdu) = pdu
                        && !self.is_echo(to.unit(), &pdu)
                    {
                        requests += 1;
                        self.answer(to, &pdu, since).await?;
                        // The runtime counts reads, and one may bring a thousand requests.
                        consume_budget().await;
                    }
                }
                Event::Skip { length, .. } => self.used += length,
                Event::Wait if self.used < ended => self.used = ended,
                Event::Wait => break,
                Event::Close { length } => return Err(End::Unframeable(length)),
            }
        }
        self.window.drain(..self.used);
        self.used = 0;
        if self.window.is_empty() {
            self.garbled = false;
        }
        Ok(requests)
    }

    /// Whether what looks like a request is our own reply, come back behind noise. The first frame after it is, if any.
    fn is_echo(&mut self, unit: UnitId, pdu: &Pdu) -> bool {
        std::mem::take(&mut self.garbled) && self.echoed.take().is_some_and(|echoed| echoed == (unit, *pdu))
    }

    async fn answer(&mut self, to: ReplyTo, pdu: &Pdu, since: Option<std::time::Instant>) -> Result<(), End> {
        let function = pdu.function_byte();
        if to.is_broadcast() || (self.wire.broadcast && to.unit().is_broadcast()) {
            let (completion, after) = self.execute_everywhere(pdu).await;
            match completion {
                // An exception that nobody hears is counted all the same (AP 6.8, sub-function 0D).
                Completion::Refused(code) if !to.is_answered() => {
                    self.protocol.exception(to, code, &mut self.frame).unwrap_or(0);
                }
                _ => self.protocol.no_reply(),
            }
            self.completed(to, completion, after);
            self.count(function, completion, since);
            self.line.known.shared.count(1, 0);
            return Ok(());
        }
        let (reply, after) = match self.diagnose(to.unit(), pdu) {
            Some(diagnosed) => diagnosed,
            None => (self.ask(to.unit(), pdu).await, After::default()),
        };
        let at = self.wire.framing.pdu_offset();
        let completion = completion(&reply, &self.frame[at..]);
        self.count(function, completion, since);
        let length = match reply {
            Reply::Response(written) => written.length(),
            Reply::Exception(code) => {
                self.frame[at..at + 2].copy_from_slice(&[function | 0x80, code.code()]);
                2
            }
            Reply::Silent => {
                self.protocol.no_reply();
                self.completed(to, completion, after);
                self.line.known.shared.count(1, 0);
                return Ok(());
            }
        };
        self.line.known.shared.count(1, u64::from(self.frame[at] >> 7));
        let echo = self.wire.echo.then(|| Pdu::new(&self.frame[at..at + length]).ok()).flatten();
        // The frame has room for every PDU that there can be.
        let length = self.protocol.reply_in_place(to, length, &mut self.frame).unwrap_or(0);
        self.completed(to, completion, after);
        if length > 0 {
            if self.may_speak().await? {
                self.send(length).await?;
                self.echoed = echo.map(|reply| (to.unit(), reply));
            } else {
                let (server, peer) = (&self.line.known.shared.options.name, self.line.known.entry.peer());
                debug!(
                    target: "dinrail::server", %server, %peer, unit = %to.unit(), function,
                    "not answered: it took so long that somebody else has spoken since"
                );
            }
        }
        Ok(())
    }

    fn count(&self, function: u8, completion: Completion, since: Option<std::time::Instant>) {
        if let Some(since) = since {
            self.line.known.shared.count_one(function, completion, since);
        }
    }

    /// Records what became of a request, where that is asked for.
    fn completed(&mut self, to: ReplyTo, completion: Completion, after: After) {
        if self.wire.diagnostics != DiagnosticsMode::Off {
            self.line.known.shared.diagnostics.completed(&mut self.protocol, to, completion, after);
        }
    }

    /// Answers what is asked about the server itself; `None` for everything else.
    fn diagnose(&mut self, unit: UnitId, pdu: &Pdu) -> Option<(Reply, After)> {
        if self.wire.diagnostics == DiagnosticsMode::Off {
            return None;
        }
        let known = &self.line.known;
        let asker = Asker { service: self.service, shared: &known.shared, peer: known.entry.peer(), broadcast: false };
        asker.diagnose(unit, pdu.as_bytes(), &mut self.frame[self.wire.framing.pdu_offset()..])
    }

    /// A broadcast: every unit does it, and none says so.
    async fn execute_everywhere(&mut self, pdu: &Pdu) -> (Completion, After) {
        let known = &self.line.known;
        let asker = Asker { service: self.service, shared: &known.shared, peer: known.entry.peer(), broadcast: true };
        let response = &mut self.frame[self.wire.framing.pdu_offset()..];
        if self.wire.diagnostics != DiagnosticsMode::Off
            && let Some(answered) = asker.diagnose_everywhere(pdu.as_bytes(), response)
        {
            return answered;
        }
        (asker.ask_everywhere(pdu.as_bytes(), response).await, After::default())
    }

    async fn ask(&mut self, unit: UnitId, pdu: &Pdu) -> Reply {
        let known = &self.line.known;
        let asker = Asker { service: self.service, shared: &known.shared, peer: known.entry.peer(), broadcast: false };
        let response = &mut self.frame[self.wire.framing.pdu_offset()..];
        match asker.ask_now(unit, pdu.as_bytes(), response) {
            Some(reply) => reply,
            None => asker.ask(unit, pdu.as_bytes(), response).await,
        }
    }

    /// Waits until the line has been silent for long enough to speak. `false` when somebody else has spoken meanwhile.
    async fn may_speak(&mut self) -> Result<bool, End> {
        let Burst::Silence(gap) = self.wire.burst else {
            return Ok(true);
        };
        loop {
            if self.somebody_spoke() {
                self.protocol.no_reply();
                return Ok(false);
            }
            if gap.is_zero() {
                return Ok(true);
            }
            // A line that is never silent must not keep an answer for ever.
            if !self.fill(Some(self.active + gap)).await? || self.window.len() - self.used > self.frame.len() {
                return Ok(!self.somebody_spoke());
            }
        }
    }

    /// Whether a whole frame stands behind the request that is being answered.
    fn somebody_spoke(&self) -> bool {
        let mut rest = self.window[self.used..].to_vec();
        let mut bytes = &mut rest[..];
        loop {
            match self.protocol.decoder().decode(bytes, true) {
                Decoded::Frame { .. } => return true,
                Decoded::Skip { length, .. } => bytes = &mut bytes[length..],
                Decoded::Incomplete | Decoded::Unframeable { .. } => return false,
            }
        }
    }

    async fn send(&mut self, length: usize) -> Result<(), End> {
        let mut sent = 0;
        let (line, frame) = (&mut *self.line, &self.frame[..length]);
        line.tell_sending(frame);
        poll_fn(|cx| line.poll_send(cx, frame, &mut sent)).await?;
        // The system has it, and sends it byte by byte.
        self.active = Instant::now() + self.wire.byte_time * u32::try_from(length).unwrap_or(u32::MAX);
        if self.wire.echo {
            self.echo = 0..length;
        }
        Ok(())
    }

    /// Waits for more bytes; `false` when the time came first.
    ///
    /// A process that did not run for a while finds the time passed and bytes that came before: once the runtime has asked
    /// the system, which it does before it comes back to a task that has yielded.
    async fn fill(&mut self, until: Option<Instant>) -> Result<bool, End> {
        if let Some(at) = until {
            self.timer.reset(at);
        }
        let came = poll_fn(|cx| match self.poll_fill(cx) {
            Poll::Ready(filled) => Poll::Ready(filled.map(|()| true)),
            Poll::Pending if until.is_some() => self.timer.poll(cx).map(|()| Ok(false)),
            Poll::Pending => Poll::Pending,
        });
        if came.await? {
            return Ok(true);
        }
        tokio::task::yield_now().await;
        poll_fn(|cx| match self.poll_fill(cx) {
            Poll::Ready(filled) => Poll::Ready(filled.map(|()| true)),
            Poll::Pending => Poll::Ready(Ok(false)),
        })
        .await
    }

    /// Ready when more bytes have come.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        Poll::Ready(match ready!(self.line.poll_fill(cx, Scratch::take(), &[])) {
            Ok(scratch) => {
                self.take(scratch.rest());
                scratch.give_back();
                Ok(())
            }
            Err(End::Closed(_)) => Err(End::Closed(self.window.len())),
            Err(end) => Err(end),
        })
    }

    /// Takes bytes that came, but for those that the line repeats.
    fn take(&mut self, mut bytes: &[u8]) {
        let now = Instant::now();
        let gap = now - self.active;
        self.paused = false;
        self.torn |= !self.window.is_empty() && self.wire.strict.is_some_and(|longest| gap > longest);
        self.active = now;
        while let [first, rest @ ..] = bytes
            && !self.echo.is_empty()
        {
            if *first != self.frame[self.echo.start] {
                self.echo = 0..0;
                self.garbled = true;
                break;
            }
            self.echo.start += 1;
            bytes = rest;
        }
        self.window.extend_from_slice(bytes);
        if self.wire.strict.is_some() {
            // More than a frame without a pause is none, however much more: a line that is never silent must not fill memory.
            self.window.truncate(self.wire.framing.max_adu() + 1);
        }
    }

    /// Whether what came between two silences is one frame, without a gap.
    fn is_one_frame(&self) -> bool {
        let mut copy = self.window.clone();
        let whole = copy.len();
        !self.torn
            && matches!(self.protocol.decoder().decode(&mut copy, true), Decoded::Frame { length, .. } if length == whole)
    }

    /// What is no whole frame is nothing at all, to a strict line.
    fn drop_torn(&mut self) {
        let torn = std::mem::take(&mut self.torn);
        if !self.window.is_empty() {
            let too_long = self.window.len() > self.wire.framing.max_adu();
            let counters = self.protocol.counters_mut();
            // More than a frame can have, without a pause: the specification calls that an overrun (SL 2.5.1.1).
            let counter = if too_long { &mut counters.overruns } else { &mut counters.bus_errors };
            *counter = counter.wrapping_add(1);
            let kind = match torn {
                _ if too_long => LineError::Overrun,
                true => LineError::Gap,
                false => LineError::Noise,
            };
            self.line.known.shared.count_line_error(kind);
            self.window.clear();
        }
    }
}
