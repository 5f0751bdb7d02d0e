//! What can be wrong with bytes, and with what a caller asks to be sent.

use core::fmt;

use crate::pdu::{ExceptionCode, FunctionCode};

/// A request or response that the specification does not allow to be sent; nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The count is zero or above what one request may carry.
    Count {
        /// What was asked for, in items of the function (registers, bits, bytes, records).
        count: usize,
        /// The most that the function allows.
        max: usize,
    },
    /// The range ends behind address 65535.
    AddressRange {
        /// The first address.
        address: u16,
        /// How many items were asked for.
        count: usize,
    },
    /// A field holds a value that the specification does not allow; the text names it.
    Field(&'static str),
    /// The PDU would be longer than 253 bytes.
    TooLong {
        /// The length it would have, in bytes.
        length: usize,
    },
    /// The buffer to write to is too short.
    NoRoom {
        /// How many bytes it needs at least.
        needed: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { count: 0, .. } => f.write_str("a count of 0 is not allowed: ask for at least one item"),
            Self::Count { count, max } => {
                write!(f, "a count of {count} is above the limit of {max} a request: split it")
            }
            Self::AddressRange { address, count } => {
                write!(f, "{count} items from address {address} end behind the last address, 65535: ask for fewer")
            }
            Self::Field(what) => f.write_str(what),
            Self::TooLong { length } => {
                write!(f, "a PDU of {length} bytes is above the limit of 253: send less at a time")
            }
            Self::NoRoom { needed } => write!(f, "the buffer is too short: this needs at least {needed} bytes"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// Why the bytes of a reply are no answer to the request they came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// The server refused the request with this exception: a proper answer.
    Exception(ExceptionCode),
    /// Another function's reply.
    Function {
        /// The function that was asked for.
        expected: FunctionCode,
        /// The function byte that came.
        received: u8,
    },
    /// Longer or shorter than the request and the reply's own counts say.
    Length {
        /// Bytes that came.
        received: usize,
    },
    /// A field that must repeat the request, or agree with it, does not; the text names it.
    Mismatch(&'static str),
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exception(code) => write!(f, "exception {code}"),
            Self::Function { expected, received } => {
                write!(f, "the reply is for function {received:#04x}, asked was {expected}")
            }
            Self::Length { received } => write!(f, "the reply's length of {received} bytes does not fit the request"),
            Self::Mismatch(what) => write!(f, "the reply's {what} does not fit the request"),
        }
    }
}

impl core::error::Error for ReplyError {}
