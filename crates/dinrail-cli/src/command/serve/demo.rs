//! Values that move, so that somebody who is new to Modbus has something to look at.

use std::f64::consts::TAU;
use std::time::Duration;

use dinrail::proto::Area;
use dinrail::proto::value::{DataType, Order, Text, Value};
use dinrail::service::Memory;

/// How often the values are set.
pub(super) const STEP: Duration = Duration::from_millis(100);

/// What stands where, for the help text and for the start of `serve --demo`.
pub(super) const TABLE: &str = "\
ir:0   i16    a sine from -1000 to 1000, one turn in 10 s
ir:1   u16    a ramp from 0 to 999, one rise in 10 s
ir:2   u32    seconds since 1970
ir:4   u32    seconds since the start
ir:6   f32    a temperature around 21.5
ir:8   u64    how often the values were set
ir:12  str:8  \"dinrail\"
di:0   bits   di:0 to di:7 blink, each half as fast as the one before
hr:0 to hr:15 and co:0 to co:7 hold the same as ir: and di:. What is written behind them stays.";

/// Sets everything that moves as it is `uptime` after the start and `unix` after the beginning of 1970.
pub(super) fn set(memory: &Memory, uptime: Duration, unix: Duration) {
    let (registers, bits) = (registers(uptime, unix), bits(uptime));
    let areas = [
        (Area::InputRegister, &registers[..]),
        (Area::HoldingRegister, &registers),
        (Area::DiscreteInput, &bits),
        (Area::Coil, &bits),
    ];
    for (area, values) in areas {
        memory.set(area, 0, values).expect("the store has all 65536 addresses");
    }
}

fn registers(uptime: Duration, unix: Duration) -> [u16; 16] {
    let seconds = uptime.as_secs_f64();
    let turn = seconds / 10.0;
    let steps = uptime.as_millis() / STEP.as_millis();
    let name = Text::new("dinrail").expect("seven bytes are less than 255");
    let values = [
        (0, DataType::I16, Value::I16((1000.0 * (TAU * turn).sin()).round() as i16)),
        (1, DataType::U16, Value::U16((turn.fract() * 1000.0) as u16)),
        (2, DataType::U32, Value::U32(unix.as_secs() as u32)), // until the year 2106
        (4, DataType::U32, Value::U32(uptime.as_secs() as u32)),
        (6, DataType::F32, Value::F32(temperature(seconds))),
        (8, DataType::U64, Value::U64(steps as u64)),
        (12, DataType::Text(8), Value::Text(name)),
    ];
    let mut registers = [0; 16];
    for (at, data_type, value) in values {
        let room = &mut registers[at..];
        data_type.encode(&value, Order::Abcd, room).expect("each value has its type, and 16 registers hold them all");
    }
    registers
}

/// Swings by a degree in a minute, and by a tenth a little faster; with two digits, as a sensor has it.
fn temperature(seconds: f64) -> f32 {
    let degrees = 21.5 + (TAU * seconds / 60.0).sin() + 0.1 * (TAU * seconds / 7.0).sin();
    ((degrees * 100.0).round() / 100.0) as f32
}

/// A binary counter of half seconds, lowest bit first.
fn bits(uptime: Duration) -> [u16; 8] {
    let halves = uptime.as_millis() / 500;
    std::array::from_fn(|bit| (halves >> bit & 1) as u16)
}

#[cfg(test)]
mod tests {
    use dinrail::proto::pdu::Registers;

    use super::*;

    fn value(memory: &Memory, data_type: DataType, address: u16) -> Value {
        let registers = memory.values(Area::InputRegister, address, data_type.registers()).expect("in range");
        data_type.decode(Order::Abcd, Registers::from(&registers[..])).expect("enough registers")
    }

    #[test]
    fn everything_stands_where_the_table_says() {
        let memory = Memory::new();
        set(&memory, Duration::from_millis(2500), Duration::from_secs(1_700_000_000));
        assert_eq!(value(&memory, DataType::I16, 0), Value::I16(1000), "a quarter turn");
        assert_eq!(value(&memory, DataType::U16, 1), Value::U16(250));
        assert_eq!(value(&memory, DataType::U32, 2), Value::U32(1_700_000_000));
        assert_eq!(value(&memory, DataType::U32, 4), Value::U32(2));
        assert_eq!(value(&memory, DataType::F32, 6), Value::F32(temperature(2.5)));
        assert_eq!(value(&memory, DataType::U64, 8), Value::U64(25));
        assert_eq!(value(&memory, DataType::Text(8), 12).to_string(), "dinrail");
        let blinking = memory.values(Area::Coil, 0, 8).expect("in range");
        assert_eq!(blinking, [1, 0, 1, 0, 0, 0, 0, 0], "five half seconds");
        assert_eq!(
            memory.values(Area::HoldingRegister, 0, 16).expect("in range"),
            memory.values(Area::InputRegister, 0, 16).expect("in range")
        );
    }
}
