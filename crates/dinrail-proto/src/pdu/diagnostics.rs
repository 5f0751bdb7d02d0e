//! Diagnostics: the sub-functions of FC 8 (AP 6.8) and the events of FC 12 (AP 6.10).

/// A sub-function of FC 8. Codes without a name here are reserved by the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic(pub u16);

impl Diagnostic {
    /// 00: the request's data comes back.
    pub const RETURN_QUERY_DATA: Self = Self(0x00);
    /// 01: restarts communication; data 0000, or FF00 to clear the event log as well.
    pub const RESTART_COMMUNICATIONS: Self = Self(0x01);
    /// 02: the diagnostic register.
    pub const RETURN_DIAGNOSTIC_REGISTER: Self = Self(0x02);
    /// 03: the character that ends ASCII frames, in the high byte of the data.
    pub const CHANGE_ASCII_DELIMITER: Self = Self(0x03);
    /// 04: neither act nor answer until sub-function 01; this one is not answered either.
    pub const FORCE_LISTEN_ONLY: Self = Self(0x04);
    /// 0A: clears the counters and the diagnostic register.
    pub const CLEAR_COUNTERS: Self = Self(0x0A);
    /// 0B: good frames seen on the line, to whomever.
    pub const BUS_MESSAGE_COUNT: Self = Self(0x0B);
    /// 0C: frames with a wrong checksum.
    pub const BUS_COMMUNICATION_ERROR_COUNT: Self = Self(0x0C);
    /// 0D: exceptions answered.
    pub const BUS_EXCEPTION_ERROR_COUNT: Self = Self(0x0D);
    /// 0E: frames for this server, broadcasts among them.
    pub const SERVER_MESSAGE_COUNT: Self = Self(0x0E);
    /// 0F: frames for this server that got no answer.
    pub const SERVER_NO_RESPONSE_COUNT: Self = Self(0x0F);
    /// 10: exceptions 07 answered.
    pub const SERVER_NAK_COUNT: Self = Self(0x10);
    /// 11: exceptions 06 answered.
    pub const SERVER_BUSY_COUNT: Self = Self(0x11);
    /// 12: frames lost because characters came faster than they were read.
    pub const BUS_CHARACTER_OVERRUN_COUNT: Self = Self(0x12);
    /// 14: clears the overrun counter and its flag.
    pub const CLEAR_OVERRUN_COUNTER: Self = Self(0x14);

    /// Whether the server answers with the request itself.
    pub const fn is_echo(self) -> bool {
        matches!(self.0, 0x00 | 0x01 | 0x03 | 0x0A | 0x14)
    }
}

/// The most events that FC 12 returns (AP 6.10).
pub const MAX_EVENTS: usize = 64;

/// The bits of the events that FC 12 returns (AP 6.10).
///
/// The specification's table has listen-only as 20 in events of both kinds, its example misprints it.
pub mod event {
    use crate::pdu::ExceptionCode;

    /// Communication was restarted (FC 8 / 1). This is the whole event.
    pub const RESTART: u8 = 0x00;
    /// The server entered listen-only mode (FC 8 / 4). This is the whole event.
    pub const ENTERED_LISTEN_ONLY: u8 = 0x04;
    /// Something came: a request, or bytes that made none.
    pub const RECEIVE: u8 = 0x80;
    /// A request was dealt with, whether it was answered or not.
    pub const SEND: u8 = 0x40;
    /// In both kinds of events: the server was in listen-only mode.
    pub const LISTEN_ONLY: u8 = 0x20;
    /// Something came that made no good frame.
    pub const COMMUNICATION_ERROR: u8 = 0x02;
    /// Characters were lost.
    pub const OVERRUN: u8 = 0x10;
    /// The request was a broadcast.
    pub const BROADCAST: u8 = 0x40;

    /// The bit of an exception in an event of [`SEND`]: 01 for 1 to 3, 02 for 4, 04 for 5 and 6, 08 for 7. The others, which
    /// are younger than the log, have none.
    pub const fn refused(code: ExceptionCode) -> u8 {
        match code.code() {
            1..=3 => 0x01,
            4 => 0x02,
            5 | 6 => 0x04,
            7 => 0x08,
            _ => 0,
        }
    }
}
