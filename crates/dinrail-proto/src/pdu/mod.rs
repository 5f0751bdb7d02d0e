//! Protocol data units: what is asked and what is answered, without the line it travels on (AP 4 to 7).
//!
//! [`Request::decode`] and [`Response::decode`] check everything that the specification lets one check without knowing
//! the device: what they return is legal. [`Pdu`] is the owned form, bytes in place, for queues and retries.

mod blocks;
mod cursor;
mod data;
pub mod device_id;
pub mod diagnostics;
mod exception;
pub mod file_record;
mod function;
mod request;
mod response;

use core::fmt;

pub use self::data::{Area, Bits, BitsMut, Registers, RegistersMut, bytes_for_bits};
pub use self::exception::ExceptionCode;
pub use self::function::FunctionCode;
pub use self::request::Request;
pub use self::response::Response;
use crate::error::EncodeError;

/// The most bytes that a PDU may have (AP 4.1).
pub const MAX_PDU: usize = 253;

/// Whether a request with these bytes only reads: it may be repeated, and a server that must not be changed may answer
/// it. See [`FunctionCode::is_read`].
pub fn is_read(request: &[u8]) -> bool {
    match *request {
        [43, ref more @ ..] => more.first() == Some(&device_id::MEI_TYPE),
        [function, ..] => FunctionCode::new(function).is_some_and(FunctionCode::is_read),
        [] => false,
    }
}

/// The bytes of one PDU, 1 to 253 of them, in place.
#[derive(Clone, Copy)]
pub struct Pdu {
    length: u8,
    bytes: [u8; MAX_PDU],
}

impl Pdu {
    /// A PDU of these bytes; the first is the function code.
    pub fn new(bytes: &[u8]) -> Result<Self, EncodeError> {
        if bytes.is_empty() {
            return Err(EncodeError::Field("a PDU has at least one byte, its function code"));
        }
        let mut pdu = Self { length: 0, bytes: [0; MAX_PDU] };
        let room = pdu.bytes.get_mut(..bytes.len()).ok_or(EncodeError::TooLong { length: bytes.len() })?;
        room.copy_from_slice(bytes);
        pdu.length = bytes.len() as u8; // at most MAX_PDU, which fits
        Ok(pdu)
    }

    /// The exception reply to a request that began with `function` (AP 7): two bytes.
    pub const fn exception(function: u8, code: ExceptionCode) -> Self {
        let mut bytes = [0; MAX_PDU];
        bytes[0] = function | 0x80;
        bytes[1] = code.code();
        Self { length: 2, bytes }
    }

    /// A PDU that `write` puts in place; it returns the length, at most 253.
    pub(crate) fn build(write: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) -> Result<Self, EncodeError> {
        let mut pdu = Self { length: 0, bytes: [0; MAX_PDU] };
        let length = write(&mut pdu.bytes)?;
        debug_assert!((1..=MAX_PDU).contains(&length));
        pdu.length = length as u8; // the slice was MAX_PDU long
        Ok(pdu)
    }

    /// Replaces the bytes by those that `write` puts in place; it returns the length, at most 253. After an error the PDU
    /// is what it was, but for bytes that may have changed.
    #[inline]
    pub(crate) fn refill<E>(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        let length = write(&mut self.bytes)?;
        debug_assert!((1..=MAX_PDU).contains(&length));
        self.length = length as u8; // the slice was MAX_PDU long
        Ok(())
    }

    /// The bytes on the wire, function code first.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The first byte: the function code, with the top bit set in an exception reply.
    pub const fn function_byte(&self) -> u8 {
        self.bytes[0]
    }
}

impl AsRef<[u8]> for Pdu {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Pdu {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Pdu {}

impl fmt::Debug for Pdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pdu(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
