//! The diagnostics of a serial line as a server answers them: FC 8, 11 and 12 (AP 6.8 to 6.10, SL appendix A).
//!
//! They are about the server, not about its data, and there is one set of them however many lines a server has. So they
//! stand beside the [`Connection`]s: those see what passes and count it, [`Diagnostics`] collects it and answers.

mod tally;
#[cfg(test)]
mod tests;

pub use self::tally::Tally;
use super::{Connection, Counters, Event, ReplyTo, Skipped};
use crate::pdu::diagnostics::{Diagnostic, MAX_EVENTS, event};
use crate::pdu::{ExceptionCode, FunctionCode, Pdu, Request, Response};

/// What a server knows of its own communication.
///
/// ```
/// use dinrail_proto::server::{Completion, Connection, Diagnostics, Event};
/// use dinrail_proto::{Framing, UnitId};
///
/// let mut connection = Connection::new(Framing::Rtu, UnitId(2).into());
/// let mut diagnostics = Diagnostics::new();
/// let mut window = [0x02, 0x0B, 0x40, 0xE7]; // FC 11, get comm event counter, from unit 2
/// let mut out = [0; 256];
///
/// diagnostics.govern(&mut connection);
/// let event = connection.handle_input(&mut window);
/// diagnostics.seen(&mut connection, &event);
/// if let Event::Request { adu, to, .. } = event {
///     let Some(answer) = diagnostics.answer(adu.pdu) else { return /* ask the application */ };
///     if let Some(reply) = &answer.reply {
///         let length = connection.reply(to, reply.as_bytes(), &mut out).unwrap();
///         assert_eq!(out[..length], [0x02, 0x0B, 0, 0, 0, 0, 0xA4, 0x38]);
///     }
///     diagnostics.completed(&mut connection, to, answer.completion(), answer.after);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    counters: Counters,
    /// Requests that were done (FC 11).
    events: u16,
    /// The newest first.
    log: [u8; MAX_EVENTS],
    logged: u8,
    register: u16,
    busy: bool,
    listen_only: bool,
    delimiter: u8,
    frozen: bool,
}

/// What [`Diagnostics::answer`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The reply, a response or an exception; `None` for a request that is never answered.
    pub reply: Option<Pdu>,
    /// To be handed to [`Diagnostics::completed`] once the reply is framed.
    pub after: After,
}

/// What a diagnostic request does to the server once it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct After(Effect);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Effect {
    #[default]
    Nothing,
    Restart {
        clears_log: bool,
    },
    Delimiter(u8),
    ListenOnly,
    ClearCounters,
    ClearOverruns,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It was done.
    Done,
    /// It was refused.
    Refused(ExceptionCode),
    /// Nobody did it, and nobody says so.
    Ignored,
}

impl Answer {
    /// What became of the request: it was done, unless the reply is an exception.
    pub fn completion(&self) -> Completion {
        match self.reply.as_ref().map(Pdu::as_bytes) {
            Some(&[function, code]) if function >= 0x80 => Completion::Refused(code.into()),
            _ => Completion::Done,
        }
    }
}

impl Default for Diagnostics {
    fn default() -> Self {
        Self::new()
    }
}

impl Diagnostics {
    /// Those of a server that has just been switched on.
    pub const fn new() -> Self {
        Self {
            counters: Counters::NEW,
            events: 0,
            log: [0; MAX_EVENTS],
            logged: 0,
            register: 0,
            busy: false,
            listen_only: false,
            delimiter: b'\n',
            frozen: false,
        }
    }

    /// The same, with counters and a log that never move: requests are answered and obeyed, but nothing is recorded.
    #[must_use]
    pub const fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// Tells a connection whether it may only listen, and what ends its ASCII frames. To be called before bytes of it
    /// are looked at, since another connection may have changed that.
    pub const fn govern(&self, connection: &mut Connection) {
        connection.set_listen_only(self.listen_only);
        connection.set_delimiter(self.delimiter);
    }

    /// Takes what a connection has counted, and logs what came: the `event` that it has just reported.
    pub fn seen(&mut self, connection: &mut Connection, event: &Event<'_>) {
        let listening = if self.listen_only { event::LISTEN_ONLY } else { 0 };
        let seen = self.absorb(connection);
        if seen.overruns > 0 {
            self.log(event::RECEIVE | event::OVERRUN | listening);
        }
        if seen.bus_errors > 0 {
            self.log(event::RECEIVE | event::COMMUNICATION_ERROR | listening);
        }
        match event {
            Event::Request { to, .. } => {
                let broadcast = if to.is_broadcast() { event::BROADCAST } else { 0 };
                self.log(event::RECEIVE | broadcast | listening);
            }
            Event::Skip { what: Skipped::ListenOnly, .. } => self.log(event::RECEIVE | listening),
            _ => {}
        }
    }

    /// Answers FC 8, 11 and 12; `None` for every other request, by its first byte alone.
    ///
    /// FC 8 answers every sub-function that has a meaning, 01 for the reserved ones, and 03 for data that is not what the
    /// sub-function asks for.
    pub fn answer(&self, pdu: &[u8]) -> Option<Answer> {
        let function = *pdu.first()?;
        if !is_diagnostic(function) {
            return None;
        }
        let answered = Request::decode(pdu).and_then(|request| self.execute(&request));
        Some(
            answered
                .unwrap_or_else(|code| Answer { reply: Some(Pdu::exception(function, code)), after: After::default() }),
        )
    }

    fn execute(&self, request: &Request<'_>) -> Result<Answer, ExceptionCode> {
        let (status, events) = (if self.busy { 0xFFFF } else { 0 }, self.events);
        match *request {
            Request::GetCommEventCounter => answer(Response::CommEventCounter { status, events }, Effect::Nothing),
            Request::GetCommEventLog => {
                let (messages, log) = (self.counters.bus_messages, self.events_logged());
                answer(Response::CommEventLog { status, events, messages, log }, Effect::Nothing)
            }
            Request::Diagnostics { sub_function, data } => self.diagnose(sub_function, data),
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }

    fn diagnose(&self, sub_function: Diagnostic, data: &[u8]) -> Result<Answer, ExceptionCode> {
        let effect = match (sub_function, data) {
            (Diagnostic::RETURN_QUERY_DATA, _) => Effect::Nothing,
            (Diagnostic::RESTART_COMMUNICATIONS, [clear @ (0 | 0xFF), 0]) => {
                Effect::Restart { clears_log: *clear != 0 }
            }
            (Diagnostic::CHANGE_ASCII_DELIMITER, [delimiter, 0]) => Effect::Delimiter(*delimiter),
            (Diagnostic::FORCE_LISTEN_ONLY, [0, 0]) => Effect::ListenOnly,
            (Diagnostic::CLEAR_COUNTERS, [0, 0]) => Effect::ClearCounters,
            (Diagnostic::CLEAR_OVERRUN_COUNTER, [0, 0]) => Effect::ClearOverruns,
            _ => match self.value(sub_function) {
                Some(value) if data == [0, 0] => {
                    let response = Response::Diagnostics { sub_function, data: &value.to_be_bytes() };
                    return answer(response, Effect::Nothing);
                }
                Some(_) => return Err(ExceptionCode::IllegalDataValue),
                None if is_defined(sub_function) => return Err(ExceptionCode::IllegalDataValue),
                None => return Err(ExceptionCode::IllegalFunction),
            },
        };
        if effect == Effect::ListenOnly {
            return Ok(Answer { reply: None, after: After(effect) });
        }
        answer(Response::Diagnostics { sub_function, data }, effect)
    }

    /// What a sub-function that reads returns.
    const fn value(&self, sub_function: Diagnostic) -> Option<u16> {
        match sub_function {
            Diagnostic::RETURN_DIAGNOSTIC_REGISTER => Some(self.register),
            counter => self.counters.by_sub_function(counter),
        }
    }

    /// Records what became of a request, any request, and does what its [`Answer`] says is to be done afterwards.
    ///
    /// To be called once the reply is framed: a new delimiter is for the frames behind it, and so is the silence of a
    /// server that only listens.
    pub fn completed(&mut self, connection: &mut Connection, to: ReplyTo, completion: Completion, after: After) {
        self.absorb(connection);
        let listening = if self.listen_only { event::LISTEN_ONLY } else { 0 };
        if completion == Completion::Done && !is_fetch(to.function) && !self.frozen {
            self.events = self.events.wrapping_add(1);
        }
        if after.0 != Effect::ListenOnly {
            let refused = match completion {
                Completion::Refused(code) => event::refused(code),
                Completion::Done | Completion::Ignored => 0,
            };
            self.log(event::SEND | refused | listening);
        }
        self.apply(after.0);
        self.govern(connection);
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::Restart { clears_log } => {
                self.clear_counters();
                self.listen_only = false;
                self.delimiter = b'\n';
                if clears_log {
                    self.logged = 0;
                }
                self.log(event::RESTART);
            }
            Effect::Delimiter(delimiter) => self.delimiter = delimiter,
            Effect::ListenOnly => {
                self.listen_only = true;
                self.log(event::ENTERED_LISTEN_ONLY);
            }
            Effect::ClearCounters => {
                self.clear_counters();
                self.register = 0;
            }
            Effect::ClearOverruns => self.counters.overruns = 0,
        }
    }

    fn clear_counters(&mut self) {
        self.counters.clear();
        self.events = 0;
    }

    /// Takes a connection's counters, and returns what they were.
    fn absorb(&mut self, connection: &mut Connection) -> Counters {
        let seen = core::mem::take(connection.counters_mut());
        if !self.frozen {
            self.counters.add(&seen);
        }
        seen
    }

    fn log(&mut self, event: u8) {
        if self.frozen {
            return;
        }
        self.log.copy_within(..MAX_EVENTS - 1, 1);
        self.log[0] = event;
        self.logged = (self.logged + 1).min(MAX_EVENTS as u8);
    }

    /// The counters of FC 8; [`Counters::bus_messages`] is the message count of FC 12 as well.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The event counter of FC 11: requests that were done. Exceptions, FC 11 and FC 12 are not among them.
    pub const fn events(&self) -> u16 {
        self.events
    }

    /// The event log of FC 12: up to 64 events, the newest first, in the bits of AP 6.10.
    pub fn events_logged(&self) -> &[u8] {
        &self.log[..usize::from(self.logged)]
    }

    /// The diagnostic register, FC 8 / 2. The application defines its bits.
    pub const fn register(&self) -> u16 {
        self.register
    }

    /// Sets the diagnostic register. FC 8 / 0A clears it.
    pub const fn set_register(&mut self, register: u16) {
        self.register = register;
    }

    /// Whether FC 11 and 12 report that an earlier command is still being worked on: status FFFF instead of 0.
    pub const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Says whether an earlier command is still being worked on.
    pub const fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
    }

    /// Whether the server only listens: FC 8 / 4, until FC 8 / 1.
    pub const fn is_listen_only(&self) -> bool {
        self.listen_only
    }

    /// The character behind CR at the end of ASCII frames: LF unless FC 8 / 3 has changed it.
    pub const fn delimiter(&self) -> u8 {
        self.delimiter
    }
}

/// Whether a request of this function is about the server's own communication: FC 8, 11 and 12.
pub const fn is_diagnostic(function: u8) -> bool {
    matches!(function, 8 | 11 | 12)
}

/// Whether a request of this function only fetches what was counted, and is no event itself (AP 6.9).
const fn is_fetch(function: u8) -> bool {
    function == FunctionCode::GET_COMM_EVENT_COUNTER.code() || function == FunctionCode::GET_COMM_EVENT_LOG.code()
}

/// Sub-functions that do something; those that read have a value.
const fn is_defined(sub_function: Diagnostic) -> bool {
    sub_function.is_echo() || matches!(sub_function, Diagnostic::FORCE_LISTEN_ONLY)
}

fn answer(response: Response<'_>, effect: Effect) -> Result<Answer, ExceptionCode> {
    // An echo is as long as its request, everything else is shorter than 80 bytes: it always fits.
    let reply = response.encode().map_err(|_| ExceptionCode::ServerDeviceFailure)?;
    Ok(Answer { reply: Some(reply), after: After(effect) })
}
