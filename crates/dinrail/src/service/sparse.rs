//! A store with gaps: only the addresses that were set exist, every other one is exception 0x02.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Failure, Store, Target};
use crate::proto::pdu::{Bits, BitsMut, Registers, RegistersMut};
use crate::proto::{Area, ExceptionCode};

/// A store of single addresses. A clone is another handle on the same store.
///
/// A client may write only to addresses that exist; the application brings addresses into being with [`set`](Self::set).
#[derive(Clone, Default)]
pub struct Sparse(Arc<RwLock<BTreeMap<(Area, u16), u16>>>);

impl Sparse {
    /// A store without any address.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets values from `address` on, making the addresses where there are none; for the bit areas, everything but 0 is
    /// on. Values that would lie behind address 65535 are left out.
    pub fn set(&self, area: Area, address: u16, values: &[u16]) {
        let mut cells = self.write();
        for (address, value) in (address..=u16::MAX).zip(values) {
            let value = if area.is_bits() { u16::from(*value != 0) } else { *value };
            cells.insert((area, address), value);
        }
    }

    /// Sets values from `address` on where there are addresses for all of them, in any area, at once; for the bit areas,
    /// everything but 0 is on.
    ///
    /// # Errors
    /// [`ExceptionCode::IllegalDataAddress`] when one of the addresses is not there; nothing is set then.
    pub fn update(&self, area: Area, address: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        let mut cells = self.write();
        let keys = (address..=u16::MAX).take(values.len()).map(|address| (area, address));
        if usize::from(address) + values.len() > 0x1_0000 || !keys.clone().all(|key| cells.contains_key(&key)) {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        for (key, value) in keys.zip(values) {
            cells.insert(key, if area.is_bits() { u16::from(*value != 0) } else { *value });
        }
        Ok(())
    }

    /// Takes addresses out of the store.
    pub fn remove(&self, area: Area, addresses: std::ops::RangeInclusive<u16>) {
        self.write().retain(|(at, address), _| *at != area || !addresses.contains(address));
    }

    /// The value at an address, bits as 0 and 1; `None` where there is none.
    pub fn value(&self, area: Area, address: u16) -> Option<u16> {
        self.read().get(&(area, address)).copied()
    }

    /// A panic while the lock was held cannot leave a request half done: ranges are checked before they are written.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<(Area, u16), u16>> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<(Area, u16), u16>> {
        self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn load(&self, target: Target<'_>, mut set: impl FnMut(usize, u16)) -> Done {
        let cells = self.read();
        check(&cells, target)?;
        for (index, (_, value)) in cells.range(keys(target)).enumerate() {
            set(index, *value);
        }
        Ok(())
    }

    fn store(&self, target: Target<'_>, mut value: impl FnMut(usize) -> Option<u16>) -> Done {
        let mut cells = self.write();
        check(&cells, target)?;
        for (index, (_, cell)) in cells.range_mut(keys(target)).enumerate() {
            *cell = value(index).unwrap_or(*cell);
        }
        Ok(())
    }
}

impl fmt::Debug for Sparse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sparse({} addresses)", self.read().len())
    }
}

type Done = Result<(), Failure>;

/// The keys of a range; its end is at most 65535 by the check of the request.
fn keys(target: Target<'_>) -> std::ops::RangeInclusive<(Area, u16)> {
    let last = target.address + (target.count - 1);
    (target.area, target.address)..=(target.area, last)
}

/// Every address of the range must exist.
fn check(cells: &BTreeMap<(Area, u16), u16>, target: Target<'_>) -> Done {
    if cells.range(keys(target)).count() == usize::from(target.count) {
        Ok(())
    } else {
        Err(ExceptionCode::IllegalDataAddress.into())
    }
}

impl Store for Sparse {
    fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> Done {
        self.load(target, |index, value| out.set(index, value != 0))
    }

    fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> Done {
        self.load(target, |index, value| out.set(index, value))
    }

    fn write_bits(&self, target: Target<'_>, values: Bits<'_>) -> Done {
        self.store(target, |index| values.get(index).map(u16::from))
    }

    fn write_registers(&self, target: Target<'_>, values: Registers<'_>) -> Done {
        self.store(target, |index| values.get(index))
    }

    fn mask_write(&self, target: Target<'_>, and_mask: u16, or_mask: u16) -> Done {
        let mut cells = self.write();
        match cells.get_mut(&(target.area, target.address)) {
            Some(cell) => {
                *cell = (*cell & and_mask) | (or_mask & !and_mask);
                Ok(())
            }
            None => Err(ExceptionCode::IllegalDataAddress.into()),
        }
    }

    fn read_write_registers(
        &self,
        read: Target<'_>,
        out: &mut RegistersMut<'_>,
        write: Target<'_>,
        values: Registers<'_>,
    ) -> Done {
        let mut cells = self.write();
        let checked = check(&cells, read).and_then(|()| check(&cells, write));
        if checked.is_ok() {
            for ((_, cell), value) in cells.range_mut(keys(write)).zip(values.iter()) {
                *cell = value;
            }
            for (index, (_, value)) in cells.range(keys(read)).enumerate() {
                out.set(index, *value);
            }
        }
        checked
    }
}
