//! The data set of the suite, as `interop/harness/dataset.py` states it.

use std::collections::BTreeMap;
use std::ops::Range;

/// The units that are there.
pub const UNITS: [u8; 2] = [1, 2];
/// Cells of each kind in each unit.
pub const SIZE: usize = 1000;
/// The function code that answers with the request's bytes in reverse order.
pub const CUSTOM_CODE: u8 = 0x42;
/// What FC 7 reports.
pub const EXCEPTION_STATUS: u8 = 0x6D;
/// What FC 17 reports first.
pub const SERVER_ID: u8 = 0x11;
/// What FC 17 reports last.
pub const SERVER_ADDITIONAL: &[u8] = b"pump";

/// The cells of one unit.
#[derive(Debug, Clone)]
pub struct Cells {
    /// Read by FC 1; written by FC 5 and 15.
    pub coils: Vec<bool>,
    /// Read by FC 2.
    pub discretes: Vec<bool>,
    /// Read by FC 3; written by FC 6, 16, 22, 23.
    pub holdings: Vec<u16>,
    /// Read by FC 4.
    pub inputs: Vec<u16>,
}

impl Cells {
    /// The untouched cells of a unit, 1 or more.
    #[must_use]
    pub fn of_unit(unit: u8) -> Self {
        let (shift, first) = (usize::from(unit) - 1, u16::from(unit));
        Self {
            coils: (0..SIZE).map(|a| (a + shift) % 3 == 0).collect(),
            discretes: (0..SIZE).map(|a| (a + shift) % 5 == 0).collect(),
            holdings: (0..1000).map(|a: u16| a * 7 + first).collect(),
            inputs: (0..1000).map(|a: u16| a * 3 + 1 + first).collect(),
        }
    }
}

/// The cells `address..address + count` as a range, if there are that many.
#[must_use]
pub fn range(address: u16, count: usize) -> Option<Range<usize>> {
    let start = usize::from(address);
    (start + count <= SIZE).then_some(start..start + count)
}

/// Queues, by the register that counts them. They have nothing to do with the holding registers.
pub const FIFOS: [(u16, &[u16]); 2] = [(20, &[11, 22, 33]), (21, &[])];

/// The untouched files: four of them, with a hundred registers each.
#[must_use]
pub fn files() -> BTreeMap<u16, Vec<u16>> {
    (1..=4).map(|file| (file, (0..100).map(|record| file * 256 + record).collect())).collect()
}

/// The device identification objects, in order.
#[must_use]
pub fn identity() -> Vec<(u8, String)> {
    vec![
        (0x00, "dinrail".to_owned()),
        (0x01, "interop".to_owned()),
        (0x02, "1.0".to_owned()),
        (0x04, "peer".to_owned()),
        (0x80, "a".repeat(120)),
        (0x81, "b".repeat(120)),
        (0x82, "c".repeat(120)),
    ]
}
