//! Unit ids: which device behind an address is meant.

use core::fmt;

/// The unit a frame is for: the slave address on a serial line, the unit identifier of MBAP on TCP.
///
/// On a serial line 0 is broadcast, 1 to 247 are devices and 248 to 255 are reserved (SL 2.2). On TCP a directly
/// attached server answers to 255 and to 0 (MG 4.4.1.2); there 0 is no broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(pub u8);

impl UnitId {
    /// Every unit of a shared line at once; executed, never answered (SL 2.1).
    pub const BROADCAST: Self = Self(0);
    /// The server at the other end of a TCP connection itself, not a device behind it (MG 4.4.1.2).
    pub const DIRECT: Self = Self(0xFF);

    /// Whether this addresses every unit of a serial line.
    pub const fn is_broadcast(self) -> bool {
        self.0 == 0
    }

    /// Whether a serial device may have this address (1 to 247).
    pub const fn is_serial_device(self) -> bool {
        matches!(self.0, 1..=247)
    }
}

impl From<u8> for UnitId {
    fn from(value: u8) -> Self {
        Self(value)
    }
}

impl From<UnitId> for u8 {
    fn from(value: UnitId) -> Self {
        value.0
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
