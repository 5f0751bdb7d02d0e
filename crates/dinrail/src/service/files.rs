//! Files of records, FC 20 and 21, in front of any service (AP 6.14 and 6.15).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Call, Part, Reply};
use crate::proto::pdu::file_record::{FileReads, FileWrites, LAST_RECORD};
use crate::proto::pdu::{FunctionCode, RegistersMut};
use crate::proto::{ExceptionCode, Request};

/// Files by number, each of some records; a record is one register. A clone is another handle on the same files, so the
/// application can keep one; a request sees all of a change or nothing of it.
///
/// Clients read and write the records that there are. Every other file and record is exception 0x02, and then nothing of
/// the request is done, whichever of its groups is at fault.
///
/// ```
/// use dinrail::service::{Files, Memory, Service};
///
/// let files = Files::new().with_file(4, [0x0DFE, 0x0020]);
/// let service = Memory::new().with_part(files.clone());
/// files.set(4, 1, &[0x0021])?; // the application's own way to them
/// # let _ = service;
/// # Ok::<(), dinrail::ExceptionCode>(())
/// ```
#[derive(Clone, Default)]
pub struct Files(Arc<RwLock<BTreeMap<u16, Vec<u16>>>>);

type ByNumber = BTreeMap<u16, Vec<u16>>;

impl Files {
    /// No file yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a file of these records, from record 0 on, in place of one of that number. Files have numbers from 1 on, and at
    /// most 10000 records; what is beyond cannot be addressed and is left out.
    #[must_use]
    pub fn with_file(self, number: u16, records: impl IntoIterator<Item = u16>) -> Self {
        self.put(number, records);
        self
    }

    /// Puts a file in place of the one of that number, if there is one, as [`with_file`](Self::with_file).
    pub fn put(&self, number: u16, records: impl IntoIterator<Item = u16>) {
        let records = records.into_iter().take(usize::from(LAST_RECORD) + 1).collect();
        self.write().insert(number, records);
    }

    /// Takes a file away.
    pub fn remove(&self, number: u16) {
        self.write().remove(&number);
    }

    /// Records of a file, from `record` on.
    ///
    /// # Errors
    /// [`ExceptionCode::IllegalDataAddress`] when the file has not got all of them.
    pub fn values(&self, number: u16, record: u16, count: usize) -> Result<Vec<u16>, ExceptionCode> {
        let files = self.read();
        let file = files.get(&number).and_then(|file| file.get(range(record, count)));
        Ok(file.ok_or(ExceptionCode::IllegalDataAddress)?.to_vec())
    }

    /// Sets records of a file, from `record` on, at once.
    ///
    /// # Errors
    /// [`ExceptionCode::IllegalDataAddress`] when the file has not got all of them; nothing is set then.
    pub fn set(&self, number: u16, record: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        let mut files = self.write();
        let file = files.get_mut(&number).and_then(|file| file.get_mut(range(record, values.len())));
        file.ok_or(ExceptionCode::IllegalDataAddress)?.copy_from_slice(values);
        Ok(())
    }

    fn read_groups(&self, reads: FileReads<'_>, out: &mut [u8]) -> Result<usize, ExceptionCode> {
        let files = self.read();
        let mut length = 2;
        for read in reads.iter() {
            let file = files.get(&read.file).and_then(|file| file.get(range(read.record, read.length.into())));
            let records = file.ok_or(ExceptionCode::IllegalDataAddress)?;
            // The check of the request leaves room for all groups.
            let group = &mut out[length..length + 2 + 2 * records.len()];
            group[0] = 1 + 2 * records.len() as u8;
            group[1] = 6; // the reference type, the only one there is
            RegistersMut::over(&mut group[2..]).copy_from(records);
            length += group.len();
        }
        out[0] = FunctionCode::READ_FILE_RECORD.code();
        out[1] = length as u8 - 2;
        Ok(length)
    }

    fn write_groups(&self, writes: FileWrites<'_>) -> Result<(), ExceptionCode> {
        let mut files = self.write();
        let there = |files: &ByNumber, file, range: Range<usize>| {
            files.get(&file).is_some_and(|records| records.get(range).is_some())
        };
        if !writes.iter().all(|write| there(&files, write.file, range(write.record, write.values.len()))) {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        for write in writes.iter() {
            if let Some(records) = files.get_mut(&write.file) {
                write.values.copy_to(&mut records[range(write.record, write.values.len())]);
            }
        }
        Ok(())
    }

    /// A panic while the lock was held leaves the files as they were: groups are checked before they are written.
    fn read(&self) -> RwLockReadGuard<'_, ByNumber> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, ByNumber> {
        self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn range(record: u16, count: usize) -> Range<usize> {
    let start = usize::from(record);
    start..start + count
}

impl Part for Files {
    fn answer(&self, call: &mut Call<'_>) -> Option<Reply> {
        if !matches!(call.pdu()[0], 20 | 21) {
            return None;
        }
        let done = match call.request() {
            Ok(Request::ReadFileRecord(reads)) => self.read_groups(reads, call.parts().1),
            Ok(Request::WriteFileRecord(writes)) => self.write_groups(writes).map(|()| {
                let (pdu, out) = call.parts();
                out[..pdu.len()].copy_from_slice(pdu);
                pdu.len()
            }),
            Ok(_) => return None,
            Err(code) => Err(code),
        };
        Some(done.map_or_else(Reply::Exception, Reply::written))
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")?;
        f.debug_map().entries(self.read().iter().map(|(number, records)| (number, records.len()))).finish()
    }
}
