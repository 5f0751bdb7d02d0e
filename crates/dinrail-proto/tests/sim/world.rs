//! One client, one device and a line between them, in virtual time.

mod device;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use dinrail_proto::adu::{Decoded, Decoder, Side};
use dinrail_proto::client::{CallId, Connection, Options, Outcome, StartError, Stats};
use dinrail_proto::server;
use dinrail_proto::{Framing, Instant, Pdu, Request, UnitId};

use self::device::device;
use crate::call::{Call, make, make_alike, number};
use crate::faults::{Trouble, flip, split};
use crate::rng::Rng;

pub(crate) const SLOTS: usize = 8;
/// The silence between frames of a serial line, in microseconds.
const GAP: u64 = 2_000;

/// The framings of the stories, in turn.
pub(crate) const FRAMINGS: [Framing; 5] = [Framing::Tcp, Framing::Rtu, Framing::Ascii, Framing::Binary, Framing::Pdu];

enum Happening {
    Start(usize),
    Cancel(usize),
    /// Bytes come to the device, or to the client.
    ToDevice(Vec<u8>),
    ToClient(Vec<u8>),
    /// The device starts to send, unless it could not be done before the limit.
    Emit {
        bytes: Vec<u8>,
        limit: u64,
        pause: u64,
    },
    /// The connection breaks.
    Break,
}

/// Bytes that came and were not used yet, and when they are known to be a whole burst.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    burst_end: Option<u64>,
}

pub(crate) struct World {
    rng: Rng,
    framing: Framing,
    byte_time: u64,
    local_echo: bool,
    surprise_echo: bool,
    faulty: bool,
    trouble: Trouble,
    now: u64,
    sequence: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    client: Connection<SLOTS>,
    client_window: Window,
    device: server::Connection,
    device_window: Window,
    /// Until when the way to the client, and to the device, is taken.
    to_client_busy: u64,
    to_device_busy: u64,
    pub(crate) calls: Vec<Call>,
    outcomes: HashMap<usize, Outcome>,
    open: HashMap<CallId, usize>,
    executed: HashSet<usize>,
    idle_steps: usize,
}

impl World {
    pub(crate) fn new(seed: u64, trouble: Trouble) -> Self {
        let mut rng = Rng::new(seed);
        let framing = FRAMINGS[seed as usize % FRAMINGS.len()];
        let serial = framing.is_shared_line();
        let everything = trouble == Trouble::Everything;
        let local_echo = serial && everything && rng.chance(25);
        let byte_time = if serial { rng.within(20, 100) } else { 0 };
        let mut options = Options::new(framing);
        options.depth = rng.within(1, SLOTS as u64) as usize;
        options.local_echo = local_echo;
        options.byte_time = Duration::from_micros(byte_time);
        options.broadcast_delay = Duration::from_millis(rng.within(5, 20));
        if serial {
            options.frame_gap = Duration::from_micros(GAP);
        }
        Self {
            framing,
            byte_time,
            local_echo,
            surprise_echo: serial && everything && !local_echo && rng.chance(10),
            faulty: true,
            trouble,
            now: 0,
            sequence: 0,
            agenda: BTreeMap::new(),
            client: Connection::new(options),
            client_window: Window::default(),
            device: device(framing),
            device_window: Window::default(),
            to_client_busy: 0,
            to_device_busy: 0,
            calls: Vec::new(),
            outcomes: HashMap::new(),
            open: HashMap::new(),
            executed: HashSet::new(),
            idle_steps: 0,
            rng,
        }
    }

    fn is_serial(&self) -> bool {
        self.framing.is_shared_line()
    }

    /// Whether bytes may be damaged and lost, and not only come late.
    fn is_bad(&self) -> bool {
        self.faulty && self.trouble == Trouble::Everything
    }

    fn at(&mut self, when: u64, what: Happening) {
        self.sequence += 1;
        self.agenda.insert((when, self.sequence), what);
    }

    fn instant(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// Plans calls at random moments, some of which are dropped.
    pub(crate) fn plan(&mut self, count: u16) {
        let mut when = self.now;
        for number in 0..count {
            let call = match self.trouble {
                Trouble::Everything => make(number, &mut self.rng, self.framing.is_shared_line()),
                Trouble::LateReplies => make_alike(number, &mut self.rng),
            };
            self.add(call);
            when += self.rng.within(0, 40_000);
            self.at(when, Happening::Start(usize::from(number)));
            if self.rng.chance(8) {
                let later = when + self.rng.within(0, 150_000);
                self.at(later, Happening::Cancel(usize::from(number)));
            }
        }
        if !self.is_serial() && self.is_bad() && self.rng.chance(15) {
            let moment = self.rng.within(0, when);
            self.at(moment, Happening::Break);
        }
    }

    /// From now on nothing goes wrong any more, beyond what is on its way.
    pub(crate) fn heal(&mut self) {
        self.faulty = false;
        self.surprise_echo = false;
    }

    /// Starts one more call to a unit; returns its number.
    pub(crate) fn start_clean(&mut self, unit: u8) -> usize {
        let number = self.calls.len();
        let mut call = make(number as u16, &mut self.rng, false);
        call.unit = UnitId(unit);
        self.add(call);
        self.at(self.now, Happening::Start(number));
        number
    }

    fn add(&mut self, mut call: Call) {
        call.device = if self.framing.has_units() { call.unit } else { UnitId::DIRECT };
        self.calls.push(call);
    }

    pub(crate) fn outcome(&self, number: usize) -> Option<&Outcome> {
        self.outcomes.get(&number)
    }

    pub(crate) fn stats(&self) -> Stats {
        self.client.stats()
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.calls.iter().all(|call| call.cancelled || call.ended.is_some())
    }

    /// Goes to the next moment at which something happens. `false` when nothing ever will.
    pub(crate) fn step(&mut self) -> Result<bool, String> {
        let timeout = self.client.poll_timeout().map(|at| at.as_micros().max(self.now));
        let planned = self.agenda.first_key_value().map(|((when, _), _)| *when);
        let bursts = [self.client_window.burst_end, self.device_window.burst_end];
        let Some(next) = [timeout, planned].into_iter().chain(bursts).flatten().min() else { return Ok(false) };
        self.idle_steps = if next > self.now { 0 } else { self.idle_steps + 1 };
        if self.idle_steps > 1_000 {
            return Err("the client asks to be called again and again, and does nothing".into());
        }
        self.now = next;
        while let Some(((when, _), _)) = self.agenda.first_key_value()
            && *when <= self.now
            && let Some((_, happening)) = self.agenda.pop_first()
        {
            self.happen(happening)?;
        }
        self.end_bursts()?;
        self.client.handle_timeout(self.instant());
        self.pump()?;
        self.check_deadlines()?;
        Ok(true)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Start(number) => self.start(number),
            Happening::Cancel(number) => {
                let started = self.open.iter().find(|(_, open)| **open == number).map(|(id, _)| *id);
                if let Some(id) = started {
                    self.client.cancel(id);
                    self.open.remove(&id);
                    self.calls[number].cancelled = true;
                }
                Ok(())
            }
            Happening::ToDevice(bytes) => self.reach_device(&bytes),
            Happening::ToClient(bytes) => self.reach_client(&bytes),
            Happening::Emit { bytes, limit, pause } => {
                self.emit(&bytes, limit, pause);
                Ok(())
            }
            Happening::Break => {
                self.agenda.retain(|_, left| matches!(left, Happening::Start(_) | Happening::Cancel(_)));
                self.client.reset();
                self.device = device(self.framing);
                (self.client_window, self.device_window) = Default::default();
                (self.to_client_busy, self.to_device_busy) = (self.now, self.now);
                Ok(())
            }
        }
    }

    fn start(&mut self, number: usize) -> Result<(), String> {
        let call = &self.calls[number];
        // Every other call takes the short way, where there is one.
        if number.is_multiple_of(2)
            && let Ok(request) = Request::decode(call.request.as_bytes())
        {
            let mut out = [0; 260];
            let alone = self.client.start_alone(Some(self.instant()), call.unit, &request, call.timeout, &mut out);
            if let Some((id, length)) = alone {
                self.open.insert(id, number);
                return self.transmit(&out[..length]);
            }
        }
        match self.client.start(call.unit, &call.request, call.timeout) {
            Ok(id) => {
                self.open.insert(id, number);
                self.pump()
            }
            Err(StartError::Full) => {
                self.at(self.now + 5_000, Happening::Start(number));
                Ok(())
            }
            Err(error) => Err(format!("call {number} was not taken: {error:?}")),
        }
    }

    /// Sends what may be sent and takes what has ended.
    fn pump(&mut self) -> Result<(), String> {
        let mut out = [0; 8 * 513];
        while let Some(length) = self.client.poll_transmit(self.instant(), &mut out) {
            self.transmit(&out[..length])?;
        }
        while let Some(id) = self.client.poll() {
            let outcome = self.client.take(id).ok_or("a call ended without an outcome")?;
            self.end(id, outcome)?;
        }
        Ok(())
    }

    fn end(&mut self, id: CallId, outcome: Outcome) -> Result<(), String> {
        let number = self.open.remove(&id).ok_or("a call ended that nobody waits for")?;
        self.calls[number].check(&outcome).map_err(|error| format!("call {number} {error}"))?;
        let done = matches!(outcome, Outcome::Response(_) | Outcome::Exception(_));
        if done && !self.executed.contains(&number) {
            return Err(format!("call {number} ended with {outcome:?}, and the device has not seen it"));
        }
        self.calls[number].ended = Some(self.instant());
        self.outcomes.insert(number, outcome);
        Ok(())
    }

    /// Every call that was sent has ended by its deadline.
    fn check_deadlines(&self) -> Result<(), String> {
        for (id, number) in &self.open {
            let call = &self.calls[*number];
            let way = Duration::from_micros(self.byte_time * 513);
            if call.sent.is_some_and(|sent| sent + call.timeout + way <= self.instant()) {
                return Err(format!("call {number} ({id:?}) has not ended by its deadline"));
            }
        }
        Ok(())
    }

    fn transmit(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let mut copy = bytes.to_vec();
            let decoded = Decoder::new(self.framing, Side::Requests).decode(&mut copy, true);
            let Decoded::Frame { adu, length } = decoded else {
                return Err(format!("the client sent {bytes:02x?}, which is no frame"));
            };
            let number = number(adu.pdu);
            let call = self.calls.get_mut(number).ok_or("the client sent a request of no call")?;
            if adu.unit != call.device || adu.pdu != call.request.as_bytes() {
                return Err(format!("the client sent {adu:?} for call {number}"));
            }
            if call.sent.replace(Instant::from_micros(self.now)).is_some() {
                return Err(format!("call {number} was sent twice"));
            }
            let echoed_by_reply = matches!(adu.pdu[0], 5 | 6 | 22);
            let (frame, rest) = bytes.split_at(length);
            if self.local_echo || (self.surprise_echo && !echoed_by_reply) {
                self.echo(frame);
            }
            self.carry_request(frame);
            bytes = rest;
        }
        Ok(())
    }

    fn echo(&mut self, frame: &[u8]) {
        let mut frame = frame.to_vec();
        if self.is_bad() && self.rng.chance(5) {
            flip(&mut self.rng, &mut frame, 1);
        }
        if !(self.is_bad() && self.rng.chance(3)) {
            self.emit(&frame, u64::MAX, 0);
        }
    }

    fn carry_request(&mut self, frame: &[u8]) {
        let mut frame = frame.to_vec();
        let arrival = self.now + self.byte_time * frame.len() as u64;
        if !self.is_serial() {
            self.to_device_busy = self.to_device_busy.max(arrival) + self.rng.within(50, 500);
            let pieces = split(&mut self.rng, &frame, usize::MAX);
            for piece in pieces {
                self.at(self.to_device_busy, Happening::ToDevice(piece));
            }
            return;
        }
        if self.is_bad() && self.rng.chance(5) {
            let most = self.most_flips();
            let count = self.rng.within(1, most);
            flip(&mut self.rng, &mut frame, count);
        }
        if !(self.is_bad() && self.rng.chance(5)) {
            self.at(arrival, Happening::ToDevice(frame));
        }
        if self.is_bad() && self.rng.chance(5) {
            let noise = (0..self.rng.within(1, 20)).map(|_| self.rng.next() as u8).collect();
            let when = arrival + self.rng.within(0, 50_000);
            self.at(when, Happening::Emit { bytes: noise, limit: u64::MAX, pause: 0 });
        }
    }

    /// What the checksum is sure to find.
    fn most_flips(&self) -> u64 {
        if self.framing == Framing::Ascii { 1 } else { 3 }
    }

    fn reach_client(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (now, serial) = (self.instant(), self.is_serial());
        let window = &mut self.client_window;
        window.bytes.extend_from_slice(bytes);
        let shortly =
            self.open.iter().filter(|(_, number)| number.is_multiple_of(2)).min_by_key(|(_, number)| **number);
        if let Some((&id, number)) = shortly
            && let Ok(request) = Request::decode(self.calls[*number].request.as_bytes())
            && let Some(response) = self.client.response_in(id, &request, &window.bytes)
        {
            let outcome = Outcome::Response(Pdu::new(response).map_err(|error| error.to_string())?);
            window.bytes.clear();
            self.end(id, outcome)?;
            return self.pump();
        }
        let used = self.client.handle_input(now, &mut window.bytes).map_err(|error| format!("{error:?}"))?;
        window.bytes.drain(..used);
        window.burst_end = (serial && !window.bytes.is_empty()).then_some(self.now + GAP);
        if window.bytes.len() > self.framing.max_adu() {
            return Err("the client keeps more bytes than a frame has".into());
        }
        self.pump()
    }

    fn reach_device(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.device_window.bytes.extend_from_slice(bytes);
        self.device_window.burst_end = self.is_serial().then_some(self.now + GAP);
        self.serve(false)
    }

    fn end_bursts(&mut self) -> Result<(), String> {
        if self.client_window.burst_end.is_some_and(|end| end <= self.now) {
            let mut window = std::mem::take(&mut self.client_window);
            self.client.end_of_burst(&mut window.bytes);
        }
        if self.device_window.burst_end.is_some_and(|end| end <= self.now) {
            self.device_window.burst_end = None;
            self.serve(true)?;
        }
        Ok(())
    }
}
