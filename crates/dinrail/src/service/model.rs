//! The four areas as a trait: bulk, async, by range. Every check of the specification is done here, once, before a model
//! is asked (AP 6).

use std::future::{Future, ready};
use std::ops::Range;

use super::{Call, Failure, Peer, Reply, Service};
use crate::proto::pdu::file_record::LAST_RECORD;
use crate::proto::pdu::{Bits, BitsMut, FunctionCode, Registers, RegistersMut, bytes_for_bits};
use crate::proto::{Area, ExceptionCode, Request, Response, UnitId};

/// What a request is about, and who asks.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target<'a> {
    /// Coils, discrete inputs, holding or input registers.
    pub area: Area,
    /// The first address, 0-based, as on the wire.
    pub address: u16,
    /// How many items, at least 1; `address + count` is at most 65536.
    pub count: u16,
    /// The unit that is asked.
    pub unit: UnitId,
    /// Who asks.
    pub peer: &'a Peer,
}

impl Target<'_> {
    /// The addresses as indices, for slices.
    pub fn range(&self) -> Range<usize> {
        let start = usize::from(self.address);
        start..start + usize::from(self.count)
    }
}

/// Records of a file, FC 20 and 21.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FileRange<'a> {
    /// The file, 1 to 65535.
    pub file: u16,
    /// The first record, 0-based; a record is one register, and the last one is 9999.
    pub record: u16,
    /// How many records, at least 1.
    pub count: u16,
    /// The unit that is asked.
    pub unit: UnitId,
    /// Who asks.
    pub peer: &'a Peer,
}

/// What may go wrong in a model's answer; `Err` means that nothing was done.
type Done = Result<(), Failure>;

/// The data behind a server, asked by range: one call a request, checked, with the values written straight into the
/// reply.
///
/// Each method may wait for as long as the truth takes; the server goes on with other connections meanwhile. What is not
/// implemented is refused with exception 0x01. Every `DataModel` is a [`Service`].
pub trait DataModel: Send + Sync + 'static {
    /// FC 1 and 2: sets each bit of `out`, which starts as off.
    fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> impl Future<Output = Done> + Send;

    /// FC 3, 4 and 23: sets each register of `out`, which starts as zeros.
    fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> impl Future<Output = Done> + Send;

    /// FC 5 and 15: writes coils, all or none.
    fn write_bits(&self, _target: Target<'_>, _values: Bits<'_>) -> impl Future<Output = Done> + Send {
        refuse()
    }

    /// FC 6, 16 and 23: writes holding registers, all or none.
    fn write_registers(&self, _target: Target<'_>, _values: Registers<'_>) -> impl Future<Output = Done> + Send {
        refuse()
    }

    /// FC 22: the register becomes `(value & and_mask) | (or_mask & !and_mask)`.
    ///
    /// As it stands it reads, then writes; a model that others write to as well does both in one step instead.
    fn mask_write(&self, target: Target<'_>, and_mask: u16, or_mask: u16) -> impl Future<Output = Done> + Send {
        mask_write(self, target, and_mask, or_mask)
    }

    /// FC 23: writes, then reads.
    ///
    /// As it stands it reads first, so that a range that cannot be read leaves nothing written, then writes and reads
    /// again. A model that can check a range without reading it does so instead.
    fn read_write_registers(
        &self,
        read: Target<'_>,
        out: &mut RegistersMut<'_>,
        write: Target<'_>,
        values: Registers<'_>,
    ) -> impl Future<Output = Done> + Send {
        read_write_registers(self, read, out, write, values)
    }

    /// FC 24: sets the queue's values, oldest first, and returns how many; `out` holds 31. Reading takes none away.
    fn read_fifo(
        &self,
        _target: Target<'_>,
        _out: &mut RegistersMut<'_>,
    ) -> impl Future<Output = Result<usize, Failure>> + Send {
        ready(Err(ExceptionCode::IllegalFunction.into()))
    }

    /// FC 20: sets the registers of a group; all groups of a request are asked for in turn.
    fn read_file(&self, _range: FileRange<'_>, _out: &mut RegistersMut<'_>) -> impl Future<Output = Done> + Send {
        refuse()
    }

    /// FC 21: whether all these groups can be written. Asked before the first group is written.
    fn check_file_write(&self, _range: FileRange<'_>) -> impl Future<Output = Done> + Send {
        refuse()
    }

    /// FC 21: writes the registers of a group.
    fn write_file(&self, _range: FileRange<'_>, _values: Registers<'_>) -> impl Future<Output = Done> + Send {
        refuse()
    }

    /// FC 7: eight bits of the device's own.
    fn exception_status(&self, _unit: UnitId) -> impl Future<Output = Result<u8, Failure>> + Send {
        ready(Err(ExceptionCode::IllegalFunction.into()))
    }

    /// FC 17: server id, run indicator (0x00 off, 0xFF on) and more; writes at most 250 bytes and returns how many.
    fn server_id(&self, _unit: UnitId, _out: &mut [u8]) -> impl Future<Output = Result<usize, Failure>> + Send {
        ready(Err(ExceptionCode::IllegalFunction.into()))
    }

    /// Every other function; 0x01 as it stands.
    fn other(&self, _call: Call<'_>) -> impl Future<Output = Reply> + Send {
        ready(Reply::Exception(ExceptionCode::IllegalFunction))
    }

    /// Answers a request at once; `None` to be asked by the other methods. A [`Store`](super::Store) does this, others
    /// need not.
    fn answer_now(&self, _call: &mut Call<'_>) -> Option<Reply> {
        None
    }
}

/// [`DataModel::mask_write`] as it stands.
pub(super) async fn mask_write<M: DataModel + ?Sized>(
    model: &M,
    target: Target<'_>,
    and_mask: u16,
    or_mask: u16,
) -> Done {
    let mut bytes = [0; 2];
    model.read_registers(target, &mut RegistersMut::over(&mut bytes)).await?;
    let value = (u16::from_be_bytes(bytes) & and_mask) | (or_mask & !and_mask);
    model.write_registers(target, Registers::from(&[value][..])).await
}

/// [`DataModel::read_write_registers`] as it stands.
pub(super) async fn read_write_registers<M: DataModel + ?Sized>(
    model: &M,
    read: Target<'_>,
    out: &mut RegistersMut<'_>,
    write: Target<'_>,
    values: Registers<'_>,
) -> Done {
    model.read_registers(read, out).await?;
    model.write_registers(write, values).await?;
    out.fill_with(|_| 0);
    model.read_registers(read, out).await
}

fn refuse() -> impl Future<Output = Done> + Send {
    ready(Err(ExceptionCode::IllegalFunction.into()))
}

impl<M: DataModel> Service for M {
    async fn call(&self, mut call: Call<'_>) -> Reply {
        if let Some(reply) = self.answer_now(&mut call) {
            return reply;
        }
        answer(self, &mut call).await.unwrap_or_else(|failure| failure.into_reply(call.unit(), call.peer(), call.pdu()))
    }

    #[inline(always)]
    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        self.answer_now(call)
    }
}

/// The functions that nearly every request asks for: checks the request, asks the model, writes the response in place.
/// The one text of it serves models that are waited for (`.await`) and stores that are not.
macro_rules! answer_common {
    ($model:ident, $call:ident, $request:ident, [$($wait:tt)*], $other:expr) => {{
        let (unit, peer) = ($call.unit(), $call.peer());
        let target = |area, address, count| Target { area, address, count, unit, peer };
        match $request {
            Request::Read { area, address, count } if area.is_bits() => {
                let length = bytes_for_bits(count.into());
                let values = begin_counted($call.parts().1, FunctionCode::reading(area), length);
                let mut out = BitsMut::over(values, count.into());
                $model.read_bits(target(area, address, count), &mut out)$($wait)*?;
                Ok(Reply::written(2 + length))
            }
            Request::Read { area, address, count } => {
                let values = begin_registers($call, area, count);
                $model.read_registers(target(area, address, count), &mut RegistersMut::over(values))$($wait)*?;
                Ok(Reply::written(2 + 2 * usize::from(count)))
            }
            Request::WriteSingleCoil { address, value } => {
                $model.write_bits(target(Area::Coil, address, 1), Bits::from(&[value][..]))$($wait)*?;
                Ok(echo($call, $call.pdu().len()))
            }
            Request::WriteSingleRegister { address, value } => {
                let target = target(Area::HoldingRegister, address, 1);
                $model.write_registers(target, Registers::from(&[value][..]))$($wait)*?;
                Ok(echo($call, $call.pdu().len()))
            }
            Request::WriteMultipleCoils { address, values } => {
                $model.write_bits(target(Area::Coil, address, values.len() as u16), values)$($wait)*?;
                Ok(echo($call, 5))
            }
            Request::WriteMultipleRegisters { address, values } => {
                let target = target(Area::HoldingRegister, address, values.len() as u16);
                $model.write_registers(target, values)$($wait)*?;
                Ok(echo($call, 5))
            }
            Request::MaskWriteRegister { address, and_mask, or_mask } => {
                $model.mask_write(target(Area::HoldingRegister, address, 1), and_mask, or_mask)$($wait)*?;
                Ok(echo($call, $call.pdu().len()))
            }
            Request::ReadWriteMultipleRegisters { read_address, read_count, write_address, values } => {
                let read = target(Area::HoldingRegister, read_address, read_count);
                let write = target(Area::HoldingRegister, write_address, values.len() as u16);
                let length = 2 * usize::from(read_count);
                let out = begin_counted($call.parts().1, $request.function(), length);
                $model.read_write_registers(read, &mut RegistersMut::over(out), write, values)$($wait)*?;
                Ok(Reply::written(2 + length))
            }
            _ => $other,
        }
    }};
}
pub(super) use answer_common;

async fn answer<M: DataModel>(model: &M, call: &mut Call<'_>) -> Result<Reply, Failure> {
    let request = call.request()?;
    answer_common!(model, call, request, [.await], answer_rare(model, call, request).await)
}

/// The functions that few clients use.
async fn answer_rare<M: DataModel>(model: &M, call: &mut Call<'_>, request: Request<'_>) -> Result<Reply, Failure> {
    let (unit, peer) = (call.unit(), call.peer());
    match request {
        Request::ReadFifoQueue { address } => {
            let target = Target { area: Area::HoldingRegister, address, count: 1, unit, peer };
            let mut bytes = [0; 62];
            let count = model.read_fifo(target, &mut RegistersMut::over(&mut bytes)).await?;
            if count > 31 {
                return Err(ExceptionCode::IllegalDataValue.into());
            }
            Ok(call.respond(&Response::FifoQueue(Registers::from_wire(&bytes[..2 * count])))?)
        }
        Request::ReadFileRecord(reads) => {
            let mut length = 2;
            for read in reads.iter() {
                let range = FileRange { file: read.file, record: read.record, count: read.length, unit, peer };
                let bytes = 2 * usize::from(read.length);
                let group = &mut call.parts().1[length..length + 2 + bytes]; // the request's check leaves room for all
                group[0] = 1 + bytes as u8;
                group[1] = 6;
                group[2..].fill(0);
                model.read_file(range, &mut RegistersMut::over(&mut group[2..])).await?;
                length += 2 + bytes;
            }
            let out = call.parts().1;
            out[0] = FunctionCode::READ_FILE_RECORD.code();
            out[1] = length as u8 - 2;
            Ok(Reply::written(length))
        }
        Request::WriteFileRecord(writes) => {
            debug_assert!(writes.iter().all(|write| write.record <= LAST_RECORD));
            let range = |file, record, count: usize| FileRange { file, record, count: count as u16, unit, peer };
            for write in writes.iter() {
                model.check_file_write(range(write.file, write.record, write.values.len())).await?;
            }
            for write in writes.iter() {
                let range = range(write.file, write.record, write.values.len());
                model.write_file(range, write.values).await?;
            }
            Ok(echo(call, call.pdu().len()))
        }
        Request::ReadExceptionStatus => {
            let status = model.exception_status(unit).await?;
            Ok(call.respond(&Response::ExceptionStatus(status))?)
        }
        Request::ReportServerId => {
            let mut bytes = [0; 250];
            let length = model.server_id(unit, &mut bytes).await?.min(bytes.len());
            Ok(call.respond(&Response::ServerId(&bytes[..length]))?)
        }
        _ => Ok(model.other(call.reborrow()).await),
    }
}

/// Begins the reply to FC 3 and 4; the registers are zeros.
#[inline(always)]
pub(super) fn begin_registers<'a>(call: &'a mut Call<'_>, area: Area, count: u16) -> &'a mut [u8] {
    begin_counted(call.parts().1, FunctionCode::reading(area), 2 * usize::from(count))
}

/// Function code, byte count, and the zeroed bytes that follow them.
#[inline]
pub(super) fn begin_counted(out: &mut [u8], function: FunctionCode, length: usize) -> &mut [u8] {
    out[0] = function.code();
    out[1] = length as u8; // at most 250
    // All that there can be: a length that is known beforehand costs no call and no loop.
    out[2..252].fill(0);
    &mut out[2..2 + length]
}

/// The first `length` bytes of the request are the response.
#[inline(always)] // a few bytes, whose number is known where it is called
pub(super) fn echo(call: &mut Call<'_>, length: usize) -> Reply {
    let (pdu, out) = call.parts();
    out[..length].copy_from_slice(&pdu[..length]);
    Reply::written(length)
}
