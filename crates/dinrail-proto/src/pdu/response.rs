//! Responses: decoding checks every field against the request, so that no reply is ever taken for another one's.

use super::cursor::{Reader, Writer};
use super::device_id::{self, DeviceIdentification, ReadDeviceId};
use super::diagnostics::{Diagnostic, MAX_EVENTS};
use super::file_record::{FileData, FileWrites};
use super::request::{decode_coil, encode_coil, encode_diagnostics};
use super::{Area, Bits, ExceptionCode, FunctionCode, Pdu, Registers, Request, bytes_for_bits};
use crate::error::{EncodeError, ReplyError};

/// What a server answers when it has done what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response<'a> {
    /// FC 1 and 2: as many bits as were asked for.
    ReadBits {
        /// Coils or discrete inputs.
        area: Area,
        /// Their values.
        values: Bits<'a>,
    },
    /// FC 3 and 4: as many registers as were asked for.
    ReadRegisters {
        /// Holding or input registers.
        area: Area,
        /// Their values.
        values: Registers<'a>,
    },
    /// FC 5: the request again.
    WriteSingleCoil {
        /// The coil, 0-based.
        address: u16,
        /// On or off.
        value: bool,
    },
    /// FC 6: the request again.
    WriteSingleRegister {
        /// The holding register, 0-based.
        address: u16,
        /// Its new value.
        value: u16,
    },
    /// FC 7: eight bits that the device defines.
    ExceptionStatus(u8),
    /// FC 8.
    Diagnostics {
        /// As in the request.
        sub_function: Diagnostic,
        /// Counters and the like, two bytes; an echo for some sub-functions.
        data: &'a [u8],
    },
    /// FC 11.
    CommEventCounter {
        /// 0000, or FFFF while a command is still being worked on.
        status: u16,
        /// Requests completed with success.
        events: u16,
    },
    /// FC 12.
    CommEventLog {
        /// 0000, or FFFF while a command is still being worked on.
        status: u16,
        /// Requests completed with success.
        events: u16,
        /// Messages processed since the last restart.
        messages: u16,
        /// At most 64 events, the newest first.
        log: &'a [u8],
    },
    /// FC 15: what was written.
    WriteMultipleCoils {
        /// The first coil, 0-based.
        address: u16,
        /// How many coils.
        count: u16,
    },
    /// FC 16: what was written.
    WriteMultipleRegisters {
        /// The first register, 0-based.
        address: u16,
        /// How many registers.
        count: u16,
    },
    /// FC 17: server id, run indicator and more, as the device defines it.
    ServerId(&'a [u8]),
    /// FC 20: a group of registers for each group of the request.
    ReadFileRecord(FileData<'a>),
    /// FC 21: the request again.
    WriteFileRecord(FileWrites<'a>),
    /// FC 22: the request again.
    MaskWriteRegister {
        /// The holding register, 0-based.
        address: u16,
        /// The bits that stay.
        and_mask: u16,
        /// What the others become.
        or_mask: u16,
    },
    /// FC 23: the registers read.
    ReadWriteMultipleRegisters(Registers<'a>),
    /// FC 24: the queue, oldest first, at most 31 registers.
    FifoQueue(Registers<'a>),
    /// FC 43 / 14.
    DeviceIdentification(DeviceIdentification<'a>),
    /// Any other function.
    Custom {
        /// The function.
        function: FunctionCode,
        /// What follows it.
        data: &'a [u8],
    },
}

/// The longest queue that FC 24 returns (AP 6.18).
pub(super) const MAX_FIFO: usize = 31;

impl<'a> Response<'a> {
    /// Reads the bytes of a reply's PDU as the answer to `request`.
    ///
    /// # Errors
    /// [`ReplyError::Exception`] when the server refused; anything else means that these bytes do not answer `request`.
    #[inline]
    pub fn decode(request: &Request<'_>, pdu: &'a [u8]) -> Result<Self, ReplyError> {
        // By far the most requests are reads, and mostly they are answered: that way is short enough to be inlined.
        match *request {
            Request::Read { area, count, .. } if pdu.first() == Some(&FunctionCode::reading(area).code()) => {
                Self::decode_read(area, count.into(), pdu).ok_or(ReplyError::Length { received: pdu.len() })
            }
            // A copy, made only here: a read need not lie in memory.
            other => Self::decode_other(&other, pdu),
        }
    }

    /// The answer to a read, whose function code has been looked at.
    #[inline]
    fn decode_read(area: Area, count: usize, pdu: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(pdu.get(1..)?);
        if area.is_bits() {
            let bytes = counted(&mut reader, bytes_for_bits(count))?;
            return Some(Self::ReadBits { area, values: Bits::from_packed(bytes, count) });
        }
        let bytes = counted(&mut reader, 2 * count)?;
        Some(Self::ReadRegisters { area, values: Registers::from_wire(bytes) })
    }

    fn decode_other(request: &Request<'_>, pdu: &'a [u8]) -> Result<Self, ReplyError> {
        let wrong_length = ReplyError::Length { received: pdu.len() };
        let expected = request.function();
        let (&function, fields) = pdu.split_first().ok_or(wrong_length)?;
        if function == expected.exception_byte() {
            return match fields {
                [code] => Err(ReplyError::Exception(ExceptionCode::from(*code))),
                _ => Err(wrong_length),
            };
        }
        if function != expected.code() {
            return Err(ReplyError::Function { expected, received: function });
        }
        let response = Self::decode_fields(request, fields).ok_or(wrong_length)?;
        response.check_echo(request)?;
        Ok(response)
    }

    /// `None` when the fields are too short, too long, or against their own counts.
    fn decode_fields(request: &Request<'_>, fields: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(fields);
        match *request {
            // Its function code is another; see `decode`.
            Request::Read { .. } => None,
            Request::WriteSingleCoil { .. } => {
                let (address, value) = (reader.u16()?, decode_coil(reader.u16()?)?);
                reader.end(Self::WriteSingleCoil { address, value })
            }
            Request::WriteSingleRegister { .. } => {
                let (address, value) = (reader.u16()?, reader.u16()?);
                reader.end(Self::WriteSingleRegister { address, value })
            }
            Request::ReadExceptionStatus => {
                let status = reader.u8()?;
                reader.end(Self::ExceptionStatus(status))
            }
            Request::Diagnostics { sub_function, data } => {
                let received = Diagnostic(reader.u16()?);
                let echoed = reader.rest();
                let expected = if sub_function == Diagnostic::RETURN_QUERY_DATA { data.len() } else { 2 };
                (echoed.len() == expected).then_some(Self::Diagnostics { sub_function: received, data: echoed })
            }
            Request::GetCommEventCounter => {
                let (status, events) = (reader.u16()?, reader.u16()?);
                reader.end(Self::CommEventCounter { status, events })
            }
            Request::GetCommEventLog => {
                let count = usize::from(reader.u8()?);
                let (status, events, messages) = (reader.u16()?, reader.u16()?, reader.u16()?);
                let log = reader.rest();
                let fits = log.len() <= MAX_EVENTS && count == 6 + log.len();
                fits.then_some(Self::CommEventLog { status, events, messages, log })
            }
            Request::WriteMultipleCoils { .. } => {
                let (address, count) = (reader.u16()?, reader.u16()?);
                reader.end(Self::WriteMultipleCoils { address, count })
            }
            Request::WriteMultipleRegisters { .. } => {
                let (address, count) = (reader.u16()?, reader.u16()?);
                reader.end(Self::WriteMultipleRegisters { address, count })
            }
            Request::ReportServerId => {
                let count = reader.u8()?;
                let data = reader.rest();
                (data.len() == usize::from(count)).then_some(Self::ServerId(data))
            }
            Request::ReadFileRecord(reads) => {
                let count = reader.u8()?;
                let groups = reader.rest();
                let data = FileData::decode(groups, &reads)?;
                (groups.len() == usize::from(count)).then_some(Self::ReadFileRecord(data))
            }
            Request::WriteFileRecord(_) => {
                let count = reader.u8()?;
                let groups = reader.rest();
                let writes = FileWrites::decode(groups).ok()?;
                (groups.len() == usize::from(count)).then_some(Self::WriteFileRecord(writes))
            }
            Request::MaskWriteRegister { .. } => {
                let (address, and_mask, or_mask) = (reader.u16()?, reader.u16()?, reader.u16()?);
                reader.end(Self::MaskWriteRegister { address, and_mask, or_mask })
            }
            Request::ReadWriteMultipleRegisters { read_count, .. } => {
                let bytes = counted(&mut reader, 2 * usize::from(read_count))?;
                Some(Self::ReadWriteMultipleRegisters(Registers::from_wire(bytes)))
            }
            Request::ReadFifoQueue { .. } => {
                let (bytes, count) = (usize::from(reader.u16()?), usize::from(reader.u16()?));
                let queue = reader.rest();
                let fits = count <= MAX_FIFO && queue.len() == 2 * count && bytes == 2 + queue.len();
                fits.then_some(Self::FifoQueue(Registers::from_wire(queue)))
            }
            Request::ReadDeviceIdentification { .. } => match fields {
                [device_id::MEI_TYPE, rest @ ..] => DeviceIdentification::decode(rest).map(Self::DeviceIdentification),
                _ => None,
            },
            Request::Custom { function, .. } => Some(Self::Custom { function, data: fields }),
        }
    }

    /// What the specification says is repeated must be repeated.
    fn check_echo(&self, request: &Request<'_>) -> Result<(), ReplyError> {
        let differs = match (*self, *request) {
            (Self::WriteSingleCoil { address, value }, Request::WriteSingleCoil { address: a, value: v }) => {
                first([(address != a, "address"), (value != v, "value")])
            }
            (Self::WriteSingleRegister { address, value }, Request::WriteSingleRegister { address: a, value: v }) => {
                first([(address != a, "address"), (value != v, "value")])
            }
            (Self::WriteMultipleCoils { address, count }, Request::WriteMultipleCoils { address: a, values }) => {
                first([(address != a, "address"), (usize::from(count) != values.len(), "count")])
            }
            (
                Self::WriteMultipleRegisters { address, count },
                Request::WriteMultipleRegisters { address: a, values },
            ) => first([(address != a, "address"), (usize::from(count) != values.len(), "count")]),
            (
                Self::MaskWriteRegister { address, and_mask, or_mask },
                Request::MaskWriteRegister { address: a, and_mask: and, or_mask: or },
            ) => first([(address != a, "address"), (and_mask != and, "and mask"), (or_mask != or, "or mask")]),
            (Self::WriteFileRecord(written), Request::WriteFileRecord(writes)) => {
                first([(written != writes, "file records")])
            }
            (Self::Diagnostics { sub_function, data }, Request::Diagnostics { sub_function: asked, data: sent }) => {
                first([(sub_function != asked, "sub-function"), (asked.is_echo() && data != sent, "data")])
            }
            (Self::DeviceIdentification(reply), Request::ReadDeviceIdentification { code, object }) => {
                let single = code == ReadDeviceId::Individual;
                let other = single && reply.objects().next().is_none_or(|(id, _)| id != object);
                first([(reply.code != code, "read device id code"), (other, "object id")])
            }
            (Self::Custom { function, data }, Request::Custom { data: asked, .. }) => {
                // Another MEI type of FC 43 must at least be the one that was asked for.
                let mei = function == FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT;
                first([(mei && data.first() != asked.first(), "MEI type")])
            }
            _ => None,
        };
        differs.map_or(Ok(()), |what| Err(ReplyError::Mismatch(what)))
    }

    /// The function code.
    pub const fn function(&self) -> FunctionCode {
        match self {
            Self::ReadBits { area, .. } | Self::ReadRegisters { area, .. } => FunctionCode::reading(*area),
            Self::WriteSingleCoil { .. } => FunctionCode::WRITE_SINGLE_COIL,
            Self::WriteSingleRegister { .. } => FunctionCode::WRITE_SINGLE_REGISTER,
            Self::ExceptionStatus(_) => FunctionCode::READ_EXCEPTION_STATUS,
            Self::Diagnostics { .. } => FunctionCode::DIAGNOSTICS,
            Self::CommEventCounter { .. } => FunctionCode::GET_COMM_EVENT_COUNTER,
            Self::CommEventLog { .. } => FunctionCode::GET_COMM_EVENT_LOG,
            Self::WriteMultipleCoils { .. } => FunctionCode::WRITE_MULTIPLE_COILS,
            Self::WriteMultipleRegisters { .. } => FunctionCode::WRITE_MULTIPLE_REGISTERS,
            Self::ServerId(_) => FunctionCode::REPORT_SERVER_ID,
            Self::ReadFileRecord(_) => FunctionCode::READ_FILE_RECORD,
            Self::WriteFileRecord(_) => FunctionCode::WRITE_FILE_RECORD,
            Self::MaskWriteRegister { .. } => FunctionCode::MASK_WRITE_REGISTER,
            Self::ReadWriteMultipleRegisters(_) => FunctionCode::READ_WRITE_MULTIPLE_REGISTERS,
            Self::FifoQueue(_) => FunctionCode::READ_FIFO_QUEUE,
            Self::DeviceIdentification(_) => FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT,
            Self::Custom { function, .. } => *function,
        }
    }

    /// The response's PDU.
    ///
    /// # Errors
    /// When it holds more than a PDU may carry.
    pub fn encode(&self) -> Result<Pdu, EncodeError> {
        Pdu::build(|out| self.encode_into(out))
    }

    /// Writes the response's PDU to the front of `out` and returns its length in bytes, at most 253.
    ///
    /// # Errors
    /// When it holds more than a PDU may carry, or `out` is too short.
    pub fn encode_into(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut out = Writer::new(out);
        out.u8(self.function().code())?;
        match *self {
            Self::ReadBits { area, values } => {
                one_to(area.max_read().into(), values.len())?;
                out.count(bytes_for_bits(values.len()))?;
                values.write_wire(out.room(bytes_for_bits(values.len()))?);
            }
            Self::ReadRegisters { values, .. } | Self::ReadWriteMultipleRegisters(values) => {
                one_to(Area::HoldingRegister.max_read().into(), values.len())?;
                out.count(2 * values.len())?;
                values.write_wire(out.room(2 * values.len())?);
            }
            Self::WriteSingleCoil { address, value } => {
                out.u16(address)?;
                out.u16(encode_coil(value))?;
            }
            Self::WriteSingleRegister { address, value } => {
                out.u16(address)?;
                out.u16(value)?;
            }
            Self::ExceptionStatus(status) => out.u8(status)?,
            Self::Diagnostics { sub_function, data } => encode_diagnostics(&mut out, sub_function, data)?,
            Self::CommEventCounter { status, events } => {
                out.u16(status)?;
                out.u16(events)?;
            }
            Self::CommEventLog { status, events, messages, log } => {
                limit(log.len(), MAX_EVENTS)?;
                out.count(6 + log.len())?;
                out.u16(status)?;
                out.u16(events)?;
                out.u16(messages)?;
                out.bytes(log)?;
            }
            Self::WriteMultipleCoils { address, count } | Self::WriteMultipleRegisters { address, count } => {
                out.u16(address)?;
                out.u16(count)?;
            }
            Self::ServerId(data) => {
                out.count(data.len())?;
                out.bytes(data)?;
            }
            Self::ReadFileRecord(data) => data.encode(&mut out)?,
            Self::WriteFileRecord(writes) => writes.encode(&mut out)?,
            Self::MaskWriteRegister { address, and_mask, or_mask } => {
                out.u16(address)?;
                out.u16(and_mask)?;
                out.u16(or_mask)?;
            }
            Self::FifoQueue(values) => {
                limit(values.len(), MAX_FIFO)?;
                out.u16(2 + 2 * values.len() as u16)?; // at most 64
                out.u16(values.len() as u16)?;
                values.write_wire(out.room(2 * values.len())?);
            }
            Self::DeviceIdentification(identification) => {
                out.u8(device_id::MEI_TYPE)?;
                identification.encode(&mut out)?;
            }
            Self::Custom { data, .. } => out.bytes(data)?,
        }
        Ok(out.finish())
    }
}

/// A byte count of exactly `expected` and exactly as many bytes.
fn counted<'a>(reader: &mut Reader<'a>, expected: usize) -> Option<&'a [u8]> {
    let count = usize::from(reader.u8()?);
    let bytes = reader.rest();
    (count == expected && bytes.len() == expected).then_some(bytes)
}

fn one_to(max: usize, count: usize) -> Result<(), EncodeError> {
    if count == 0 { Err(EncodeError::Count { count, max }) } else { limit(count, max) }
}

fn limit(count: usize, max: usize) -> Result<(), EncodeError> {
    if count > max { Err(EncodeError::Count { count, max }) } else { Ok(()) }
}

/// The name of the first field that differs.
fn first<const N: usize>(fields: [(bool, &'static str); N]) -> Option<&'static str> {
    fields.into_iter().find_map(|(differs, name)| differs.then_some(name))
}
