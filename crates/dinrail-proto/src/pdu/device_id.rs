//! Read Device Identification: FC 43 with MEI type 14 (AP 6.21).

use core::fmt;

use super::cursor::{Reader, Writer};
use super::{ExceptionCode, MAX_PDU};
use crate::error::EncodeError;

/// The MEI type of Read Device Identification.
pub const MEI_TYPE: u8 = 14;
/// The most bytes of one object: it must fit into a PDU by itself.
pub const MAX_OBJECT: usize = MAX_PDU - 7 - 2;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ReadDeviceId {
    /// Objects 00 to 02: vendor, product code, revision.
    Basic = 1,
    /// Objects 00 to 7F: basic ones, vendor URL, names.
    Regular = 2,
    /// Objects 00 to FF: regular ones and the device's own.
    Extended = 3,
    /// One object.
    Individual = 4,
}

impl ReadDeviceId {
    /// The code of this byte, if it is one.
    pub const fn new(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Basic),
            2 => Some(Self::Regular),
            3 => Some(Self::Extended),
            4 => Some(Self::Individual),
            _ => None,
        }
    }

    /// The last object id that this level covers.
    const fn last_object(self) -> u8 {
        match self {
            Self::Basic => 0x02,
            Self::Regular => 0x7F,
            Self::Extended | Self::Individual => 0xFF,
        }
    }
}

/// One reply: some objects, and where to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeviceIdentification<'a> {
    /// What was asked for.
    pub code: ReadDeviceId,
    /// The device's conformity level: 01, 02, 03, or 81, 82, 83 when single objects can be asked for as well.
    pub conformity: u8,
    /// The object to ask for next, when there are more.
    pub next: Option<u8>,
    count: u8,
    objects: &'a [u8],
}

impl<'a> DeviceIdentification<'a> {
    /// Object ids and their values, in order.
    pub fn objects(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.objects);
        core::iter::from_fn(move || {
            let (id, length) = (reader.u8()?, reader.u8()?);
            Some((id, reader.take(length.into())?))
        })
    }

    /// Reads what follows the MEI type.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let code = ReadDeviceId::new(reader.u8()?)?;
        let conformity = reader.u8()?;
        let more = reader.u8()?;
        let next = reader.u8()?;
        let count = reader.u8()?;
        let objects = reader.rest();
        let next = match more {
            0x00 => None,
            0xFF => Some(next),
            _ => return None,
        };
        let mut walk = Reader::new(objects);
        for _ in 0..count {
            walk.u8()?;
            let length = walk.u8()?;
            walk.take(length.into())?;
        }
        walk.end(Self { code, conformity, next, count, objects })
    }

    /// Writes what follows the MEI type.
    pub(super) fn encode(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u8(self.code as u8)?;
        out.u8(self.conformity)?;
        out.u8(if self.next.is_some() { 0xFF } else { 0 })?;
        out.u8(self.next.unwrap_or(0))?;
        out.u8(self.count)?;
        out.bytes(self.objects)
    }
}

impl fmt::Debug for DeviceIdentification<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceIdentification")
            .field("code", &self.code)
            .field("conformity", &self.conformity)
            .field("next", &self.next)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// Answers a request from a device's objects, in as many replies as the client asks for: writes the reply's PDU into
/// `out`, which must have room for 253 bytes, and returns its length.
///
/// `objects` must come in ascending order of their ids and hold at most [`MAX_OBJECT`] bytes each; what is longer is cut.
/// The device offers the level of its highest object; asked for more, it answers with its own level.
///
/// # Errors
/// [`ExceptionCode::IllegalDataAddress`] when a single object is asked for that does not exist;
/// [`ExceptionCode::ServerDeviceFailure`] when `out` is too short.
pub fn answer<'o>(
    out: &mut [u8],
    code: ReadDeviceId,
    object: u8,
    objects: impl Iterator<Item = (u8, &'o [u8])> + Clone,
) -> Result<usize, ExceptionCode> {
    let level = objects.clone().fold(ReadDeviceId::Basic, |level, (id, _)| match id {
        0x80.. => ReadDeviceId::Extended,
        0x03.. => level.max(ReadDeviceId::Regular),
        _ => level,
    });
    let exists = objects.clone().any(|(id, _)| id == object);
    let individual = code == ReadDeviceId::Individual;
    if individual && !exists {
        return Err(ExceptionCode::IllegalDataAddress);
    }
    // Above its own level a device has no objects, whatever level is asked for. A stream that is asked to start at an
    // unknown object starts again (AP 6.21).
    let last = if individual { object } else { code.last_object() };
    let first = if exists && object <= last { object } else { 0 };

    let out = out.get_mut(..MAX_PDU).ok_or(ExceptionCode::ServerDeviceFailure)?;
    let mut length = 7;
    let (mut count, mut next) = (0, None);
    for (id, value) in objects.filter(|(id, _)| (first..=last).contains(id)) {
        let value = &value[..value.len().min(MAX_OBJECT)];
        let Some(room) = out.get_mut(length..length + 2 + value.len()) else {
            next = Some(id);
            break;
        };
        room[0] = id;
        room[1] = value.len() as u8; // at most MAX_OBJECT
        room[2..].copy_from_slice(value);
        length += room.len();
        count += 1;
    }
    let header =
        [43, MEI_TYPE, code as u8, 0x80 | level as u8, if next.is_some() { 0xFF } else { 0 }, next.unwrap_or(0), count];
    out[..7].copy_from_slice(&header);
    Ok(length)
}
