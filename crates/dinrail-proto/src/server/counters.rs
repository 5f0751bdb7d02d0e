//! What a server counts: the diagnostic counters of FC 8 (AP 6.8, SL appendix A).

use crate::pdu::ExceptionCode;
use crate::pdu::diagnostics::Diagnostic;

/// The diagnostic counters. They are as wide as FC 8 sends them and start again at 0 after 65535.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Good frames seen on the line, to and from whomever (CPT1).
    pub bus_messages: u16,
    /// Times that bytes came that made no good frame; garbage without a good frame or silence in it counts once (CPT2).
    pub bus_errors: u16,
    /// Exceptions, those for broadcasts included, which are not sent (CPT3).
    pub exceptions: u16,
    /// Requests for us, broadcasts included (CPT4).
    pub server_messages: u16,
    /// Requests for us that were not answered (CPT5).
    pub no_response: u16,
    /// Exceptions 07 (CPT6).
    pub nak: u16,
    /// Exceptions 06 (CPT7).
    pub busy: u16,
    /// Characters or frames lost because the receiver was too slow, as told by the caller (CPT8).
    pub overruns: u16,
}

impl Counters {
    pub(super) const NEW: Self = Self {
        bus_messages: 0,
        bus_errors: 0,
        exceptions: 0,
        server_messages: 0,
        no_response: 0,
        nak: 0,
        busy: 0,
        overruns: 0,
    };

    /// Sets all of them to 0.
    pub const fn clear(&mut self) {
        *self = Self::NEW;
    }

    /// The counter that a sub-function of FC 8 returns, if it returns one.
    pub const fn by_sub_function(&self, sub_function: Diagnostic) -> Option<u16> {
        match sub_function {
            Diagnostic::BUS_MESSAGE_COUNT => Some(self.bus_messages),
            Diagnostic::BUS_COMMUNICATION_ERROR_COUNT => Some(self.bus_errors),
            Diagnostic::BUS_EXCEPTION_ERROR_COUNT => Some(self.exceptions),
            Diagnostic::SERVER_MESSAGE_COUNT => Some(self.server_messages),
            Diagnostic::SERVER_NO_RESPONSE_COUNT => Some(self.no_response),
            Diagnostic::SERVER_NAK_COUNT => Some(self.nak),
            Diagnostic::SERVER_BUSY_COUNT => Some(self.busy),
            Diagnostic::BUS_CHARACTER_OVERRUN_COUNT => Some(self.overruns),
            _ => None,
        }
    }

    /// Adds what was counted elsewhere.
    pub(super) const fn add(&mut self, more: &Self) {
        let Self { bus_messages, bus_errors, exceptions, server_messages, no_response, nak, busy, overruns } = *more;
        self.bus_messages = self.bus_messages.wrapping_add(bus_messages);
        self.bus_errors = self.bus_errors.wrapping_add(bus_errors);
        self.exceptions = self.exceptions.wrapping_add(exceptions);
        self.server_messages = self.server_messages.wrapping_add(server_messages);
        self.no_response = self.no_response.wrapping_add(no_response);
        self.nak = self.nak.wrapping_add(nak);
        self.busy = self.busy.wrapping_add(busy);
        self.overruns = self.overruns.wrapping_add(overruns);
    }

    pub(super) const fn count_exception(&mut self, code: ExceptionCode) {
        self.exceptions = self.exceptions.wrapping_add(1);
        match code {
            ExceptionCode::NegativeAcknowledge => self.nak = self.nak.wrapping_add(1),
            ExceptionCode::ServerDeviceBusy => self.busy = self.busy.wrapping_add(1),
            _ => {}
        }
    }
}
