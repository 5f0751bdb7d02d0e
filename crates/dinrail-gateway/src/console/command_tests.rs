//! What lines mean, what is said of those that mean nothing, and that none of them makes the parser panic.

use proptest::prelude::*;

use super::*;

fn place(area: Area, address: u16, name: &str) -> Place {
    Place { area, address, data_type: name.parse().expect(name) }
}

fn got(line: &str) -> (UnitId, Place, usize) {
    match parse(line).expect(line) {
        Command::Get { unit, place, items } => (unit, place, items),
        other => panic!("{line}: {other:?}"),
    }
}

fn values(line: &str) -> Vec<u16> {
    match parse(line).expect(line) {
        Command::Set { values, .. } => values,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn s002_13_get_names_unit_area_and_address() {
    let registers = |address, name| place(Area::HoldingRegister, address, name);
    assert_eq!(got("get 1 hr 0"), (UnitId(1), registers(0, "u16"), 1));
    assert_eq!(got("  GET\t0xFF HR 0x10   3 "), (UnitId(255), registers(16, "u16"), 3));
    assert_eq!(got("get 0 ir 0 65536"), (UnitId(0), place(Area::InputRegister, 0, "u16"), 65536));
    assert_eq!(got("get 1 hr 10:f32 2"), (UnitId(1), registers(10, "f32"), 4));
    assert_eq!(got("get 1 hr 10:str:5"), (UnitId(1), registers(10, "str:5"), 3));
    assert_eq!(got("get 1 co 65535"), (UnitId(1), place(Area::Coil, 65535, "bit:0"), 1));
    assert_eq!(got("get 1 di 7 2000").2, 2000);
}

#[test]
fn s002_13_set_takes_typed_values() {
    let table: &[(&str, &[u16])] = &[
        ("set 1 hr 0 42", &[42]),
        ("set 1 ir 0 -1 65535 0xfF -32768", &[0xFFFF, 0xFFFF, 0xFF, 0x8000]),
        ("set 1 co 0 on off 1 0 TRUE false", &[1, 0, 1, 0, 1, 0]),
        ("set 1 di 65535 on", &[1]),
        ("set 1 hr 0:f32 21.5 1", &[0x41AC, 0, 0x3F80, 0]),
        ("set 1 hr 0:i32 -2", &[0xFFFF, 0xFFFE]),
        ("set 1 hr 0:str:8   a b  ", &[0x6120, 0x6200, 0, 0]),
    ];
    for (line, expected) in table {
        assert_eq!(values(line), *expected, "{line}");
    }
}

#[test]
fn the_other_commands_are_words() {
    for (line, command) in [
        ("", Command::Nothing),
        (" \t", Command::Nothing),
        ("help", Command::Help),
        ("Help get", Command::Help),
        ("STATS", Command::Stats),
        ("servers ", Command::Servers),
        ("use  tank farm ", Command::Use("tank farm")),
        ("quit", Command::Quit),
        ("exit", Command::Quit),
    ] {
        assert_eq!(parse(line), Ok(command), "{line:?}");
    }
}

#[test]
fn s002_13_errors_say_the_mend() {
    let table = [
        ("gte 1 hr 0", "there is no command \"gte\": take get, set, stats, servers, use, help or quit"),
        ("get", "UNIT is missing: write get UNIT AREA ADDR [COUNT], such as get 1 hr 0 10"),
        ("get 1 hr", "ADDR is missing: write get UNIT"),
        ("get 256 hr 0", "\"256\" is no unit: take 0 to 255; write get UNIT"),
        ("get hr 0", "\"hr\" is no unit: take 0 to 255; write get UNIT"),
        ("get 1 hx 0", "\"hx\" is no area: take co, di, hr or ir; write get UNIT"),
        ("get 1 hr 65536", "\"65536\" is no address: take 0 to 65535"),
        ("get 1 hr -1", "\"-1\" is no address"),
        ("get 1 hr 0x", "\"0x\" is no address"),
        ("get 1 hr 0 0", "\"0\" is no count: take 1 to 65536"),
        ("get 1 hr 0 65537", "\"65537\" is no count"),
        ("get 1 hr 0 1 2", "\"2\" is too much: write get UNIT"),
        ("get 1 hr 65535 2", "2 registers from hr:65535 end behind the last address, 65535: take 1 values at most"),
        ("get 1 hr 65535:f32", "a value of 2 registers from hr:65535 ends behind the last address"),
        ("get 1 hr 0:f32 65536", "131072 registers from hr:0 end behind the last address, 65535: take 32768 values"),
        ("get 1 co 0:u16", "co:0 is a bit: leave the type out"),
        ("get 1 hr 0:f23", "\"f23\" is no such type: take u16"),
        ("set 1 hr 0", "there is no value: write set UNIT AREA ADDR VALUE..., such as set 1 hr 0 42"),
        ("set 1 hr 0 65536", "\"65536\" is no value of a register: take -32768 to 65535, or 0x0 to 0xFFFF"),
        ("set 1 hr 0 -32769", "\"-32769\" is no value of a register"),
        ("set 1 hr 0 1 x", "\"x\" is no value of a register"),
        ("set 1 co 0 2", "\"2\" is neither on nor off: write on"),
        ("set 1 hr 0:i16 40000", "\"40000\" is out of range: i16 takes -32768 to 32767"),
        ("set 1 hr 0:bit:3 on", "a single bit of a register cannot be set"),
        ("set 1 hr 0:str:2 abc", "\"abc\" is text of 3 bytes: there is room for 2"),
        ("set 1 hr 65535 1 2", "2 registers from hr:65535 end behind the last address"),
        ("use", "which server? write use NAME; servers shows the names"),
        ("stats plc", "\"plc\" is too much: write stats alone"),
    ];
    for (line, part) in table {
        let error = parse(line).expect_err(line);
        assert!(error.starts_with(part), "{line}: {part:?} is missing in {error}");
    }
    let long = parse(&"x".repeat(8000)).expect_err("no command").len();
    assert!(long < 200, "it is not said back in full: {long}");
}

/// Lines that are nearly right, which is where the parser goes furthest.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "get|set|use|stats|help|quit|co|di|hr|ir|on|off|:|f32|str:[0-9]{1,3}|bit:[0-9]{1,2}|-|0x|0X",
        "[0-9]{1,12}",
        "[0-9]{1,5}:[a-z0-9:]{0,6}",
        "\\PC{0,3}",
        "[ \t\u{a0}\u{3000}]{1,3}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn s002_13_no_line_makes_it_panic(line in prop_oneof![any::<String>(), nearly()]) {
        match parse(&line) {
            Err(sentence) => prop_assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence:?}"),
            Ok(Command::Get { place, items, .. }) => {
                prop_assert!(items >= 1 && usize::from(place.address) + items <= 0x1_0000);
                prop_assert_eq!(items % place.width(), 0);
            }
            Ok(Command::Set { place, values, .. }) => {
                prop_assert!(!values.is_empty() && usize::from(place.address) + values.len() <= 0x1_0000);
                prop_assert!(!place.area.is_bits() || values.iter().all(|bit| *bit <= 1));
            }
            Ok(_) => {}
        }
    }

    #[test]
    fn s002_13_every_register_can_be_set_as_it_is_shown(value in any::<u16>()) {
        prop_assert_eq!(values(&format!("set 1 hr 0 {value} {} {value:#x}", value as i16)), [value; 3]);
    }
}
