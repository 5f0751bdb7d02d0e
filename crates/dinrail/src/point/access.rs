//! Values of points, out of registers and back into them; and single points by name on a [`Client`].

use std::sync::Arc;

use super::{Point, is_bits};
use crate::proto::pdu::Registers;
use crate::proto::value::{DataType, Value, ValueError};
use crate::{Area, Client, Error};

impl Point {
    /// Its value in registers that begin with its first.
    pub(crate) fn decode(&self, registers: &[u16]) -> Result<Value, Error> {
        let value = self.data_type.decode(self.order, Registers::from(registers)).map_err(|error| self.error(error))?;
        Ok(match number(&value) {
            Some(raw) if self.is_scaled() => Value::F64(raw * self.scale.unwrap_or(1.0) + self.offset.unwrap_or(0.0)),
            _ => value,
        })
    }

    /// The registers that hold `value`.
    fn encode(&self, value: &Value) -> Result<Vec<u16>, Error> {
        let mut registers = vec![0; self.data_type.registers()];
        self.encode_into(value, &mut registers)?;
        Ok(registers)
    }

    /// Writes the registers that hold `value` to the first of `out`, and returns how many.
    pub(crate) fn encode_into(&self, value: &Value, out: &mut [u16]) -> Result<usize, Error> {
        let encoded = self.raw(value).and_then(|raw| self.data_type.encode(&raw, self.order, out));
        encoded.map_err(|error| self.error(error))
    }

    /// `value` as the device has it: of the point's type, without scale and offset.
    fn raw(&self, value: &Value) -> Result<Value, ValueError> {
        match (number(value), whole(value)) {
            (Some(number), _) if self.is_scaled() => {
                let raw = (number - self.offset.unwrap_or(0.0)) / self.scale.unwrap_or(1.0);
                if self.is_float() { self.real(raw) } else { self.rounded(raw) }
            }
            (_, Some(whole)) if !self.is_float() => self.integer(whole),
            (Some(number), _) if self.is_float() => self.real(number),
            (Some(number), _) if number.fract() == 0.0 => self.rounded(number),
            (Some(_), _) => Err(ValueError::NoInteger(self.data_type)),
            (None, _) => Ok(*value),
        }
    }

    fn is_float(&self) -> bool {
        matches!(self.data_type, DataType::F32 | DataType::F64)
    }

    fn real(&self, number: f64) -> Result<Value, ValueError> {
        match self.data_type {
            // A number must not become infinite on its way.
            DataType::F32 if number.is_finite() && !(number as f32).is_finite() => {
                Err(ValueError::OutOfRange(DataType::F32))
            }
            DataType::F32 => Ok(Value::F32(number as f32)),
            DataType::F64 => Ok(Value::F64(number)),
            expected => Err(ValueError::Mismatch { expected }),
        }
    }

    /// The nearest whole number.
    fn rounded(&self, number: f64) -> Result<Value, ValueError> {
        let whole = number.round();
        // Within these every float is a whole number that is converted exactly; beyond them no type holds it.
        if (-1e30..1e30).contains(&whole) {
            self.integer(whole as i128)
        } else {
            Err(ValueError::OutOfRange(self.data_type))
        }
    }

    fn integer(&self, whole: i128) -> Result<Value, ValueError> {
        let fits = match self.data_type {
            DataType::U16 => u16::try_from(whole).map(Value::U16),
            DataType::I16 => i16::try_from(whole).map(Value::I16),
            DataType::U32 => u32::try_from(whole).map(Value::U32),
            DataType::I32 => i32::try_from(whole).map(Value::I32),
            DataType::U64 => u64::try_from(whole).map(Value::U64),
            DataType::I64 => i64::try_from(whole).map(Value::I64),
            expected => return Err(ValueError::Mismatch { expected }),
        };
        fits.map_err(|_| ValueError::OutOfRange(self.data_type))
    }

    fn is_scaled(&self) -> bool {
        self.scale.is_some() || self.offset.is_some()
    }

    pub(super) fn error(&self, source: ValueError) -> Error {
        Error::Point { name: Arc::from(&*self.name), source }
    }
}

/// A number as a float; bits and text are none. Integers beyond 2^53 lose their last digits.
pub(crate) fn number(value: &Value) -> Option<f64> {
    Some(match *value {
        Value::U16(value) => value.into(),
        Value::I16(value) => value.into(),
        Value::U32(value) => value.into(),
        Value::I32(value) => value.into(),
        Value::U64(value) => value as f64,
        Value::I64(value) => value as f64,
        Value::F32(value) => value.into(),
        Value::F64(value) => value,
        _ => return None,
    })
}

/// A whole number, exactly.
pub(crate) fn whole(value: &Value) -> Option<i128> {
    Some(match *value {
        Value::U16(value) => value.into(),
        Value::I16(value) => value.into(),
        Value::U32(value) => value.into(),
        Value::I32(value) => value.into(),
        Value::U64(value) => value.into(),
        Value::I64(value) => value.into(),
        _ => return None,
    })
}

impl Client {
    /// Reads one point.
    ///
    /// # Errors
    /// As reads of its area, and [`Error::Point`] when its type is none.
    pub async fn read_point(&self, point: &Point) -> Result<Value, Error> {
        let count = point.span().count;
        match point.area {
            Area::Coil => Ok(Value::Bit(self.read_coils(point.address, 1).await?[0])),
            Area::DiscreteInput => Ok(Value::Bit(self.read_discrete_inputs(point.address, 1).await?[0])),
            Area::HoldingRegister => point.decode(&self.read_holding_registers(point.address, count).await?),
            Area::InputRegister => point.decode(&self.read_input_registers(point.address, count).await?),
        }
    }

    /// Writes one point: a coil, registers, or one bit of a register by FC 22, which leaves the others alone. A number is
    /// taken for a point of any type that holds it; with a scale or an offset it is rounded to the nearest that does.
    ///
    /// # Errors
    /// [`Error::Point`] for a value that the point's type does not hold, exception 0x01 (and nothing sent) for a point of
    /// an area that cannot be written, and as writes of its area.
    pub async fn write_point(&self, point: &Point, value: impl Into<Value>) -> Result<(), Error> {
        let value = value.into();
        match (point.area, point.data_type, &value) {
            (Area::DiscreteInput | Area::InputRegister, ..) => {
                Err(Error::Exception(crate::ExceptionCode::IllegalFunction))
            }
            (Area::Coil, _, Value::Bit(on)) => self.write_coil(point.address, *on).await,
            (Area::Coil, ..) => Err(point.error(ValueError::NoBit)),
            (Area::HoldingRegister, DataType::Bit(bit @ 0..=15), Value::Bit(on)) => {
                let bit = if point.order.is_byte_swapped() { bit ^ 8 } else { bit };
                let (and_mask, or_mask) = (!(1 << bit), u16::from(*on) << bit);
                self.mask_write_register(point.address, and_mask, or_mask).await
            }
            (Area::HoldingRegister, ..) => match point.encode(&value)?[..] {
                [register] => self.write_register(point.address, register).await,
                ref registers => self.write_registers(point.address, registers).await,
            },
        }
    }
}

/// Bits of an area of bits, registers of the others.
pub(super) enum Content {
    Bits(Vec<bool>),
    Registers(Vec<u16>),
}

impl Content {
    /// The value of a point whose first register or bit is this one.
    pub(super) fn value(&self, point: &Point, at: usize) -> Result<Value, Error> {
        match self {
            Self::Bits(bits) => Ok(Value::Bit(bits[at])),
            Self::Registers(registers) => point.decode(&registers[at..]),
        }
    }

    pub(super) async fn read(client: &Client, area: Area, address: u16, count: u16) -> Result<Self, Error> {
        debug_assert_eq!(is_bits(area), matches!(area, Area::Coil | Area::DiscreteInput));
        match area {
            Area::Coil => client.read_coils(address, count).await.map(Self::Bits),
            Area::DiscreteInput => client.read_discrete_inputs(address, count).await.map(Self::Bits),
            Area::HoldingRegister => client.read_holding_registers(address, count).await.map(Self::Registers),
            Area::InputRegister => client.read_input_registers(address, count).await.map(Self::Registers),
        }
    }
}
