//! Which units a server answers for.

use core::fmt;

use crate::UnitId;

/// A set of unit ids.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Units([u64; 4]);

impl Units {
    /// Every unit: a server that has its line for itself, or one on TCP that decides by unit later.
    pub const ALL: Self = Self([u64::MAX; 4]);
    /// No unit; a server of none hears broadcasts only.
    pub const NONE: Self = Self([0; 4]);

    /// Whether `unit` is one of them.
    #[inline]
    pub const fn contains(&self, unit: UnitId) -> bool {
        self.0[(unit.0 >> 6) as usize] >> (unit.0 & 63) & 1 == 1
    }

    /// Adds a unit.
    pub const fn insert(&mut self, unit: UnitId) {
        self.0[(unit.0 >> 6) as usize] |= 1 << (unit.0 & 63);
    }

    /// Takes a unit away.
    pub const fn remove(&mut self, unit: UnitId) {
        self.0[(unit.0 >> 6) as usize] &= !(1 << (unit.0 & 63));
    }

    /// The units, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = UnitId> + use<> {
        let this = *self;
        (0..=u8::MAX).map(UnitId).filter(move |unit| this.contains(*unit))
    }
}

impl From<UnitId> for Units {
    fn from(unit: UnitId) -> Self {
        [unit].into_iter().collect()
    }
}

impl FromIterator<UnitId> for Units {
    fn from_iter<I: IntoIterator<Item = UnitId>>(units: I) -> Self {
        units.into_iter().fold(Self::NONE, |mut set, unit| {
            set.insert(unit);
            set
        })
    }
}

impl fmt::Debug for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("Units(all)");
        }
        f.write_str("Units")?;
        f.debug_set().entries(self.iter().map(u8::from)).finish()
    }
}
