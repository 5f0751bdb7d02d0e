//! File records, queues, and functions of one's own.

use super::Client;
use crate::Error;
use crate::proto::error::EncodeError;
use crate::proto::pdu::MAX_PDU;
use crate::proto::pdu::file_record::{FileRead, FileWrite};
use crate::proto::{FunctionCode, Request, Response};

/// Files, queues, functions of one's own.
impl Client {
    /// Reads records of one file (FC 20): one register each, records 0 to 9999 of files 1 to 65535, up to 121 of them.
    pub async fn read_file_record(&self, file: u16, record: u16, length: u16) -> Result<Vec<u16>, Error> {
        let groups = self.read_file_records(&[FileRead { file, record, length }]).await?;
        Ok(groups.into_iter().flatten().collect())
    }

    /// Reads several pieces of files at once (FC 20), up to 245 bytes of reply: 2 and 2 a record for each piece.
    pub async fn read_file_records(&self, reads: &[FileRead]) -> Result<Vec<Vec<u16>>, Error> {
        self.ask(Request::ReadFileRecord(reads.into()), |response| match response {
            Response::ReadFileRecord(data) => Some(data.iter().map(|group| group.iter().collect()).collect()),
            _ => None,
        })
        .await
    }

    /// Writes records of one file (FC 21), up to 122 of them.
    pub async fn write_file_record(&self, file: u16, record: u16, values: &[u16]) -> Result<(), Error> {
        self.write_file_records(&[FileWrite { file, record, values: values.into() }]).await
    }

    /// Writes several pieces of files at once (FC 21), up to 251 bytes of request: 7 and 2 a record for each piece.
    pub async fn write_file_records(&self, writes: &[FileWrite<'_>]) -> Result<(), Error> {
        self.tell(Request::WriteFileRecord(writes.into())).await
    }

    /// Reads the queue of up to 31 registers that the register at `address` counts; reading does not empty it (FC 24).
    pub async fn read_fifo_queue(&self, address: u16) -> Result<Vec<u16>, Error> {
        self.ask(Request::ReadFifoQueue { address }, |response| match response {
            Response::FifoQueue(values) => Some(values.iter().collect()),
            _ => None,
        })
        .await
    }

    /// Calls any function with up to 252 bytes of data, and returns the bytes behind the function code of the reply.
    ///
    /// A function that the specification defines is checked like its own method's; of others only the function code is.
    pub async fn custom(&self, function: FunctionCode, data: &[u8]) -> Result<Vec<u8>, Error> {
        if data.len() >= MAX_PDU {
            return Err(EncodeError::TooLong { length: data.len() + 1 }.into());
        }
        let reply = self.call(&Request::Custom { function, data }).await?;
        Ok(reply.map_or_else(Vec::new, |pdu| pdu.as_bytes()[1..].to_vec()))
    }
}
