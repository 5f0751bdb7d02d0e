//! Points: what an application wants to know of a device, by name, with a type and a scale, instead of registers.
//!
//! ```no_run
//! use dinrail::point::Point;
//! use dinrail::proto::value::{DataType, Order};
//! use dinrail::{Area, Client};
//!
//! # async fn run() -> Result<(), dinrail::Error> {
//! let points = [
//!     Point::new("flow", Area::InputRegister, 8).with_type(DataType::F32).with_order(Order::Cdab).with_unit("m³/h"),
//!     Point::new("outside", Area::InputRegister, 12).with_type(DataType::I16).with_scale(0.1).with_unit("°C"),
//!     Point::new("pump", Area::Coil, 3),
//! ];
//! let client = Client::connect("plc").await?;
//! for (point, value) in points.iter().zip(client.read_points(&points).await) {
//!     println!("{point} = {}", value?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Many points become few requests: [`plan`] finds the cheapest blocks that hold them all, and a [`Reader`] learns which
//! of them a device refuses.

mod access;
mod deadband;
mod plan;
mod reader;

use std::fmt;

pub(crate) use self::access::{number, whole};
pub use self::deadband::Deadband;
pub use self::plan::{Block, Cost, Limits, Span, plan};
pub use self::reader::Reader;
use crate::Area;
use crate::proto::value::{DataType, Order};

/// One value of a device: where it is, and what it means.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// What it is called.
    pub name: String,
    /// The area that it lies in.
    pub area: Area,
    /// Its (first) address, from 0 as on the wire.
    pub address: u16,
    /// What its registers hold; a coil or discrete input is a bit whatever this says. `u16` unless set.
    pub data_type: DataType,
    /// The order of words and bytes; as the specification has it unless set.
    pub order: Order,
    /// What the number is multiplied with; a point with a scale or an offset is an `f64`. None unless set.
    pub scale: Option<f64>,
    /// What is added after that. None unless set.
    pub offset: Option<f64>,
    /// What it is measured in, for people. None unless set.
    pub unit: Option<String>,
    /// Changes that are too small to be told when it is [watched](crate::watch). None unless set.
    pub deadband: Deadband,
}

impl Point {
    /// The point of this name at this address.
    pub fn new(name: impl Into<String>, area: Area, address: u16) -> Self {
        Self {
            name: name.into(),
            area,
            address,
            data_type: DataType::U16,
            order: Order::default(),
            scale: None,
            offset: None,
            unit: None,
            deadband: Deadband::None,
        }
    }

    /// Sets [`data_type`](Self::data_type): an integer, a float, text of so many bytes, one bit of a register.
    #[must_use]
    pub fn with_type(mut self, data_type: DataType) -> Self {
        self.data_type = data_type;
        self
    }

    /// Sets [`order`](Self::order).
    #[must_use]
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets [`scale`](Self::scale): a register of 215 with a scale of 0.1 is 21.5.
    #[must_use]
    pub fn with_scale(mut self, scale: f64) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Sets [`offset`](Self::offset).
    #[must_use]
    pub fn with_offset(mut self, offset: f64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Sets [`unit`](Self::unit).
    #[must_use]
    pub fn with_unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// Sets [`deadband`](Self::deadband).
    #[must_use]
    pub fn with_deadband(mut self, deadband: Deadband) -> Self {
        self.deadband = deadband;
        self
    }

    /// Where it lies, and how many registers or bits it takes.
    pub fn span(&self) -> Span {
        Span { area: self.area, address: self.address, count: self.count() }
    }

    fn count(&self) -> u16 {
        if is_bits(self.area) { 1 } else { self.data_type.registers() as u16 } // 128 at most
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.unit {
            Some(unit) => write!(f, " [{unit}]"),
            None => Ok(()),
        }
    }
}

/// Whether an area holds bits, not registers.
fn is_bits(area: Area) -> bool {
    matches!(area, Area::Coil | Area::DiscreteInput)
}
