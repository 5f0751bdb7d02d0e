//! Exception codes (AP 7).

use core::fmt;

/// Why a server refused a request. An exception means that nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExceptionCode {
    /// 01: the server does not know the function, or not in its present state.
    IllegalFunction,
    /// 02: the range of addresses does not exist, in whole or in part.
    IllegalDataAddress,
    /// 03: a count, a length or a field is not allowed. Never: a register's new value is out of the application's range.
    IllegalDataValue,
    /// 04: it went wrong while being done.
    ServerDeviceFailure,
    /// 05: accepted, and will take a while: ask again later whether it is done.
    Acknowledge,
    /// 06: busy with a long command: ask again later.
    ServerDeviceBusy,
    /// 07: cannot be done (from older editions of the specification).
    NegativeAcknowledge,
    /// 08: extended memory failed its parity check (FC 20 and 21).
    MemoryParityError,
    /// 0A: the gateway has no way to the unit.
    GatewayPathUnavailable,
    /// 0B: the unit behind the gateway did not answer; what became of a write is unknown.
    GatewayTargetFailedToRespond,
    /// A code that the specification does not define. `Other(1)` is the same as [`IllegalFunction`](Self::IllegalFunction)
    /// on the wire, but not equal to it: use [`From<u8>`](Self::from), which never makes such a twin.
    Other(u8),
}

impl ExceptionCode {
    /// The byte on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::IllegalFunction => 0x01,
            Self::IllegalDataAddress => 0x02,
            Self::IllegalDataValue => 0x03,
            Self::ServerDeviceFailure => 0x04,
            Self::Acknowledge => 0x05,
            Self::ServerDeviceBusy => 0x06,
            Self::NegativeAcknowledge => 0x07,
            Self::MemoryParityError => 0x08,
            Self::GatewayPathUnavailable => 0x0A,
            Self::GatewayTargetFailedToRespond => 0x0B,
            Self::Other(code) => code,
        }
    }

    /// What the code means, in a few words.
    pub const fn description(self) -> &'static str {
        match self {
            Self::IllegalFunction => "illegal function",
            Self::IllegalDataAddress => "illegal data address",
            Self::IllegalDataValue => "illegal data value",
            Self::ServerDeviceFailure => "server device failure",
            Self::Acknowledge => "acknowledge",
            Self::ServerDeviceBusy => "server device busy",
            Self::NegativeAcknowledge => "negative acknowledge",
            Self::MemoryParityError => "memory parity error",
            Self::GatewayPathUnavailable => "gateway path unavailable",
            Self::GatewayTargetFailedToRespond => "gateway target device failed to respond",
            Self::Other(_) => "not defined by the specification",
        }
    }
}

impl From<u8> for ExceptionCode {
    fn from(code: u8) -> Self {
        match code {
            0x01 => Self::IllegalFunction,
            0x02 => Self::IllegalDataAddress,
            0x03 => Self::IllegalDataValue,
            0x04 => Self::ServerDeviceFailure,
            0x05 => Self::Acknowledge,
            0x06 => Self::ServerDeviceBusy,
            0x07 => Self::NegativeAcknowledge,
            0x08 => Self::MemoryParityError,
            0x0A => Self::GatewayPathUnavailable,
            0x0B => Self::GatewayTargetFailedToRespond,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for ExceptionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x} ({})", self.code(), self.description())
    }
}

impl core::error::Error for ExceptionCode {}
