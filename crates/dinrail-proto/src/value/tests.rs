//! Known values in every order, round trips, and what is refused.

extern crate std;

use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::{DataType, Order, Text, Value, ValueError};
use crate::pdu::Registers;

const NUMBERS: [DataType; 8] = [
    DataType::U16,
    DataType::I16,
    DataType::U32,
    DataType::I32,
    DataType::U64,
    DataType::I64,
    DataType::F32,
    DataType::F64,
];

fn decode(data_type: DataType, order: Order, registers: &[u16]) -> Value {
    data_type.decode(order, Registers::from(registers)).expect("enough registers")
}

fn encode(data_type: DataType, order: Order, value: Value) -> Vec<u16> {
    let mut out = std::vec![0xEEEE; data_type.registers()];
    let written = data_type.encode(&value, order, &mut out).expect("a value of the type");
    assert_eq!(written, data_type.registers());
    out
}

fn text(text: &str) -> Value {
    Value::Text(Text::new(text).expect("short enough"))
}

#[test]
fn known_values_in_every_order() {
    use DataType::*;
    let table: &[(DataType, Value, [&[u16]; 4])] = &[
        (U16, Value::U16(0xAABB), [&[0xAABB], &[0xAABB], &[0xBBAA], &[0xBBAA]]),
        (I16, Value::I16(-2), [&[0xFFFE], &[0xFFFE], &[0xFEFF], &[0xFEFF]]),
        (U32, Value::U32(0xAABB_CCDD), [&[0xAABB, 0xCCDD], &[0xCCDD, 0xAABB], &[0xBBAA, 0xDDCC], &[0xDDCC, 0xBBAA]]),
        (I32, Value::I32(-2), [&[0xFFFF, 0xFFFE], &[0xFFFE, 0xFFFF], &[0xFFFF, 0xFEFF], &[0xFEFF, 0xFFFF]]),
        (
            U64,
            Value::U64(0x0123_4567_89AB_CDEF),
            [
                &[0x0123, 0x4567, 0x89AB, 0xCDEF],
                &[0xCDEF, 0x89AB, 0x4567, 0x0123],
                &[0x2301, 0x6745, 0xAB89, 0xEFCD],
                &[0xEFCD, 0xAB89, 0x6745, 0x2301],
            ],
        ),
        (I64, Value::I64(i64::MIN), [&[0x8000, 0, 0, 0], &[0, 0, 0, 0x8000], &[0x80, 0, 0, 0], &[0, 0, 0, 0x80]]),
        (F32, Value::F32(21.5), [&[0x41AC, 0], &[0, 0x41AC], &[0xAC41, 0], &[0, 0xAC41]]),
        (F32, Value::F32(-0.0), [&[0x8000, 0], &[0, 0x8000], &[0x80, 0], &[0, 0x80]]),
        (F32, Value::F32(f32::INFINITY), [&[0x7F80, 0], &[0, 0x7F80], &[0x807F, 0], &[0, 0x807F]]),
        (F64, Value::F64(1.0), [&[0x3FF0, 0, 0, 0], &[0, 0, 0, 0x3FF0], &[0xF03F, 0, 0, 0], &[0, 0, 0, 0xF03F]]),
        (Text(4), text("abcd"), [&[0x6162, 0x6364], &[0x6162, 0x6364], &[0x6261, 0x6463], &[0x6261, 0x6463]]),
        (Text(4), text("ab"), [&[0x6162, 0], &[0x6162, 0], &[0x6261, 0], &[0x6261, 0]]),
        (Text(3), text("abc"), [&[0x6162, 0x6300], &[0x6162, 0x6300], &[0x6261, 0x0063], &[0x6261, 0x0063]]),
    ];
    for (data_type, value, per_order) in table {
        for (order, registers) in Order::ALL.into_iter().zip(per_order) {
            assert_eq!(decode(*data_type, order, registers), *value, "{data_type} {order}");
            assert_eq!(encode(*data_type, order, *value), *registers, "{data_type} {order}");
        }
    }
}

#[test]
fn a_bit_leaves_its_neighbours_alone() {
    for bit in 0..16 {
        for order in Order::ALL {
            let data_type = DataType::Bit(bit);
            let only = order.register(1 << bit);
            assert_eq!(decode(data_type, order, &[only]), Value::Bit(true));
            assert_eq!(decode(data_type, order, &[!only]), Value::Bit(false));
            let mut register = [0xA5A5];
            data_type.encode(&Value::Bit(true), order, &mut register).expect("a bit");
            assert_eq!(register, [0xA5A5 | only]);
            data_type.encode(&Value::Bit(false), order, &mut register).expect("a bit");
            assert_eq!(register, [0xA5A5 & !only]);
        }
    }
}

#[test]
fn text_ends_at_its_filling_and_cannot_steer_a_terminal() {
    let read = |registers: &[u16], length| decode(DataType::Text(length), Order::Abcd, registers).to_string();
    assert_eq!(read(&[0x4142, 0x0000, 0x0000], 6), "AB");
    assert_eq!(read(&[0x4142, 0x4344], 3), "ABC", "the fourth byte is no part of the text");
    assert_eq!(read(&[0x4100, 0x4200], 4), "A\\x00B", "a zero inside is shown");
    assert_eq!(read(&[0x1B5B, 0x324A], 4), "\\x1b[2J");
    assert_eq!(read(&[0xC3A9, 0xFF41], 4), "é\\xffA");
    let text = Text::new([0x80]).expect("short enough");
    assert_eq!(text.as_str(), None);
    assert_eq!(text.as_bytes(), [0x80]);
    assert_eq!(Text::new([b'x'; 256]), Err(ValueError::TextTooLong { length: 256, max: 255 }));
}

#[test]
fn numbers_are_parsed_in_the_notations_people_use() {
    use DataType::*;
    let table = [
        (U16, "65535", Value::U16(65535)),
        (U16, "0xFFFF", Value::U16(65535)),
        (U16, "0Xff", Value::U16(255)),
        (U16, "0b1010", Value::U16(10)),
        (U16, "0o17", Value::U16(15)),
        (U16, "+7", Value::U16(7)),
        (U16, "007", Value::U16(7)),
        (I16, "-32768", Value::I16(i16::MIN)),
        (I16, "-0x10", Value::I16(-16)),
        (U64, "18446744073709551615", Value::U64(u64::MAX)),
        (I64, "-9223372036854775808", Value::I64(i64::MIN)),
        (F32, "21.5", Value::F32(21.5)),
        (F32, "-1e3", Value::F32(-1000.0)),
        (F32, "3.4028235e38", Value::F32(f32::MAX)),
        (F32, "-inf", Value::F32(f32::NEG_INFINITY)),
        (F64, "Infinity", Value::F64(f64::INFINITY)),
        (Text(4), "é 1", text("é 1")),
        (Text(4), "", text("")),
        (Bit(0), "ON", Value::Bit(true)),
        (Bit(0), "1", Value::Bit(true)),
        (Bit(0), "false", Value::Bit(false)),
    ];
    for (data_type, input, value) in table {
        assert_eq!(data_type.parse(input), Ok(value), "{data_type} {input:?}");
    }
    assert!(matches!(F32.parse("nan"), Ok(Value::F32(value)) if value.is_nan()));
}

#[test]
fn errors_say_what_is_allowed() {
    use DataType::*;
    let table = [
        (U16, "65536", "out of range: u16 takes 0 to 65535"),
        (U16, "-1", "out of range: u16 takes 0 to 65535"),
        (I16, "32768", "out of range: i16 takes -32768 to 32767"),
        (U64, "18446744073709551616", "out of range: u64 takes 0 to 18446744073709551615"),
        (U64, "99999999999999999999999999999999999999999999999", "out of range: u64 takes 0 to 18446744073709551615"),
        (U16, "1.5", "no whole number: u16 takes 0 to 65535, in decimal or with 0x, 0o or 0b in front"),
        (F32, "1e39", "out of range: f32 takes -3.4028235e38 to 3.4028235e38, inf, -inf and NaN"),
        (F64, "-1e309", "out of range: f64 takes -1.7976931348623157e308 to 1.7976931348623157e308, inf, -inf and NaN"),
        (F32, "warm", "no number: f32 takes numbers such as 21.5 and -1e3, and inf, -inf and NaN"),
        (Bit(3), "2", "neither on nor off: write on, true or 1, or off, false or 0"),
        (Text(4), "12345", "text of 5 bytes: there is room for 4"),
    ];
    for (data_type, input, message) in table {
        assert_eq!(data_type.parse(input).expect_err(input).to_string(), message, "{data_type} {input:?}");
    }
    for input in ["", "-", "+", "0x", "--1", "+-1", "0x-1", " 1", "1_000", "é"] {
        assert_eq!(U16.parse(input), Err(ValueError::NoInteger(U16)), "{input:?}");
    }
}

#[test]
fn a_value_that_does_not_fit_changes_nothing() {
    let mut out = [7; 2];
    let short = DataType::U64.encode(&Value::U64(1), Order::Abcd, &mut out);
    assert_eq!(short, Err(ValueError::TooFewRegisters { data_type: DataType::U64, there: 2 }));
    let other = DataType::U32.encode(&Value::F32(1.0), Order::Abcd, &mut out);
    assert_eq!(other, Err(ValueError::Mismatch { expected: DataType::U32 }));
    let long = DataType::Text(3).encode(&text("abcd"), Order::Abcd, &mut out);
    assert_eq!(long, Err(ValueError::TextTooLong { length: 4, max: 3 }));
    let bit = DataType::Bit(16).encode(&Value::Bit(true), Order::Abcd, &mut out);
    assert_eq!(bit, Err(ValueError::UnknownType));
    assert_eq!(out, [7; 2]);
    let registers = Registers::from(&out[..1]);
    let short = DataType::F32.decode(Order::Abcd, registers);
    assert_eq!(short.expect_err("one register").to_string(), "f32 takes 2 registers, and there are 1");
    assert_eq!(DataType::Bit(16).decode(Order::Abcd, registers), Err(ValueError::UnknownType));
}

#[test]
fn types_and_orders_have_names() {
    let others = [DataType::Text(1), DataType::Text(250), DataType::Bit(0), DataType::Bit(15)];
    for data_type in NUMBERS.into_iter().chain(others) {
        assert_eq!(data_type.to_string().parse(), Ok(data_type));
    }
    for input in ["", "u8", "U16", "str", "str:", "str:0", "str:251", "str:256", "bit:16", "bit:-1", "f32:2"] {
        assert_eq!(input.parse::<DataType>(), Err(ValueError::UnknownType), "{input:?}");
    }
    for order in Order::ALL {
        assert_eq!(order.to_string().parse(), Ok(order));
        assert_eq!(order.to_string().to_lowercase().parse(), Ok(order));
    }
    assert_eq!("ABDC".parse::<Order>(), Err(ValueError::UnknownOrder));
    assert_eq!(Order::default(), Order::Abcd);
}

proptest! {
    /// Every bit pattern, not a number included, comes back as it was.
    #[test]
    fn registers_round_trip(
        registers in prop::array::uniform4(any::<u16>()),
        data_type in prop::sample::select(&NUMBERS[..]),
        order in prop::sample::select(&Order::ALL[..]),
    ) {
        let used = &registers[..data_type.registers()];
        prop_assert_eq!(encode(data_type, order, decode(data_type, order, &registers)), used);
    }

    #[test]
    fn display_parses_back(
        registers in prop::array::uniform4(any::<u16>()),
        data_type in prop::sample::select(&NUMBERS[..]),
    ) {
        let value = decode(data_type, Order::Abcd, &registers);
        let again = data_type.parse(&value.to_string()).expect("parses");
        match (value, again) {
            (Value::F32(a), Value::F32(b)) => prop_assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()),
            (Value::F64(a), Value::F64(b)) => prop_assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()),
            _ => prop_assert_eq!(value, again),
        }
    }

    #[test]
    fn text_round_trips(input in "\\PC{0,40}", slack in 0u8..10, order in prop::sample::select(&Order::ALL[..])) {
        let data_type = DataType::Text(input.len() as u8 + slack);
        let value = data_type.parse(&input).expect("fits");
        let again = decode(data_type, order, &encode(data_type, order, value));
        prop_assert_eq!(again, value);
        prop_assert_eq!(again.to_string(), input);
    }

    #[test]
    fn parsing_never_panics(input in any::<String>()) {
        for data_type in NUMBERS.into_iter().chain([DataType::Text(9), DataType::Bit(1)]) {
            let _ = data_type.parse(&input);
        }
        let _ = input.parse::<DataType>();
        let _ = input.parse::<Order>();
    }
}
