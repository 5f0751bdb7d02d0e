//! A dense store: four areas that begin at address 0, for simulators, tests and servers that do own their data.

use std::fmt;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Failure, Store, Target};
use crate::proto::pdu::{Bits, BitsMut, Registers, RegistersMut};
use crate::proto::{Area, ExceptionCode};

/// Four areas of a chosen size, each from address 0. A clone is another handle on the same store, so the application
/// can keep one and change values while the server serves them; a request sees all of a change or nothing of it.
#[derive(Clone)]
pub struct Memory(Arc<RwLock<Areas>>);

struct Areas {
    coils: Vec<bool>,
    discrete_inputs: Vec<bool>,
    holding_registers: Vec<u16>,
    input_registers: Vec<u16>,
}

impl Default for Memory {
    /// All 65536 addresses of each area, zero.
    fn default() -> Self {
        Self::with_sizes(0x1_0000, 0x1_0000, 0x1_0000, 0x1_0000)
    }
}

impl Memory {
    /// All 65536 addresses of each area, zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Areas of these sizes, in items, zero; at most 65536 each, what is beyond cannot be addressed.
    pub fn with_sizes(coils: usize, discrete_inputs: usize, holding_registers: usize, input_registers: usize) -> Self {
        let size = |items: usize| items.min(0x1_0000);
        Self(Arc::new(RwLock::new(Areas {
            coils: vec![false; size(coils)],
            discrete_inputs: vec![false; size(discrete_inputs)],
            holding_registers: vec![0; size(holding_registers)],
            input_registers: vec![0; size(input_registers)],
        })))
    }

    /// The bit or register at an address, bits as 0 and 1; `None` where there is none.
    pub fn value(&self, area: Area, address: u16) -> Option<u16> {
        let areas = self.read();
        let index = usize::from(address);
        if area.is_bits() {
            areas.bits(area).get(index).map(|bit| u16::from(*bit))
        } else {
            areas.registers(area).get(index).copied()
        }
    }

    /// Registers from `address` on; for the bit areas, bits as 0 and 1.
    ///
    /// # Errors
    /// [`ExceptionCode::IllegalDataAddress`] when the range ends outside the area.
    pub fn values(&self, area: Area, address: u16, count: usize) -> Result<Vec<u16>, ExceptionCode> {
        let areas = self.read();
        let range = usize::from(address)..usize::from(address) + count;
        if area.is_bits() {
            let bits = areas.bits(area).get(range).ok_or(ExceptionCode::IllegalDataAddress)?;
            Ok(bits.iter().map(|bit| u16::from(*bit)).collect())
        } else {
            Ok(areas.registers(area).get(range).ok_or(ExceptionCode::IllegalDataAddress)?.to_vec())
        }
    }

    /// Sets values from `address` on, in any area, at once; for the bit areas, everything but 0 is on.
    ///
    /// # Errors
    /// [`ExceptionCode::IllegalDataAddress`] when the range ends outside the area; nothing is set then.
    pub fn set(&self, area: Area, address: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        let mut areas = self.write();
        let range = usize::from(address)..usize::from(address) + values.len();
        if area.is_bits() {
            let bits = areas.bits_mut(area).get_mut(range).ok_or(ExceptionCode::IllegalDataAddress)?;
            bits.iter_mut().zip(values).for_each(|(bit, value)| *bit = *value != 0);
        } else {
            areas.registers_mut(area).get_mut(range).ok_or(ExceptionCode::IllegalDataAddress)?.copy_from_slice(values);
        }
        Ok(())
    }

    /// A panic while the lock was held leaves the areas as they were: every write is one copy.
    fn read(&self) -> RwLockReadGuard<'_, Areas> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Areas> {
        self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let areas = self.read();
        f.debug_struct("Memory")
            .field("coils", &areas.coils.len())
            .field("discrete_inputs", &areas.discrete_inputs.len())
            .field("holding_registers", &areas.holding_registers.len())
            .field("input_registers", &areas.input_registers.len())
            .finish()
    }
}

impl Areas {
    fn bits(&self, area: Area) -> &[bool] {
        if area == Area::Coil { &self.coils } else { &self.discrete_inputs }
    }

    fn bits_mut(&mut self, area: Area) -> &mut [bool] {
        if area == Area::Coil { &mut self.coils } else { &mut self.discrete_inputs }
    }

    fn registers(&self, area: Area) -> &[u16] {
        if area == Area::HoldingRegister { &self.holding_registers } else { &self.input_registers }
    }

    fn registers_mut(&mut self, area: Area) -> &mut [u16] {
        if area == Area::HoldingRegister { &mut self.holding_registers } else { &mut self.input_registers }
    }
}

fn in_range<T>(found: Option<T>) -> Result<T, Failure> {
    found.ok_or(Failure::Exception(ExceptionCode::IllegalDataAddress))
}

type Done = Result<(), Failure>;

impl Store for Memory {
    fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> Done {
        let areas = self.read();
        in_range(areas.bits(target.area).get(target.range())).map(|bits| {
            out.copy_from(bits);
        })
    }

    fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> Done {
        let areas = self.read();
        in_range(areas.registers(target.area).get(target.range())).map(|registers| {
            out.copy_from(registers);
        })
    }

    fn write_bits(&self, target: Target<'_>, values: Bits<'_>) -> Done {
        let mut areas = self.write();
        in_range(areas.bits_mut(target.area).get_mut(target.range())).map(|bits| {
            values.copy_to(bits);
        })
    }

    fn write_registers(&self, target: Target<'_>, values: Registers<'_>) -> Done {
        let mut areas = self.write();
        in_range(areas.registers_mut(target.area).get_mut(target.range())).map(|registers| {
            values.copy_to(registers);
        })
    }

    fn mask_write(&self, target: Target<'_>, and_mask: u16, or_mask: u16) -> Done {
        let mut areas = self.write();
        in_range(areas.holding_registers.get_mut(usize::from(target.address))).map(|register| {
            *register = (*register & and_mask) | (or_mask & !and_mask);
        })
    }

    fn read_write_registers(
        &self,
        read: Target<'_>,
        out: &mut RegistersMut<'_>,
        write: Target<'_>,
        values: Registers<'_>,
    ) -> Done {
        let mut areas = self.write();
        let registers = &mut areas.holding_registers;
        let there = registers.len();
        if read.range().end > there || write.range().end > there {
            return Err(ExceptionCode::IllegalDataAddress.into());
        }
        values.copy_to(&mut registers[write.range()]);
        out.copy_from(&registers[read.range()]);
        Ok(())
    }
}
