//! Reading and writing the fields of a PDU, high byte first, without ever leaving the slice.

use super::MAX_PDU;
use crate::error::EncodeError;

/// Takes fields from the front of a PDU; `None` when it is too short.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let (&pair, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(pair))
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    /// `value` when nothing is left over: a PDU must not be longer than its fields.
    pub(super) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// Puts fields one behind the other into a buffer; what does not fit into a PDU is an error.
pub(super) struct Writer<'a> {
    /// All that the caller gave; no more than [`MAX_PDU`] bytes of it are used.
    out: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut [u8]) -> Self {
        Self { out, length: 0 }
    }

    /// The next `count` bytes, to be filled by the caller.
    pub(super) fn room(&mut self, count: usize) -> Result<&mut [u8], EncodeError> {
        let end = self.length + count;
        if end > MAX_PDU {
            return Err(EncodeError::TooLong { length: end });
        }
        let room = self.out.get_mut(self.length..end).ok_or(EncodeError::NoRoom { needed: end })?;
        self.length = end;
        Ok(room)
    }

    pub(super) fn u8(&mut self, value: u8) -> Result<(), EncodeError> {
        self.bytes(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> Result<(), EncodeError> {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.room(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// A count that the caller has checked against a limit below 256.
    pub(super) fn count(&mut self, count: usize) -> Result<(), EncodeError> {
        self.u8(u8::try_from(count).map_err(|_| EncodeError::TooLong { length: count })?)
    }

    /// How many bytes were written.
    pub(super) fn finish(self) -> usize {
        self.length
    }
}

/// Checks a count against what one request may carry, and the range against the end of the address space.
#[inline]
pub(super) fn check_range(address: u16, count: usize, max: usize) -> Result<(), EncodeError> {
    if count == 0 || count > max {
        return Err(EncodeError::Count { count, max });
    }
    if !in_address_space(address, count) {
        return Err(EncodeError::AddressRange { address, count });
    }
    Ok(())
}

/// Whether `count` items from `address` on end at 65535 or before. Widened before it is added, on 16-bit machines too.
#[inline]
pub(super) fn in_address_space(address: u16, count: usize) -> bool {
    u32::try_from(count).is_ok_and(|count| count <= 0x1_0000 - u32::from(address))
}
