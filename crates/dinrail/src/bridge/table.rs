//! Which point lies where: checked when the table is made, and found by one search when a request comes.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::closure::{Read, Reading, Takes, Write, Writing};
use super::upstream::{AnyUpstream, Upstream};
use crate::point::Point;
use crate::proto::value::{DataType, MAX_TEXT, Order, Value};
use crate::{Area, ExceptionCode};

/// A point, and how it is read and written.
pub(super) struct Bound {
    pub(super) point: Point,
    pub(super) read: Option<Read>,
    pub(super) write: Option<Write>,
    /// Held by who writes it.
    pub(super) turn: Mutex<()>,
}

impl Bound {
    pub(super) fn reads_now(&self) -> bool {
        matches!(self.read, None | Some(Read::Now(_)))
    }

    /// The bit of the register on the wire that it is, if it is one.
    pub(super) fn mask(&self) -> Option<u16> {
        match (self.point.area.is_bits(), self.point.data_type) {
            (false, DataType::Bit(bit @ 0..=15)) => {
                let swapped = matches!(self.point.order, Order::Badc | Order::Dcba);
                Some(1 << if swapped { bit ^ 8 } else { bit })
            }
            _ => None,
        }
    }
}

/// Addresses that belong together: those of one point, or a register whose bits are points.
pub(super) struct Cell {
    address: u16,
    count: u16,
    /// The first of its points, which stand one behind the other.
    first: usize,
    points: usize,
    /// The bits of the register that are points; all of them for one that is a point itself.
    pub(super) bits: u16,
}

impl Cell {
    pub(super) fn start(&self) -> u32 {
        self.address.into()
    }

    pub(super) fn end(&self) -> u32 {
        self.start() + u32::from(self.count)
    }
}

/// The points of all areas, by address.
pub(super) struct Table {
    bound: Vec<Bound>,
    cells: [Vec<Cell>; 4],
    partial_reads: bool,
}

impl Table {
    pub(super) fn builder() -> Builder {
        Builder { bound: Vec::new(), partial_reads: false, takes: Vec::new() }
    }

    pub(super) fn points(&self) -> impl Iterator<Item = &Point> + '_ {
        self.bound.iter().map(|bound| &bound.point)
    }

    /// The points of a cell.
    pub(super) fn of(&self, cell: &Cell) -> &[Bound] {
        &self.bound[cell.first..cell.first + cell.points]
    }

    /// The cells that a read touches.
    pub(super) fn to_read(&self, area: Area, address: u16, count: u16) -> Result<&[Cell], ExceptionCode> {
        let cells = self.cells(area, address, count)?;
        let whole = self.partial_reads || are_whole(cells, address, count);
        let readable = || cells.iter().flat_map(|cell| self.of(cell)).all(|bound| bound.read.is_some());
        if whole && readable() { Ok(cells) } else { Err(ExceptionCode::IllegalDataAddress) }
    }

    /// The cells that a write fills.
    pub(super) fn to_write(&self, area: Area, address: u16, count: u16) -> Result<&[Cell], ExceptionCode> {
        let cells = self.cells(area, address, count)?;
        let writable = || cells.iter().flat_map(|cell| self.of(cell)).all(|bound| bound.write.is_some());
        if are_whole(cells, address, count) && writable() { Ok(cells) } else { Err(ExceptionCode::IllegalDataAddress) }
    }

    /// The cells of a range without gaps; the first and the last may stand out.
    pub(super) fn cells(&self, area: Area, address: u16, count: u16) -> Result<&[Cell], ExceptionCode> {
        let cells = &self.cells[place(area)];
        let (mut at, end) = (u32::from(address), u32::from(address) + u32::from(count));
        let first = cells.partition_point(|cell| cell.end() <= at);
        let mut last = first;
        while at < end {
            match cells.get(last) {
                Some(cell) if cell.start() <= at => at = cell.end(),
                _ => return Err(ExceptionCode::IllegalDataAddress),
            }
            last += 1;
        }
        Ok(&cells[first..last])
    }
}

fn are_whole(cells: &[Cell], address: u16, count: u16) -> bool {
    let end = u32::from(address) + u32::from(count);
    cells.first().is_some_and(|cell| cell.start() == u32::from(address)) && cells.last().is_some_and(|c| c.end() == end)
}

fn place(area: Area) -> usize {
    match area {
        Area::Coil => 0,
        Area::DiscreteInput => 1,
        Area::HoldingRegister => 2,
        Area::InputRegister => 3,
    }
}

/// Collects points.
pub(super) struct Builder {
    bound: Vec<Bound>,
    /// Of points that closures write, by index: whether the closure takes them.
    takes: Vec<(usize, Takes)>,
    partial_reads: bool,
}

impl Builder {
    pub(super) fn bind(&mut self, point: Point, read: Option<Reading>, write: Option<Writing>) {
        if let Some(write) = &write {
            self.takes.push((self.bound.len(), write.takes));
        }
        self.push(point, read.map(|read| read.0), write.map(|write| write.write));
    }

    pub(super) fn attach(&mut self, points: impl IntoIterator<Item = Point>, upstream: impl Upstream, writable: bool) {
        let upstream: Arc<dyn AnyUpstream> = Arc::new(upstream);
        for point in points {
            self.push(point, Some(Read::Later(upstream.clone())), writable.then(|| Write::Later(upstream.clone())));
        }
    }

    fn push(&mut self, point: Point, read: Option<Read>, write: Option<Write>) {
        self.bound.push(Bound { point, read, write, turn: Mutex::new(()) });
    }

    pub(super) fn partial_reads(&mut self, allowed: bool) {
        self.partial_reads = allowed;
    }

    /// The table, or a sentence that says which point cannot be in it.
    pub(super) fn build(mut self) -> Result<Table, String> {
        for bound in &self.bound {
            check(&bound.point, bound.write.is_some())?;
        }
        for (index, (is_taken, what)) in &self.takes {
            let point = &self.bound[*index].point;
            let zeros = if point.area.is_bits() {
                Value::Bit(false)
            } else {
                let registers = vec![0; point.data_type.registers()];
                point.decode(&registers).map_err(|error| error.to_string())?
            };
            if !is_taken(&zeros) {
                let Point { name, data_type, .. } = point;
                let data_type = if point.area.is_bits() { &DataType::Bit(0) } else { data_type };
                return Err(format!("point {name} is a {data_type}, and the closure that writes it takes {what}"));
            }
        }
        self.bound
            .sort_by_key(|bound| (place(bound.point.area), bound.point.address, bound.mask().map(u16::trailing_zeros)));
        let mut cells = [const { Vec::<Cell>::new() }; 4];
        for (index, bound) in self.bound.iter().enumerate() {
            let Point { area, address, .. } = bound.point;
            let (cells, mask) = (&mut cells[place(area)], bound.mask());
            match (cells.last_mut(), mask) {
                (Some(last), Some(mask)) if last.address == address && last.count == 1 && last.bits & mask == 0 => {
                    last.points += 1;
                    last.bits |= mask;
                }
                (Some(last), _) if last.end() > u32::from(address) => {
                    let other = &self.bound[last.first + last.points - 1].point;
                    let (one, two) = (&other.name, &bound.point.name);
                    return Err(format!("points {one} and {two} overlap at {area} {address}: move one of them"));
                }
                _ => {
                    let count = bound.point.span().count;
                    let bits = mask.unwrap_or(u16::MAX);
                    cells.push(Cell { address, count, first: index, points: 1, bits });
                }
            }
        }
        Ok(Table { bound: self.bound, cells, partial_reads: self.partial_reads })
    }
}

/// Whether a point can be served at all.
fn check(point: &Point, writable: bool) -> Result<(), String> {
    let Point { name, area, address, data_type, scale, offset, .. } = point;
    if writable && !area.is_writable() {
        return Err(format!("point {name} is written, and no {area} can be: bind it as one that is only read"));
    }
    if area.is_bits() {
        return Ok(());
    }
    // What one request carries.
    let most = if writable { 2 * Area::HoldingRegister.max_write() as u8 } else { MAX_TEXT };
    match data_type {
        DataType::Bit(16..) => return Err(format!("point {name}: a register has bits 0 to 15, and no {data_type}")),
        DataType::Text(length) if *length == 0 || *length > most => {
            return Err(format!("point {name}: one request carries text of 1 to {most} bytes, and no {data_type}"));
        }
        _ => {}
    }
    if scale.is_some_and(|scale| !scale.is_normal()) || offset.is_some_and(|offset| !offset.is_finite()) {
        return Err(format!("point {name}: a scale is a number other than 0, and an offset is a number"));
    }
    let registers = data_type.registers();
    if usize::from(*address) + registers > 0x1_0000 {
        return Err(format!("point {name}: {registers} registers from {area} {address} end behind the last, 65535"));
    }
    Ok(())
}
