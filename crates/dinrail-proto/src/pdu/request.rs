//! Requests: decoding checks all that can be checked without knowing the device, in the order of the specification's
//! figures: function (01), counts and values (03), address range (02).

use super::cursor::{Reader, Writer, check_range, in_address_space};
use super::device_id::{self, ReadDeviceId};
use super::diagnostics::Diagnostic;
use super::file_record::{FileReads, FileWrites};
use super::{Area, Bits, ExceptionCode, FunctionCode, Pdu, Registers, bytes_for_bits};
use crate::error::EncodeError;

/// What a client asks for. A decoded request is legal in itself: counts are in their limits, ranges end at 65535 or
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// FC 1 to 4 (AP 6.1 to 6.4): 1 to 2000 bits or 1 to 125 registers.
    Read {
        /// Where from; it makes the function code.
        area: Area,
        /// The first address, 0-based.
        address: u16,
        /// How many items.
        count: u16,
    },
    /// FC 5 (AP 6.5).
    WriteSingleCoil {
        /// The coil, 0-based.
        address: u16,
        /// On or off.
        value: bool,
    },
    /// FC 6 (AP 6.6).
    WriteSingleRegister {
        /// The holding register, 0-based.
        address: u16,
        /// Its new value.
        value: u16,
    },
    /// FC 7 (AP 6.7).
    ReadExceptionStatus,
    /// FC 8 (AP 6.8).
    Diagnostics {
        /// What to do.
        sub_function: Diagnostic,
        /// Two bytes, or any number for [`Diagnostic::RETURN_QUERY_DATA`].
        data: &'a [u8],
    },
    /// FC 11 (AP 6.9).
    GetCommEventCounter,
    /// FC 12 (AP 6.10).
    GetCommEventLog,
    /// FC 15 (AP 6.11): 1 to 1968 coils.
    WriteMultipleCoils {
        /// The first coil, 0-based.
        address: u16,
        /// Their new values.
        values: Bits<'a>,
    },
    /// FC 16 (AP 6.12): 1 to 123 holding registers.
    WriteMultipleRegisters {
        /// The first register, 0-based.
        address: u16,
        /// Their new values.
        values: Registers<'a>,
    },
    /// FC 17 (AP 6.13).
    ReportServerId,
    /// FC 20 (AP 6.14).
    ReadFileRecord(FileReads<'a>),
    /// FC 21 (AP 6.15).
    WriteFileRecord(FileWrites<'a>),
    /// FC 22 (AP 6.16): the register becomes `(value & and_mask) | (or_mask & !and_mask)`.
    MaskWriteRegister {
        /// The holding register, 0-based.
        address: u16,
        /// The bits that stay.
        and_mask: u16,
        /// What the others become.
        or_mask: u16,
    },
    /// FC 23 (AP 6.17): writes 1 to 121 holding registers, then reads 1 to 125.
    ReadWriteMultipleRegisters {
        /// The first register to read, 0-based.
        read_address: u16,
        /// How many to read.
        read_count: u16,
        /// The first register to write, 0-based.
        write_address: u16,
        /// What to write.
        values: Registers<'a>,
    },
    /// FC 24 (AP 6.18).
    ReadFifoQueue {
        /// The register that counts the queue, 0-based.
        address: u16,
    },
    /// FC 43 / 14 (AP 6.21).
    ReadDeviceIdentification {
        /// How much.
        code: ReadDeviceId,
        /// The object to start with, or the single one.
        object: u8,
    },
    /// Any other function, and any other MEI type of FC 43; the bytes behind the function code.
    Custom {
        /// The function.
        function: FunctionCode,
        /// What follows it.
        data: &'a [u8],
    },
}

const MAX_READ_WRITE: usize = 121;

impl<'a> Request<'a> {
    /// Reads the bytes of a request's PDU.
    ///
    /// # Errors
    /// The exception that the specification asks for: 01 for a byte that is no function code, 03 for a count, length or
    /// value that is not allowed, 02 for a range that ends behind 65535.
    #[inline]
    pub fn decode(pdu: &'a [u8]) -> Result<Self, ExceptionCode> {
        // By far the most requests are reads: their way is short enough to be inlined.
        match pdu {
            [function @ 1..=4, fields @ ..] => Self::decode_read(Area::ALL[usize::from(*function) - 1], fields),
            _ => Self::decode_other(pdu),
        }
    }

    /// Reads a request for registers, FC 3 and 4, if that is what it is and nothing is wrong with it: a shorter way to the
    /// commonest request, for servers. For `None` ask [`decode`](Self::decode).
    #[inline]
    pub fn decode_register_read(pdu: &[u8]) -> Option<(Area, u16, u16)> {
        let &[function @ 3..=4, ref fields @ ..] = pdu else {
            return None;
        };
        match Self::decode_read(if function == 3 { Area::HoldingRegister } else { Area::InputRegister }, fields) {
            Ok(Self::Read { area, address, count }) => Some((area, address, count)),
            _ => None,
        }
    }

    /// Reads a request to write several registers, FC 16, as [`decode_register_read`](Self::decode_register_read) reads
    /// its kind.
    #[inline]
    pub fn decode_register_write(pdu: &'a [u8]) -> Option<(u16, Registers<'a>)> {
        match pdu {
            [16, fields @ ..] => Self::decode_write_registers(fields)
                .filter(|(address, values)| in_address_space(*address, values.len())),
            _ => None,
        }
    }

    #[inline]
    fn decode_read(area: Area, fields: &[u8]) -> Result<Self, ExceptionCode> {
        let &[a1, a2, c1, c2] = fields else {
            return Err(ExceptionCode::IllegalDataValue);
        };
        let (address, count) = (u16::from_be_bytes([a1, a2]), u16::from_be_bytes([c1, c2]));
        if count == 0 || count > area.max_read() {
            return Err(ExceptionCode::IllegalDataValue);
        }
        if !in_address_space(address, count.into()) {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        Ok(Self::Read { area, address, count })
    }

    fn decode_other(pdu: &'a [u8]) -> Result<Self, ExceptionCode> {
        let (&function, fields) = pdu.split_first().ok_or(ExceptionCode::IllegalFunction)?;
        let function = FunctionCode::new(function).ok_or(ExceptionCode::IllegalFunction)?;
        let request = Self::decode_fields(function, fields)?.ok_or(ExceptionCode::IllegalDataValue)?;
        request.check_addresses()?;
        Ok(request)
    }

    /// `Ok(None)` when the PDU is shorter or longer than its function's fields, or a count is out of its limits.
    fn decode_fields(function: FunctionCode, fields: &'a [u8]) -> Result<Option<Self>, ExceptionCode> {
        let mut reader = Reader::new(fields);
        Ok(match function {
            FunctionCode::WRITE_SINGLE_COIL => Self::decode_write_coil(reader),
            FunctionCode::WRITE_SINGLE_REGISTER => Self::decode_write_register(reader),
            FunctionCode::READ_EXCEPTION_STATUS => reader.end(Self::ReadExceptionStatus),
            FunctionCode::DIAGNOSTICS => Self::decode_diagnostics(reader),
            FunctionCode::GET_COMM_EVENT_COUNTER => reader.end(Self::GetCommEventCounter),
            FunctionCode::GET_COMM_EVENT_LOG => reader.end(Self::GetCommEventLog),
            FunctionCode::WRITE_MULTIPLE_COILS => Self::decode_write_coils(reader),
            FunctionCode::WRITE_MULTIPLE_REGISTERS => Self::decode_write_registers(fields)
                .map(|(address, values)| Self::WriteMultipleRegisters { address, values }),
            FunctionCode::REPORT_SERVER_ID => reader.end(Self::ReportServerId),
            FunctionCode::READ_FILE_RECORD => match Self::counted(&mut reader) {
                Some(groups) => reader.end(Self::ReadFileRecord(FileReads::decode(groups)?)),
                None => None,
            },
            FunctionCode::WRITE_FILE_RECORD => match Self::counted(&mut reader) {
                Some(groups) => reader.end(Self::WriteFileRecord(FileWrites::decode(groups)?)),
                None => None,
            },
            FunctionCode::MASK_WRITE_REGISTER => Self::decode_mask_write(reader),
            FunctionCode::READ_WRITE_MULTIPLE_REGISTERS => Self::decode_read_write(reader),
            FunctionCode::READ_FIFO_QUEUE => match reader.u16() {
                Some(address) => reader.end(Self::ReadFifoQueue { address }),
                None => None,
            },
            FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT => Self::decode_mei(fields),
            function => Some(Self::Custom { function, data: fields }),
        })
    }

    /// A byte count and exactly as many bytes as the PDU has left.
    fn counted(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
        let count = usize::from(reader.u8()?);
        let bytes = reader.rest();
        (bytes.len() == count).then_some(bytes)
    }

    fn decode_write_coil(mut reader: Reader<'a>) -> Option<Self> {
        let (address, value) = (reader.u16()?, decode_coil(reader.u16()?)?);
        reader.end(Self::WriteSingleCoil { address, value })
    }

    fn decode_write_register(mut reader: Reader<'a>) -> Option<Self> {
        let (address, value) = (reader.u16()?, reader.u16()?);
        reader.end(Self::WriteSingleRegister { address, value })
    }

    fn decode_diagnostics(mut reader: Reader<'a>) -> Option<Self> {
        let sub_function = Diagnostic(reader.u16()?);
        let data = reader.rest();
        let allowed = sub_function == Diagnostic::RETURN_QUERY_DATA || data.len() == 2;
        allowed.then_some(Self::Diagnostics { sub_function, data })
    }

    fn decode_write_coils(mut reader: Reader<'a>) -> Option<Self> {
        let (address, count) = (reader.u16()?, reader.u16()?);
        let bytes = Self::counted(&mut reader)?;
        let allowed = (1..=Area::Coil.max_write()).contains(&count) && bytes.len() == bytes_for_bits(count.into());
        allowed.then_some(Self::WriteMultipleCoils { address, values: Bits::from_packed(bytes, count.into()) })
    }

    #[inline]
    fn decode_write_registers(fields: &'a [u8]) -> Option<(u16, Registers<'a>)> {
        let &[a1, a2, c1, c2, length, ref bytes @ ..] = fields else {
            return None;
        };
        let (address, count) = (u16::from_be_bytes([a1, a2]), u16::from_be_bytes([c1, c2]));
        let allowed = (1..=Area::HoldingRegister.max_write()).contains(&count)
            && bytes.len() == usize::from(length)
            && bytes.len() == 2 * usize::from(count);
        allowed.then_some((address, Registers::from_wire(bytes)))
    }

    fn decode_mask_write(mut reader: Reader<'a>) -> Option<Self> {
        let (address, and_mask, or_mask) = (reader.u16()?, reader.u16()?, reader.u16()?);
        reader.end(Self::MaskWriteRegister { address, and_mask, or_mask })
    }

    fn decode_read_write(mut reader: Reader<'a>) -> Option<Self> {
        let (read_address, read_count) = (reader.u16()?, reader.u16()?);
        let (write_address, write_count) = (reader.u16()?, usize::from(reader.u16()?));
        let bytes = Self::counted(&mut reader)?;
        let allowed = (1..=125).contains(&read_count)
            && (1..=MAX_READ_WRITE).contains(&write_count)
            && bytes.len() == 2 * write_count;
        let values = Registers::from_wire(bytes);
        allowed.then_some(Self::ReadWriteMultipleRegisters { read_address, read_count, write_address, values })
    }

    fn decode_mei(fields: &'a [u8]) -> Option<Self> {
        match fields {
            [device_id::MEI_TYPE, code, object] => {
                ReadDeviceId::new(*code).map(|code| Self::ReadDeviceIdentification { code, object: *object })
            }
            [] | [device_id::MEI_TYPE, ..] => None,
            _ => Some(Self::Custom { function: FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT, data: fields }),
        }
    }

    /// Address 65535 with one item is legal, with two it is 02.
    fn check_addresses(&self) -> Result<(), ExceptionCode> {
        let ok = match *self {
            Self::WriteMultipleCoils { address, values } => in_address_space(address, values.len()),
            Self::WriteMultipleRegisters { address, values } => in_address_space(address, values.len()),
            Self::ReadWriteMultipleRegisters { read_address, read_count, write_address, values } => {
                in_address_space(read_address, read_count.into()) && in_address_space(write_address, values.len())
            }
            _ => true,
        };
        if ok { Ok(()) } else { Err(ExceptionCode::IllegalDataAddress) }
    }

    /// The function code.
    pub const fn function(&self) -> FunctionCode {
        match self {
            Self::Read { area, .. } => FunctionCode::reading(*area),
            Self::WriteSingleCoil { .. } => FunctionCode::WRITE_SINGLE_COIL,
            Self::WriteSingleRegister { .. } => FunctionCode::WRITE_SINGLE_REGISTER,
            Self::ReadExceptionStatus => FunctionCode::READ_EXCEPTION_STATUS,
            Self::Diagnostics { .. } => FunctionCode::DIAGNOSTICS,
            Self::GetCommEventCounter => FunctionCode::GET_COMM_EVENT_COUNTER,
            Self::GetCommEventLog => FunctionCode::GET_COMM_EVENT_LOG,
            Self::WriteMultipleCoils { .. } => FunctionCode::WRITE_MULTIPLE_COILS,
            Self::WriteMultipleRegisters { .. } => FunctionCode::WRITE_MULTIPLE_REGISTERS,
            Self::ReportServerId => FunctionCode::REPORT_SERVER_ID,
            Self::ReadFileRecord(_) => FunctionCode::READ_FILE_RECORD,
            Self::WriteFileRecord(_) => FunctionCode::WRITE_FILE_RECORD,
            Self::MaskWriteRegister { .. } => FunctionCode::MASK_WRITE_REGISTER,
            Self::ReadWriteMultipleRegisters { .. } => FunctionCode::READ_WRITE_MULTIPLE_REGISTERS,
            Self::ReadFifoQueue { .. } => FunctionCode::READ_FIFO_QUEUE,
            Self::ReadDeviceIdentification { .. } => FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT,
            Self::Custom { function, .. } => *function,
        }
    }

    /// The request's PDU.
    ///
    /// # Errors
    /// When a count, a range or a field is not allowed by the specification.
    pub fn encode(&self) -> Result<Pdu, EncodeError> {
        Pdu::build(|out| self.encode_into(out))
    }

    /// Writes the request's PDU to the front of `out` and returns its length in bytes, at most 253.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and when `out` is too short.
    #[inline]
    pub fn encode_into(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        // As in `decode`, the way of reads is short enough to be inlined.
        match (*self, out.first_chunk_mut()) {
            (Self::Read { area, address, count }, Some(room)) => {
                check_range(address, count.into(), area.max_read().into())?;
                // In one word: whoever reads the bytes at once need not wait for several writes.
                let function = FunctionCode::reading(area).code();
                let word = (function as u64) << 32 | (address as u64) << 16 | count as u64;
                let [_, _, _, bytes @ ..] = word.to_be_bytes();
                *room = bytes;
                Ok(room.len())
            }
            // A copy, made only here: a read need not lie in memory.
            (other, _) => other.encode_other(out),
        }
    }

    fn encode_other(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut out = Writer::new(out);
        out.u8(self.function().code())?;
        match *self {
            Self::Read { area, address, count } => {
                check_range(address, count.into(), area.max_read().into())?;
                out.u16(address)?;
                out.u16(count)?;
            }
            Self::WriteSingleCoil { address, value } => {
                out.u16(address)?;
                out.u16(encode_coil(value))?;
            }
            Self::WriteSingleRegister { address, value } => {
                out.u16(address)?;
                out.u16(value)?;
            }
            Self::Diagnostics { sub_function, data } => encode_diagnostics(&mut out, sub_function, data)?,
            Self::ReadExceptionStatus | Self::GetCommEventCounter | Self::GetCommEventLog | Self::ReportServerId => {}
            Self::WriteMultipleCoils { address, values } => {
                check_range(address, values.len(), Area::Coil.max_write().into())?;
                out.u16(address)?;
                out.u16(values.len() as u16)?; // checked
                out.count(bytes_for_bits(values.len()))?;
                values.write_wire(out.room(bytes_for_bits(values.len()))?);
            }
            Self::WriteMultipleRegisters { address, values } => {
                check_range(address, values.len(), Area::HoldingRegister.max_write().into())?;
                out.u16(address)?;
                encode_registers(&mut out, values)?;
            }
            Self::ReadFileRecord(reads) => reads.encode(&mut out)?,
            Self::WriteFileRecord(writes) => writes.encode(&mut out)?,
            Self::MaskWriteRegister { address, and_mask, or_mask } => {
                out.u16(address)?;
                out.u16(and_mask)?;
                out.u16(or_mask)?;
            }
            Self::ReadWriteMultipleRegisters { read_address, read_count, write_address, values } => {
                check_range(read_address, read_count.into(), Area::HoldingRegister.max_read().into())?;
                check_range(write_address, values.len(), MAX_READ_WRITE)?;
                out.u16(read_address)?;
                out.u16(read_count)?;
                out.u16(write_address)?;
                encode_registers(&mut out, values)?;
            }
            Self::ReadFifoQueue { address } => out.u16(address)?,
            Self::ReadDeviceIdentification { code, object } => out.bytes(&[device_id::MEI_TYPE, code as u8, object])?,
            Self::Custom { data, .. } => out.bytes(data)?,
        }
        Ok(out.finish())
    }
}

/// Count, byte count and the registers themselves; the count has been checked.
fn encode_registers(out: &mut Writer<'_>, values: Registers<'_>) -> Result<(), EncodeError> {
    out.u16(values.len() as u16)?;
    out.count(2 * values.len())?;
    values.write_wire(out.room(2 * values.len())?);
    Ok(())
}

/// The fields of FC 8, in either direction.
pub(super) fn encode_diagnostics(
    out: &mut Writer<'_>,
    sub_function: Diagnostic,
    data: &[u8],
) -> Result<(), EncodeError> {
    if sub_function != Diagnostic::RETURN_QUERY_DATA && data.len() != 2 {
        return Err(EncodeError::Field("the data of a diagnostic sub-function other than 0 is two bytes"));
    }
    out.u16(sub_function.0)?;
    out.bytes(data)
}

/// FC 5 knows two values; every other one is 03 (AP 6.5).
pub(super) const fn decode_coil(value: u16) -> Option<bool> {
    match value {
        0xFF00 => Some(true),
        0x0000 => Some(false),
        _ => None,
    }
}

pub(super) const fn encode_coil(value: bool) -> u16 {
    if value { 0xFF00 } else { 0x0000 }
}
