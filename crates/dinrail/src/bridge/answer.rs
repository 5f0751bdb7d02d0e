//! Requests for points: found, checked as a whole, then read or written upstream.

use std::future::Future;
use std::sync::Arc;

use tracing::warn;

use super::PointMap;
use super::closure::{Read, Write};
use super::failure::Story;
use super::table::{Bound, Cell};
use super::upstream::{AnyUpstream, gather};
use crate::point::Point;
use crate::proto::pdu::{Bits, BitsMut, Registers, RegistersMut};
use crate::proto::value::Value;
use crate::proto::{Request, Response};
use crate::service::{Call, DataModel, Failure, Reply, Target};
use crate::{Area, ExceptionCode};

type Done = Result<(), Failure>;

/// How many points are asked for at once: values are large, and a request may want 2000.
const AT_ONCE: usize = 125;

/// The most registers in a request, and a point.
const REGISTERS: usize = 125;

impl DataModel for PointMap {
    async fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> Done {
        let cells = self.table.to_read(target.area, target.address, target.count)?;
        self.in_time(
            target,
            self.fetch(target, cells, |cell, bound, value| {
                out.set(offset(cell, target), bit(bound, value)?);
                Ok(())
            }),
        )
        .await
    }

    async fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> Done {
        let cells = self.table.to_read(target.area, target.address, target.count)?;
        self.in_time(target, self.fetch(target, cells, |cell, bound, value| place(cell, bound, value, target, out)))
            .await
    }

    async fn write_bits(&self, target: Target<'_>, values: Bits<'_>) -> Done {
        let cells = self.table.to_write(target.area, target.address, target.count)?;
        let value = |cell: &Cell, _: &Bound| Ok(Value::Bit(values.get(offset(cell, target)).unwrap_or_default()));
        self.in_time(target, self.store(target, cells, value)).await
    }

    async fn write_registers(&self, target: Target<'_>, values: Registers<'_>) -> Done {
        let cells = self.table.to_write(target.area, target.address, target.count)?;
        let mut registers = [0; REGISTERS];
        let count = values.copy_to(&mut registers);
        let registers = &registers[..count];
        check_bits(cells, registers, target)?;
        let value = |cell: &Cell, bound: &Bound| Ok(bound.point.decode(&registers[offset(cell, target)..])?);
        self.in_time(target, self.store(target, cells, value)).await
    }

    /// Bits that are points are written alone; a register that is a point is read and written in one turn.
    async fn mask_write(&self, target: Target<'_>, and_mask: u16, or_mask: u16) -> Done {
        let cells = self.table.cells(target.area, target.address, 1)?;
        let [cell] = cells else { return Err(ExceptionCode::IllegalDataAddress.into()) };
        let bounds = self.table.of(cell);
        if cell.end() - cell.start() > 1 {
            return Err(ExceptionCode::IllegalDataAddress.into());
        }
        if bounds[0].mask().is_some() {
            return self.in_time(target, self.mask_bits(target, cell, and_mask, or_mask)).await;
        }
        let bound = &bounds[0];
        if bound.read.is_none() || bound.write.is_none() {
            return Err(ExceptionCode::IllegalDataAddress.into());
        }
        let step = async {
            let _turn = bound.turn.lock().await;
            let mut register = [0];
            self.fetch(target, cells, |_, bound, value| {
                Ok(bound.point.encode_into(&value, &mut register).map(drop)?)
            })
            .await?;
            let masked = (register[0] & and_mask) | (or_mask & !and_mask);
            let value = bound.point.decode(&[masked])?;
            write(bound, value).await.map_err(|failure| writing(target, bound, &[]).ends(failure))
        };
        self.in_time(target, step).await
    }

    async fn read_write_registers(
        &self,
        read: Target<'_>,
        out: &mut RegistersMut<'_>,
        write: Target<'_>,
        values: Registers<'_>,
    ) -> Done {
        self.table.to_read(read.area, read.address, read.count)?;
        self.write_registers(write, values).await?;
        self.read_registers(read, out).await
    }

    /// Requests for points whose closures answer at once.
    fn answer_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        let (unit, peer) = (call.unit(), call.peer());
        let target = |area, address, count: usize| Target { area, address, count: count as u16, unit, peer };
        let done = match call.request() {
            Err(code) => Err(code.into()),
            Ok(Request::Read { area, address, count }) if area.is_bits() => {
                let (target, mut bytes) = (target(area, address, count.into()), [0; 250]);
                let mut bits = BitsMut::over(&mut bytes, count.into());
                let put = |cell: &Cell, bound: &Bound, value| {
                    bits.set(offset(cell, target), bit(bound, value)?);
                    Ok(())
                };
                self.fetch_now(target, put)?.and_then(|()| {
                    let bits = Bits::from_packed(&bytes, count.into());
                    Ok(call.respond(&Response::ReadBits { area, values: bits })?)
                })
            }
            Ok(Request::Read { area, address, count }) => {
                let (target, mut bytes) = (target(area, address, count.into()), [0; 2 * REGISTERS]);
                let mut out = RegistersMut::over(&mut bytes[..2 * usize::from(count)]);
                let put = |cell: &Cell, bound: &Bound, value| place(cell, bound, value, target, &mut out);
                self.fetch_now(target, put)?.and_then(|()| {
                    let registers = Registers::from_wire(&bytes[..2 * usize::from(count)]);
                    Ok(call.respond(&Response::ReadRegisters { area, values: registers })?)
                })
            }
            Ok(Request::WriteSingleCoil { address, value }) => {
                self.bits_now(target(Area::Coil, address, 1), Bits::from(&[value][..]))?.map(|()| echo(call, 5))
            }
            Ok(Request::WriteMultipleCoils { address, values }) => {
                self.bits_now(target(Area::Coil, address, values.len()), values)?.map(|()| echo(call, 5))
            }
            Ok(Request::WriteSingleRegister { address, value }) => {
                let target = target(Area::HoldingRegister, address, 1);
                self.registers_now(target, Registers::from(&[value][..]))?.map(|()| echo(call, 5))
            }
            Ok(Request::WriteMultipleRegisters { address, values }) => {
                let target = target(Area::HoldingRegister, address, values.len());
                self.registers_now(target, values)?.map(|()| echo(call, 5))
            }
            Ok(_) => return None,
        };
        Some(done.unwrap_or_else(|failure| failure.into_reply(unit, peer, call.pdu())))
    }
}

impl PointMap {
    /// Reads the points of cells, and gives each value to `put`. The first failure by address is what is reported.
    async fn fetch(
        &self,
        target: Target<'_>,
        cells: &[Cell],
        mut put: impl FnMut(&Cell, &Bound, Value) -> Done + Send,
    ) -> Done {
        let wanted: Vec<(&Cell, &Bound)> =
            cells.iter().flat_map(|cell| self.table.of(cell).iter().map(move |bound| (cell, bound))).collect();
        for wanted in wanted.chunks(AT_ONCE) {
            let values = read_all(wanted).await;
            for ((cell, bound), value) in wanted.iter().zip(values) {
                value
                    .and_then(|value| put(cell, bound, value))
                    .map_err(|failure| reading(target, bound).ends(failure))?;
            }
        }
        Ok(())
    }

    /// The same for points that are read at once; `None` when one of them is not.
    fn fetch_now(&self, target: Target<'_>, mut put: impl FnMut(&Cell, &Bound, Value) -> Done) -> Option<Done> {
        let cells = match self.table.to_read(target.area, target.address, target.count) {
            Ok(cells) => cells,
            Err(code) => return Some(Err(code.into())),
        };
        let each = || cells.iter().flat_map(|cell| self.table.of(cell).iter().map(move |bound| (cell, bound)));
        if !each().all(|(_, bound)| bound.reads_now()) {
            return None;
        }
        let mut one = |(cell, bound): (&Cell, &Bound)| {
            let Some(Read::Now(read)) = &bound.read else { return Err(ExceptionCode::IllegalDataAddress.into()) };
            read().and_then(|value| put(cell, bound, value)).map_err(|failure| reading(target, bound).ends(failure))
        };
        Some(each().try_for_each(&mut one))
    }

    /// Writes cells one after the other.
    async fn store(
        &self,
        target: Target<'_>,
        cells: &[Cell],
        value: impl Fn(&Cell, &Bound) -> Result<Value, Failure>,
    ) -> Done {
        let mut written = Written::default();
        for cell in cells {
            for bound in self.table.of(cell) {
                let _turn = bound.turn.lock().await;
                let value = value(cell, bound)?;
                write(bound, value).await.map_err(|failure| written.end(target, bound, failure))?;
                written.0.push(&bound.point.name);
            }
        }
        Ok(())
    }

    fn bits_now(&self, target: Target<'_>, values: Bits<'_>) -> Option<Done> {
        let value = |cell: &Cell, _: &Bound| Ok(Value::Bit(values.get(offset(cell, target)).unwrap_or_default()));
        self.store_now(target, |_| Ok(()), value)
    }

    fn registers_now(&self, target: Target<'_>, values: Registers<'_>) -> Option<Done> {
        let mut registers = [0; REGISTERS];
        let count = values.copy_to(&mut registers);
        let registers = &registers[..count];
        let value = |cell: &Cell, bound: &Bound| Ok(bound.point.decode(&registers[offset(cell, target)..])?);
        self.store_now(target, |cells| check_bits(cells, registers, target), value)
    }

    /// Writes points that are written at once; `None`, with nothing done, when one of them is not, or somebody else's
    /// turn.
    fn store_now(
        &self,
        target: Target<'_>,
        check: impl Fn(&[Cell]) -> Result<(), ExceptionCode>,
        value: impl Fn(&Cell, &Bound) -> Result<Value, Failure>,
    ) -> Option<Done> {
        let to_write = self.table.to_write(target.area, target.address, target.count);
        let cells = match to_write.and_then(|cells| check(cells).map(|()| cells)) {
            Ok(cells) => cells,
            Err(code) => return Some(Err(code.into())),
        };
        // One point is most of what is written; several take the way on which they can wait for each other's turn.
        let ([cell], [bound]) = (cells, self.table.of(cells.first()?)) else { return None };
        let (Some(Write::Now(write)), Ok(_turn)) = (&bound.write, bound.turn.try_lock()) else { return None };
        let done = value(cell, bound).and_then(write);
        Some(done.map_err(|failure| writing(target, bound, &[]).ends(failure)))
    }

    /// FC 22 on a register whose bits are points: those that the mask names.
    async fn mask_bits(&self, target: Target<'_>, cell: &Cell, and_mask: u16, or_mask: u16) -> Done {
        let bounds = self.table.of(cell);
        let named = |bound: &&Bound| bound.mask().is_some_and(|mask| mask & !and_mask != 0);
        let unbound = or_mask & !and_mask & !cell.bits != 0;
        if unbound || bounds.iter().filter(named).any(|bound| bound.write.is_none()) {
            return Err(ExceptionCode::IllegalDataAddress.into());
        }
        let mut written = Written::default();
        for bound in bounds.iter().filter(named) {
            let _turn = bound.turn.lock().await;
            let on = bound.mask().is_some_and(|mask| mask & or_mask != 0);
            write(bound, Value::Bit(on)).await.map_err(|failure| written.end(target, bound, failure))?;
            written.0.push(&bound.point.name);
        }
        Ok(())
    }

    /// What is begun and takes longer than the map's deadline is dropped.
    async fn in_time(&self, target: Target<'_>, work: impl Future<Output = Done> + Send) -> Done {
        let Some(deadline) = self.deadline else { return work.await };
        match tokio::time::timeout(deadline, work).await {
            Ok(done) => done,
            Err(_) => {
                let Target { area, address, count, unit, peer } = target;
                warn!(
                    target: "dinrail::server",
                    server = peer.server.as_deref().map(tracing::field::display), %peer, %unit, %area, address, count,
                    "the upstream took longer than {deadline:?}: answered with exception 0x0b"
                );
                Err(ExceptionCode::GatewayTargetFailedToRespond.into())
            }
        }
    }
}

/// The points that a request has written so far.
#[derive(Default)]
struct Written<'a>(Vec<&'a str>);

impl<'a> Written<'a> {
    fn end(&self, target: Target<'_>, bound: &Bound, failure: Failure) -> Failure {
        writing(target, bound, &self.0).ends(failure)
    }
}

fn reading<'a>(target: Target<'a>, bound: &'a Bound) -> Story<'a> {
    Story { target, doing: "reading", point: &bound.point, written: &[] }
}

fn writing<'a>(target: Target<'a>, bound: &'a Bound, written: &'a [&'a str]) -> Story<'a> {
    Story { target, doing: "writing", point: &bound.point, written }
}

async fn write(bound: &Bound, value: Value) -> Done {
    match &bound.write {
        Some(Write::Now(write)) => write(value),
        Some(Write::Later(upstream)) => upstream.write(&bound.point, value).await,
        None => Err(ExceptionCode::IllegalDataAddress.into()), // checked before
    }
}

/// The values of points: each upstream is asked once for all of its own, and all upstreams side by side.
async fn read_all(wanted: &[(&Cell, &Bound)]) -> Vec<Result<Value, Failure>> {
    let mut values: Vec<Option<Result<Value, Failure>>> = Vec::with_capacity(wanted.len());
    let mut upstreams: Vec<(&Arc<dyn AnyUpstream>, Vec<usize>)> = Vec::new();
    for (index, (_, bound)) in wanted.iter().enumerate() {
        values.push(match &bound.read {
            Some(Read::Now(read)) => Some(read()),
            Some(Read::Later(upstream)) => {
                // Neighbours mostly live at the same place.
                match upstreams.iter_mut().rev().find(|(other, _)| Arc::ptr_eq(other, upstream)) {
                    Some((_, points)) => points.push(index),
                    None => upstreams.push((upstream, vec![index])),
                }
                None
            }
            None => Some(Err(ExceptionCode::IllegalDataAddress.into())), // checked before
        });
    }
    let questions = upstreams.iter().map(|(upstream, points)| async move {
        let asked: Vec<&Point> = points.iter().map(|index| &wanted[*index].1.point).collect();
        upstream.read_many(&asked).await
    });
    let answers = gather(questions, usize::MAX).await;
    for ((_, points), answer) in upstreams.iter().zip(answers) {
        for (index, value) in points.iter().zip(answer) {
            values[*index] = Some(value);
        }
    }
    let missing = || Err(Failure::message("the upstream gave fewer values than it was asked for"));
    values.into_iter().map(|value| value.unwrap_or_else(missing)).collect()
}

/// Where a cell begins in a request that does not begin behind it.
fn offset(cell: &Cell, target: Target<'_>) -> usize {
    cell.start().saturating_sub(target.address.into()) as usize // below 65536
}

fn bit(bound: &Bound, value: Value) -> Result<bool, Failure> {
    match value {
        Value::Bit(on) => Ok(on),
        other => Err(Failure::message(format!("{} is a bit, and the upstream gave {other}", bound.point.name))),
    }
}

/// Puts a point's registers, or its bit, where the request wants them.
fn place(cell: &Cell, bound: &Bound, value: Value, target: Target<'_>, out: &mut RegistersMut<'_>) -> Done {
    let mut registers = [0; 128];
    let count = bound.point.encode_into(&value, &mut registers)?;
    if bound.mask().is_some() {
        let at = offset(cell, target);
        let others = out.as_registers().get(at).unwrap_or_default();
        out.set(at, others | registers[0]);
        return Ok(());
    }
    // A read may begin behind the point's first register, and end before its last: what is outside is left out.
    for (index, register) in registers[..count].iter().enumerate() {
        let at = cell.start() as usize + index;
        if let Some(at) = at.checked_sub(target.address.into()) {
            out.set(at, *register);
        }
    }
    Ok(())
}

/// A register whose bits are points can hold no others.
fn check_bits(cells: &[Cell], registers: &[u16], target: Target<'_>) -> Result<(), ExceptionCode> {
    let fits = |cell: &Cell| registers.get(offset(cell, target)).is_none_or(|register| register & !cell.bits == 0);
    if cells.iter().all(fits) { Ok(()) } else { Err(ExceptionCode::IllegalDataAddress) }
}

fn echo(call: &mut Call<'_>, length: usize) -> Reply {
    let pdu = call.pdu();
    call.respond_with(|out| {
        out[..length].copy_from_slice(&pdu[..length]);
        length
    })
}
