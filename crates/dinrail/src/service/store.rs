//! Data models whose answers are there at once: what a server asks without a future, and so at the least cost.

use std::future::{Future, ready};

use super::model::{answer_common, begin_counted, begin_registers, echo};
use super::{Call, DataModel, Failure, Reply, Target};
use crate::proto::pdu::{Bits, BitsMut, FunctionCode, Registers, RegistersMut, bytes_for_bits};
use crate::proto::{Area, ExceptionCode, Request};

/// What may go wrong in a store's answer; `Err` means that nothing was done.
type Done = Result<(), Failure>;

/// A [`DataModel`] that never waits: the same methods, without futures. Every `Store` is a `DataModel`, and so a
/// [`Service`](super::Service).
///
/// The methods run on the thread that serves the connection and must not block.
pub trait Store: Send + Sync + 'static {
    /// FC 1 and 2: sets each bit of `out`, which starts as off.
    fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> Done;

    /// FC 3, 4 and 23: sets each register of `out`, which starts as zeros.
    fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> Done;

    /// FC 5 and 15: writes coils, all or none. Refused with 0x01 as it stands.
    fn write_bits(&self, _target: Target<'_>, _values: Bits<'_>) -> Done {
        Err(ExceptionCode::IllegalFunction.into())
    }

    /// FC 6, 16 and 23: writes holding registers, all or none. Refused with 0x01 as it stands.
    fn write_registers(&self, _target: Target<'_>, _values: Registers<'_>) -> Done {
        Err(ExceptionCode::IllegalFunction.into())
    }

    /// FC 22: as [`DataModel::mask_write`].
    fn mask_write(&self, target: Target<'_>, and_mask: u16, or_mask: u16) -> Done {
        mask_write(self, target, and_mask, or_mask)
    }

    /// FC 23: as [`DataModel::read_write_registers`].
    fn read_write_registers(
        &self,
        read: Target<'_>,
        out: &mut RegistersMut<'_>,
        write: Target<'_>,
        values: Registers<'_>,
    ) -> Done {
        read_write_registers(self, read, out, write, values)
    }
}

/// [`Store::mask_write`] as it stands.
pub(super) fn mask_write(store: &(impl Store + ?Sized), target: Target<'_>, and_mask: u16, or_mask: u16) -> Done {
    let mut bytes = [0; 2];
    store.read_registers(target, &mut RegistersMut::over(&mut bytes))?;
    let value = (u16::from_be_bytes(bytes) & and_mask) | (or_mask & !and_mask);
    store.write_registers(target, Registers::from(&[value][..]))
}

/// [`Store::read_write_registers`] as it stands.
pub(super) fn read_write_registers(
    store: &(impl Store + ?Sized),
    read: Target<'_>,
    out: &mut RegistersMut<'_>,
    write: Target<'_>,
    values: Registers<'_>,
) -> Done {
    store.read_registers(read, out)?;
    store.write_registers(write, values)?;
    out.fill_with(|_| 0);
    store.read_registers(read, out)
}

impl<S: Store> DataModel for S {
    fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> impl Future<Output = Done> + Send {
        ready(Store::read_bits(self, target, out))
    }

    fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> impl Future<Output = Done> + Send {
        ready(Store::read_registers(self, target, out))
    }

    fn write_bits(&self, target: Target<'_>, values: Bits<'_>) -> impl Future<Output = Done> + Send {
        ready(Store::write_bits(self, target, values))
    }

    fn write_registers(&self, target: Target<'_>, values: Registers<'_>) -> impl Future<Output = Done> + Send {
        ready(Store::write_registers(self, target, values))
    }

    fn mask_write(&self, target: Target<'_>, and_mask: u16, or_mask: u16) -> impl Future<Output = Done> + Send {
        ready(Store::mask_write(self, target, and_mask, or_mask))
    }

    fn read_write_registers(
        &self,
        read: Target<'_>,
        out: &mut RegistersMut<'_>,
        write: Target<'_>,
        values: Registers<'_>,
    ) -> impl Future<Output = Done> + Send {
        ready(Store::read_write_registers(self, read, out, write, values))
    }

    /// Most requests read registers. Their way is short enough to stand where requests are taken from the line; all
    /// others are a call away.
    #[inline(always)]
    fn answer_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        let Some((area, address, count)) = Request::decode_register_read(call.pdu()) else {
            return Some(answer_other(self, call.reborrow()));
        };
        let target = Target { area, address, count, unit: call.unit(), peer: call.peer() };
        match self.read_registers(target, &mut RegistersMut::over(begin_registers(call, area, count))) {
            Ok(()) => Some(Reply::written(2 + 2 * usize::from(count))),
            Err(failure) => Some(failed(failure, call.reborrow())),
        }
    }
}

#[inline(never)]
fn answer_other<S: Store>(store: &S, mut call: Call<'_>) -> Reply {
    let Some((address, values)) = Request::decode_register_write(call.pdu()) else {
        return answer(store, &mut call).unwrap_or_else(|failure| failed(failure, call));
    };
    let (area, count) = (Area::HoldingRegister, values.len() as u16);
    match store.write_registers(Target { area, address, count, unit: call.unit(), peer: call.peer() }, values) {
        Ok(()) => echo(&mut call, 5),
        Err(failure) => failed(failure, call),
    }
}

#[cold]
fn failed(failure: Failure, call: Call<'_>) -> Reply {
    failure.into_reply(call.unit(), call.peer(), call.pdu())
}

fn answer<S: Store>(store: &S, call: &mut Call<'_>) -> Result<Reply, Failure> {
    let request = call.request()?;
    answer_common!(store, call, request, [], Err(ExceptionCode::IllegalFunction.into()))
}
