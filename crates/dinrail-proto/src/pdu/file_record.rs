//! File records: FC 20 (AP 6.14) and FC 21 (AP 6.15). A file has records 0 to 9999 of one register each.

use core::fmt;

use super::cursor::{Reader, Writer};
use super::{ExceptionCode, Registers};
use crate::error::EncodeError;

/// The last record of a file.
pub const LAST_RECORD: u16 = 0x270F;
/// The only reference type that the specification knows.
const REFERENCE_TYPE: u8 = 6;
/// The most bytes that the groups of a read request, or of its reply, may take.
const MAX_READ_BYTES: usize = 0xF5;
/// The most bytes that the groups of a write may take. The table of AP 6.15 says FB, its figure F5: both are taken.
const MAX_WRITE_BYTES: usize = 0xFB;

/// A piece of a file to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// The file, 1 to 65535.
    pub file: u16,
    /// The first record, 0 to 9999.
    pub record: u16,
    /// How many records, that is registers.
    pub length: u16,
}

/// A piece of a file to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileWrite<'a> {
    /// The file, 1 to 65535.
    pub file: u16,
    /// The first record, 0 to 9999.
    pub record: u16,
    /// The values, one for each record.
    pub values: Registers<'a>,
}

fn check_group(file: u16, record: u16, length: usize) -> bool {
    file != 0 && record <= LAST_RECORD && length <= usize::from(LAST_RECORD - record) + 1
}

/// The groups of a read request, in order.
#[derive(Clone, Copy)]
pub struct FileReads<'a>(ReadsRepr<'a>);

#[derive(Clone, Copy)]
enum ReadsRepr<'a> {
    Wire(&'a [u8]),
    Native(&'a [FileRead]),
}

impl<'a> From<&'a [FileRead]> for FileReads<'a> {
    fn from(reads: &'a [FileRead]) -> Self {
        Self(ReadsRepr::Native(reads))
    }
}

impl<'a> FileReads<'a> {
    /// How many groups.
    pub const fn len(&self) -> usize {
        match self.0 {
            ReadsRepr::Wire(bytes) => bytes.len() / 7,
            ReadsRepr::Native(reads) => reads.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The groups in order.
    pub fn iter(&self) -> impl Iterator<Item = FileRead> + use<'a> {
        let this = *self;
        (0..this.len()).map(move |index| match this.0 {
            ReadsRepr::Native(reads) => reads[index],
            ReadsRepr::Wire(bytes) => {
                let group = &bytes[index * 7..index * 7 + 7];
                let field = |at: usize| u16::from_be_bytes([group[at], group[at + 1]]);
                FileRead { file: field(1), record: field(3), length: field(5) }
            }
        })
    }

    /// Whether the groups of the reply fit: a length, a reference type and the registers, each.
    fn reply_fits(&self) -> bool {
        self.iter().map(|read| 2 + 2 * u32::from(read.length)).sum::<u32>() <= MAX_READ_BYTES as u32
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, ExceptionCode> {
        if bytes.len() > MAX_READ_BYTES || bytes.is_empty() || !bytes.len().is_multiple_of(7) {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let reads = Self(ReadsRepr::Wire(bytes));
        if reads.iter().any(|read| read.length == 0) || !reads.reply_fits() {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let known = bytes.chunks_exact(7).all(|group| group[0] == REFERENCE_TYPE);
        if !known || !reads.iter().all(|read| check_group(read.file, read.record, read.length.into())) {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        Ok(reads)
    }

    pub(super) fn encode(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.is_empty() || self.len() * 7 > MAX_READ_BYTES {
            return Err(EncodeError::Count { count: self.len(), max: MAX_READ_BYTES / 7 });
        }
        if self.iter().any(|read| read.length == 0) {
            return Err(EncodeError::Count { count: 0, max: (MAX_READ_BYTES - 2) / 2 });
        }
        if !self.reply_fits() {
            return Err(EncodeError::Field(
                "the records asked for do not fit into one reply of 245 bytes: ask for fewer",
            ));
        }
        out.count(self.len() * 7)?;
        for read in self.iter() {
            if !check_group(read.file, read.record, read.length.into()) {
                return Err(EncodeError::Field("a file is 1 to 65535, and its records are 0 to 9999: see AP 6.14"));
            }
            out.u8(REFERENCE_TYPE)?;
            out.u16(read.file)?;
            out.u16(read.record)?;
            out.u16(read.length)?;
        }
        Ok(())
    }
}

impl PartialEq for FileReads<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for FileReads<'_> {}

impl fmt::Debug for FileReads<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The registers of a read reply, one group for each group of the request.
#[derive(Clone, Copy)]
pub struct FileData<'a>(DataRepr<'a>);

#[derive(Clone, Copy)]
enum DataRepr<'a> {
    Wire(&'a [u8]),
    Native(&'a [Registers<'a>]),
}

impl<'a> From<&'a [Registers<'a>]> for FileData<'a> {
    fn from(groups: &'a [Registers<'a>]) -> Self {
        Self(DataRepr::Native(groups))
    }
}

impl<'a> FileData<'a> {
    /// The groups in order.
    pub fn iter(&self) -> impl Iterator<Item = Registers<'a>> + use<'a> {
        let (wire, native) = match self.0 {
            DataRepr::Wire(bytes) => (bytes, [].as_slice()),
            DataRepr::Native(groups) => (&[][..], groups),
        };
        let mut wire = Reader::new(wire);
        core::iter::from_fn(move || {
            let length = usize::from(wire.u8()?);
            Some(Registers::from_wire(wire.take(length)?.get(1..)?))
        })
        .chain(native.iter().copied())
    }

    /// Takes the groups when they are well-formed and as long as `reads` asked for.
    pub(super) fn decode(bytes: &'a [u8], reads: &FileReads<'_>) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        for read in reads.iter() {
            let expected = 1 + 2 * usize::from(read.length);
            if usize::from(reader.u8()?) != expected || reader.take(expected)?[0] != REFERENCE_TYPE {
                return None;
            }
        }
        reader.end(Self(DataRepr::Wire(bytes)))
    }

    pub(super) fn encode(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        let total: usize = self.iter().map(|group| 2 + 2 * group.len()).sum();
        if total == 0 {
            return Err(EncodeError::Count { count: 0, max: MAX_READ_BYTES / 4 });
        }
        if total > MAX_READ_BYTES {
            return Err(EncodeError::TooLong { length: total + 2 });
        }
        out.count(total)?;
        for group in self.iter() {
            out.count(1 + 2 * group.len())?;
            out.u8(REFERENCE_TYPE)?;
            group.write_wire(out.room(2 * group.len())?);
        }
        Ok(())
    }
}

impl PartialEq for FileData<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for FileData<'_> {}

impl fmt::Debug for FileData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The groups of a write request, in order; its reply repeats them.
#[derive(Clone, Copy)]
pub struct FileWrites<'a>(WritesRepr<'a>);

#[derive(Clone, Copy)]
enum WritesRepr<'a> {
    Wire(&'a [u8]),
    Native(&'a [FileWrite<'a>]),
}

impl<'a> From<&'a [FileWrite<'a>]> for FileWrites<'a> {
    fn from(writes: &'a [FileWrite<'a>]) -> Self {
        Self(WritesRepr::Native(writes))
    }
}

impl<'a> FileWrites<'a> {
    /// The groups in order.
    pub fn iter(&self) -> impl Iterator<Item = FileWrite<'a>> + use<'a> {
        let (wire, native) = match self.0 {
            WritesRepr::Wire(bytes) => (bytes, [].as_slice()),
            WritesRepr::Native(writes) => (&[][..], writes),
        };
        let mut wire = Reader::new(wire);
        core::iter::from_fn(move || Self::group(&mut wire).map(|(_, write)| write)).chain(native.iter().copied())
    }

    /// The next group and its reference type.
    fn group(wire: &mut Reader<'a>) -> Option<(u8, FileWrite<'a>)> {
        let reference_type = wire.u8()?;
        let (file, record, length) = (wire.u16()?, wire.u16()?, wire.u16()?);
        let values = Registers::from_wire(wire.take(2 * usize::from(length))?);
        Some((reference_type, FileWrite { file, record, values }))
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, ExceptionCode> {
        if !(9..=MAX_WRITE_BYTES).contains(&bytes.len()) {
            return Err(ExceptionCode::IllegalDataValue);
        }
        // Lengths first (03), over all groups, and only then what they address (02).
        let mut wire = Reader::new(bytes);
        let mut addressed = true;
        loop {
            let (reference_type, write) = Self::group(&mut wire).ok_or(ExceptionCode::IllegalDataValue)?;
            if write.values.is_empty() {
                return Err(ExceptionCode::IllegalDataValue);
            }
            addressed &= reference_type == REFERENCE_TYPE && check_group(write.file, write.record, write.values.len());
            let rest = wire.rest();
            if rest.is_empty() {
                break;
            }
            wire = Reader::new(rest);
        }
        if addressed { Ok(Self(WritesRepr::Wire(bytes))) } else { Err(ExceptionCode::IllegalDataAddress) }
    }

    pub(super) fn encode(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        let total: usize = self.iter().map(|write| 7 + 2 * write.values.len()).sum();
        if total > MAX_WRITE_BYTES {
            return Err(EncodeError::TooLong { length: total + 2 });
        }
        if total == 0 {
            return Err(EncodeError::Count { count: 0, max: MAX_WRITE_BYTES / 9 });
        }
        if self.iter().any(|write| write.values.is_empty()) {
            return Err(EncodeError::Count { count: 0, max: (MAX_WRITE_BYTES - 7) / 2 });
        }
        out.count(total)?;
        for write in self.iter() {
            if !check_group(write.file, write.record, write.values.len()) {
                return Err(EncodeError::Field("a file is 1 to 65535, and its records are 0 to 9999: see AP 6.15"));
            }
            out.u8(REFERENCE_TYPE)?;
            out.u16(write.file)?;
            out.u16(write.record)?;
            out.u16(write.values.len() as u16)?; // at most 122, since the total fits
            write.values.write_wire(out.room(2 * write.values.len())?);
        }
        Ok(())
    }
}

impl PartialEq for FileWrites<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for FileWrites<'_> {}

impl fmt::Debug for FileWrites<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
