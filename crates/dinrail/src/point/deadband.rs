//! Changes that are too small to matter.

use super::Point;
use super::access::number;
use crate::proto::value::Value;

/// How far a number must move to have changed. It counts from the value that was told last, so that a slow drift is told
/// as well; bits and text change whenever they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Deadband {
    /// Any change is one.
    #[default]
    None,
    /// By more than this, in the point's unit, after its scale and offset.
    Absolute(f64),
    /// By more than so many percent of the value that was told last.
    Percent(f64),
}

impl Point {
    /// Whether `value` is something else than what was told last.
    pub(crate) fn differs(&self, value: &Value, told: &Value) -> bool {
        let (Some(now), Some(then)) = (number(value), number(told)) else { return value != told };
        if now.is_nan() || then.is_nan() {
            return now.is_nan() != then.is_nan();
        }
        let moved = (now - then).abs();
        match self.deadband {
            // Integers of 64 bits differ in more digits than a float has.
            Deadband::None => value != told,
            // A band that is no number hides nothing, and neither does a way from one infinity to the other.
            Deadband::Absolute(band) => moved > band || (band.is_nan() && value != told),
            Deadband::Percent(percent) => {
                let band = then.abs() * percent / 100.0;
                moved > band || ((band.is_nan() || band.is_infinite()) && value != told)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Area;

    #[test]
    fn what_is_a_change_and_what_is_not() {
        let table = [
            (Deadband::None, Value::U64(u64::MAX), Value::U64(u64::MAX - 1), true),
            (Deadband::None, Value::U16(5), Value::U16(5), false),
            (Deadband::None, Value::F32(f32::NAN), Value::F32(f32::NAN), false),
            (Deadband::Absolute(1.0), Value::F32(f32::NAN), Value::F32(1.0), true),
            (Deadband::Absolute(1.0), Value::F64(3.0), Value::F64(2.0), false),
            (Deadband::Absolute(1.0), Value::F64(0.9), Value::F64(2.0), true),
            (Deadband::Absolute(1.0), Value::Bit(true), Value::Bit(false), true),
            (Deadband::Absolute(1.0), Value::F64(f64::INFINITY), Value::F64(f64::INFINITY), false),
            (Deadband::Absolute(f64::NAN), Value::U16(9), Value::U16(1), true),
            (Deadband::Percent(10.0), Value::I16(-110), Value::I16(-100), false),
            (Deadband::Percent(10.0), Value::I16(-111), Value::I16(-100), true),
            (Deadband::Percent(10.0), Value::U16(1), Value::U16(0), true),
        ];
        for (deadband, now, then, expected) in table {
            let point = Point::new("p", Area::HoldingRegister, 0).with_deadband(deadband);
            assert_eq!(point.differs(&now, &then), expected, "{deadband:?} {now:?} {then:?}");
        }
    }
}
