//! What rules allow, request by request.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::proto::pdu::device_id::ReadDeviceId;
use crate::proto::pdu::diagnostics::Diagnostic;
use crate::proto::pdu::file_record::{FileRead, FileWrite};
use crate::proto::pdu::{Bits, Registers};
use crate::proto::{Area, ExceptionCode, FunctionCode, Request, UnitId};
use crate::service::{Memory, Peer, Units};

/// Counts how often it is asked, and answers everything with the function code alone; at once, or as a future.
struct Counting {
    asked: AtomicUsize,
    now: bool,
}

impl Counting {
    fn new(now: bool) -> Self {
        Self { asked: AtomicUsize::new(0), now }
    }

    fn answer(&self, call: &mut Call<'_>) -> Reply {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let function = call.pdu()[0];
        call.respond_with(|out| {
            out[0] = function;
            1
        })
    }
}

impl Service for Counting {
    async fn call(&self, mut call: Call<'_>) -> Reply {
        self.answer(&mut call)
    }

    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        self.now.then(|| self.answer(call))
    }
}

fn peer(role: Option<&str>) -> Peer {
    Peer { role: role.map(Into::into), ..Peer::default() }
}

/// Whether `rules` let these bytes through; what is refused must not reach the service, on either way.
fn exception(rules: &Rules, role: Option<&str>, unit: u8, pdu: &[u8], broadcast: bool) -> Option<ExceptionCode> {
    let peer = peer(role);
    let mut refusals = [true, false].map(|now| {
        let service = Counting::new(now).with_rules(rules.clone());
        let mut room = [0; 253];
        let mut call = Call::new(UnitId(unit), &peer, pdu, &mut room).as_broadcast(broadcast);
        let reply = match service.call_now(&mut call) {
            Some(reply) => reply,
            None => match pin!(service.call(call)).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(reply) => reply,
                Poll::Pending => panic!("it never waits"),
            },
        };
        let asked = service.service.asked.load(Ordering::Relaxed);
        match reply {
            Reply::Exception(code) => {
                assert_eq!(asked, 0, "refused, and the service was asked all the same");
                Some(code)
            }
            _ => {
                assert_eq!(asked, 1);
                None
            }
        }
    });
    assert_eq!(refusals[0], refusals[1], "both ways decide alike");
    refusals[0].take()
}

fn allowed(rules: &Rules, role: Option<&str>, unit: u8, request: Request<'_>) -> bool {
    let pdu = request.encode().expect("legal");
    match exception(rules, role, unit, pdu.as_bytes(), false) {
        None => true,
        Some(code) => {
            assert_eq!(code, ExceptionCode::IllegalFunction, "SEC R-31");
            false
        }
    }
}

fn read(address: u16, count: u16) -> Request<'static> {
    Request::Read { area: Area::HoldingRegister, address, count }
}

fn operator(rule: Rule) -> Rules {
    Rules::new().with(rule)
}

const OPERATOR: Option<&str> = Some("operator");

#[test]
fn without_a_rule_everything_is_refused() {
    for role in [None, OPERATOR] {
        assert!(!allowed(&Rules::new(), role, 1, read(0, 1)));
    }
}

#[test]
fn roles_are_compared_whole() {
    let rules = operator(Rule::new("operator", Access::All));
    assert!(allowed(&rules, OPERATOR, 1, read(0, 1)));
    for role in [None, Some(""), Some("Operator"), Some("operator "), Some("operators"), Some("operator\0")] {
        assert!(!allowed(&rules, role, 1, read(0, 1)), "{role:?}");
    }
    let anyone = operator(Rule::anyone(Access::Read));
    assert!(allowed(&anyone, None, 1, read(0, 1)));
    assert!(allowed(&anyone, Some("nobody we know"), 1, read(0, 1)));
}

/// One request of every kind, and what it does: reads, writes, or both.
fn one_of_each() -> Vec<(Request<'static>, bool, bool)> {
    const READS: &[FileRead] = &[FileRead { file: 4, record: 1, length: 2 }];
    static VALUES: [u16; 2] = [1, 2];
    static BITS: [bool; 3] = [true, false, true];
    let values = Registers::from(&VALUES[..]);
    let writes: &'static [FileWrite<'static>] = Box::leak(Box::new([FileWrite { file: 4, record: 1, values }]));
    let read_all = Area::ALL.map(|area| (Request::Read { area, address: 0, count: 2 }, true, false));
    let mut requests = vec![
        (Request::WriteSingleCoil { address: 0, value: true }, false, true),
        (Request::WriteSingleRegister { address: 0, value: 1 }, false, true),
        (Request::ReadExceptionStatus, true, false),
        (Request::Diagnostics { sub_function: Diagnostic::RETURN_QUERY_DATA, data: &[1, 2] }, false, true),
        (Request::GetCommEventCounter, true, false),
        (Request::GetCommEventLog, true, false),
        (Request::WriteMultipleCoils { address: 0, values: Bits::from(&BITS[..]) }, false, true),
        (Request::WriteMultipleRegisters { address: 0, values }, false, true),
        (Request::ReportServerId, true, false),
        (Request::ReadFileRecord(READS.into()), true, false),
        (Request::WriteFileRecord(writes.into()), false, true),
        (Request::MaskWriteRegister { address: 0, and_mask: 1, or_mask: 2 }, false, true),
        (Request::ReadWriteMultipleRegisters { read_address: 0, read_count: 1, write_address: 0, values }, true, true),
        (Request::ReadFifoQueue { address: 0 }, true, false),
        (Request::ReadDeviceIdentification { code: ReadDeviceId::Basic, object: 0 }, true, false),
        (Request::Custom { function: FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT, data: &[13, 0] }, false, true),
        (Request::Custom { function: FunctionCode::new(100).expect("a code"), data: &[1] }, false, true),
    ];
    requests.extend(read_all);
    requests
}

#[test]
fn every_function_is_a_read_a_write_or_both() {
    let [reading, writing, all] =
        [Access::Read, Access::Write, Access::All].map(|access| operator(Rule::anyone(access)));
    for (request, reads, writes) in one_of_each() {
        assert_eq!(allowed(&reading, None, 1, request), !writes, "{request:?}");
        assert_eq!(allowed(&writing, None, 1, request), !reads, "{request:?}");
        assert!(allowed(&all, None, 1, request), "{request:?}");
    }
}

#[test]
fn a_rule_that_names_places_allows_nothing_without_one() {
    let everywhere =
        Area::ALL.into_iter().fold(Rule::anyone(Access::All), |rule, area| rule.with_area(area, 0..=65535));
    let rules = operator(everywhere.with_files(1..=65535));
    for (request, ..) in one_of_each() {
        let has_place = !matches!(request.function().code(), 7 | 8 | 11 | 12 | 17 | 43 | 100);
        assert_eq!(allowed(&rules, None, 1, request), has_place, "{request:?}");
    }
}

#[test]
fn every_address_of_a_request_counts() {
    let rules = operator(Rule::anyone(Access::All).with_area(Area::HoldingRegister, 10..=19));
    for (address, count, ok) in
        [(10, 10, true), (10, 11, false), (9, 1, false), (9, 2, false), (19, 1, true), (20, 1, false)]
    {
        assert_eq!(allowed(&rules, None, 1, read(address, count)), ok, "{address}+{count}");
        let values = vec![0; count.into()];
        let values = Registers::from(&values[..]);
        assert_eq!(allowed(&rules, None, 1, Request::WriteMultipleRegisters { address, values }), ok);
    }
    assert!(!allowed(&rules, None, 1, Request::Read { area: Area::InputRegister, address: 10, count: 1 }));
    assert!(!allowed(&rules, None, 1, Request::Read { area: Area::Coil, address: 10, count: 1 }));
    assert!(allowed(&rules, None, 1, Request::MaskWriteRegister { address: 19, and_mask: 0, or_mask: 0 }));
    assert!(!allowed(&rules, None, 1, Request::MaskWriteRegister { address: 20, and_mask: 0, or_mask: 0 }));
    assert!(!allowed(&rules, None, 1, Request::ReadFifoQueue { address: 9 }));
    let top = operator(Rule::anyone(Access::Read).with_area(Area::HoldingRegister, 65535..=65535));
    assert!(allowed(&top, None, 1, read(65535, 1)));
    assert!(!allowed(&top, None, 1, read(65534, 2)));
}

#[test]
fn several_rules_cover_a_range_together_but_leave_no_hole() {
    let piece = |addresses| Rule::anyone(Access::Read).with_area(Area::HoldingRegister, addresses);
    let rules: Rules = [piece(0..=9), piece(5..=14), piece(15..=20), piece(22..=30)].into_iter().collect();
    assert!(allowed(&rules, None, 1, read(0, 21)));
    assert!(!allowed(&rules, None, 1, read(0, 22)), "21 is a hole");
    assert!(!allowed(&rules, None, 1, read(0, 31)));
    assert!(allowed(&rules, None, 1, read(22, 9)));
    let one_for_another = piece(0..=9);
    let mixed = Rules::new().with(one_for_another).with(Rule::new("engineer", Access::Read));
    assert!(!allowed(&mixed, OPERATOR, 1, read(5, 10)), "another role's rule covers nothing");
    assert!(allowed(&mixed, Some("engineer"), 1, read(5, 10)));
}

#[test]
fn both_ranges_of_fc_23_count() {
    let rules = Rules::new()
        .with(Rule::anyone(Access::Read).with_area(Area::HoldingRegister, 0..=9))
        .with(Rule::anyone(Access::Write).with_area(Area::HoldingRegister, 20..=29));
    let exchange = |read_address, write_address| Request::ReadWriteMultipleRegisters {
        read_address,
        read_count: 2,
        write_address,
        values: Registers::from(&[1, 2][..]),
    };
    assert!(allowed(&rules, None, 1, exchange(0, 20)));
    for (read_address, write_address) in [(20, 20), (0, 0), (9, 20), (0, 29), (20, 0)] {
        assert!(!allowed(&rules, None, 1, exchange(read_address, write_address)), "{read_address} {write_address}");
    }
}

#[test]
fn every_file_of_a_request_counts() {
    let rules = operator(Rule::anyone(Access::All).with_files(3..=4));
    let group = |file| FileRead { file, record: 0, length: 1 };
    assert!(allowed(&rules, None, 1, Request::ReadFileRecord((&[group(3), group(4)][..]).into())));
    assert!(!allowed(&rules, None, 1, Request::ReadFileRecord((&[group(3), group(5)][..]).into())));
    let group = |file| FileWrite { file, record: 0, values: Registers::from(&[1][..]) };
    assert!(allowed(&rules, None, 1, Request::WriteFileRecord((&[group(4)][..]).into())));
    assert!(!allowed(&rules, None, 1, Request::WriteFileRecord((&[group(4), group(2)][..]).into())));
    assert!(!allowed(&rules, None, 1, read(3, 1)), "registers are no files");
}

#[test]
fn units_and_functions_narrow_a_rule() {
    let rules = operator(
        Rule::anyone(Access::All)
            .with_units(1..=10)
            .with_units(17..=17)
            .with_functions([FunctionCode::READ_HOLDING_REGISTERS, FunctionCode::WRITE_SINGLE_REGISTER]),
    );
    for (unit, ok) in [(0, false), (1, true), (10, true), (11, false), (17, true), (255, false)] {
        assert_eq!(allowed(&rules, None, unit, read(0, 1)), ok, "unit {unit}");
    }
    assert!(allowed(&rules, None, 1, Request::WriteSingleRegister { address: 0, value: 0 }));
    assert!(!allowed(&rules, None, 1, Request::WriteSingleCoil { address: 0, value: true }));
    assert!(!allowed(&rules, None, 1, Request::Read { area: Area::InputRegister, address: 0, count: 1 }));
}

#[test]
fn a_broadcast_is_no_way_around() {
    let write = Request::WriteSingleRegister { address: 0, value: 0 }.encode().expect("legal");
    let broadcast = |rules: &Rules| exception(rules, None, 0, write.as_bytes(), true);
    let some = operator(Rule::anyone(Access::All).with_units(0..=254));
    assert_eq!(broadcast(&some), Some(ExceptionCode::IllegalFunction), "unit 255 is not allowed");
    assert_eq!(broadcast(&some.with(Rule::anyone(Access::Write).with_units(255..=255))), None, "all are, together");
    assert_eq!(broadcast(&operator(Rule::anyone(Access::Write))), None);
    assert_eq!(broadcast(&operator(Rule::anyone(Access::Read))), Some(ExceptionCode::IllegalFunction));

    // Behind a router, each unit has rules of its own.
    let write = Request::WriteSingleRegister { address: 0, value: 9 }.encode().expect("legal");
    let [first, second] = [Memory::new(), Memory::new()];
    let units = Units::new()
        .with(1, first.clone().with_rules(operator(Rule::anyone(Access::All).with_units(1..=1))))
        .with(2, second.clone().with_rules(Rules::new()));
    let (peer, mut room) = (peer(None), [0; 253]);
    let call = Call::new(UnitId(0), &peer, write.as_bytes(), &mut room).as_broadcast(true);
    assert!(matches!(pin!(units.call(call)).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Reply::Silent)));
    assert_eq!([&first, &second].map(|unit| unit.value(Area::HoldingRegister, 0)), [Some(9), Some(0)]);
}

#[test]
fn what_is_not_whole_reaches_no_service() {
    let rules = operator(Rule::new("operator", Access::All).with_functions([FunctionCode::READ_HOLDING_REGISTERS]));
    let cut = [3, 0, 0];
    assert_eq!(exception(&rules, OPERATOR, 1, &cut, false), Some(ExceptionCode::IllegalDataValue));
    assert_eq!(exception(&rules, None, 1, &cut, false), Some(ExceptionCode::IllegalFunction));
    assert_eq!(exception(&rules, OPERATOR, 1, &[6, 0], false), Some(ExceptionCode::IllegalFunction));
    for function in [0, 128, 255] {
        assert_eq!(exception(&rules, OPERATOR, 1, &[function], false), Some(ExceptionCode::IllegalFunction));
    }
}

#[cfg(feature = "rules-file")]
mod from_toml {
    use super::*;

    #[test]
    fn a_file_says_what_code_says() {
        let rules = Rules::from_toml(
            r#"
            [[rule]]
            anyone = true
            access = "read"
            input-registers = "0-9"

            [[rule]]
            role = "operator"
            access = "all"
            units = [1, "3-4"]
            functions = ["1-4", 6]
            holding-registers = ["0-99", 200]
            coils = 5
            "#,
        )
        .expect("rules");
        let inputs = Request::Read { area: Area::InputRegister, address: 0, count: 10 };
        assert!(allowed(&rules, None, 9, inputs));
        assert!(!allowed(&rules, None, 9, read(0, 1)));
        for (unit, address, ok) in [(1, 99, true), (3, 200, true), (4, 0, true), (2, 0, false), (1, 100, false)] {
            assert_eq!(allowed(&rules, OPERATOR, unit, read(address, 1)), ok, "{unit} {address}");
        }
        assert!(allowed(&rules, OPERATOR, 1, Request::WriteSingleRegister { address: 7, value: 1 }));
        assert!(!allowed(&rules, OPERATOR, 1, Request::MaskWriteRegister { address: 7, and_mask: 1, or_mask: 1 }));
        assert!(allowed(&rules, OPERATOR, 1, Request::Read { area: Area::Coil, address: 5, count: 1 }));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let table = [
            ("", "there is no [[rule]]"),
            ("[[rule]]\naccess = \"read\"", "rule 1: it is for nobody: give it a role, or anyone = true"),
            ("[[rule]]\nanyone = true", "line 1"),
            ("[[rule]]\nanyone = true", "missing field `access`"),
            ("[[rule]]\nanyone = true\nrole = \"a\"\naccess = \"read\"", "take one of the two"),
            ("[[rule]]\nrole = \"\"\naccess = \"read\"", "its role is empty"),
            ("[[rule]]\nrole = \"a\"\naccess = \"rw\"", "line 3"),
            ("[[rule]]\nrole = \"a\"\naccess = \"rw\"", "expected one of `read`, `write`, `all`"),
            ("[[rule]]\nrole = \"a\"\naccess = \"all\"\nregisters = 1", "unknown field `registers`"),
            ("[[rule]]\nrole = \"a\"\naccess = \"all\"\ncoils = []", "its coils are an empty list"),
            ("[[rule]]\nrole = \"a\"\naccess = \"all\"\nunits = 256", "units end at 255, not at 256"),
            ("[[rule]]\nrole = \"a\"\naccess = \"all\"\nfunctions = 128", "128 is no function code: take 1 to 127"),
            ("[[rule]]\nrole = \"a\"\naccess = \"all\"\ncoils = \"9-1\"", "line 4"),
            ("[[rule]]\nrole = \"a\"\naccess = \"all\"\ncoils = \"9-1\"", "the range \"9-1\" ends before it begins"),
            ("[[rule]]\nrole = \"a\"\naccess = \"all\"\ncoils = 1.5", "expected a number from 0 to 65535, a range of"),
            ("[[rule]]\nrole = \"a\"\naccess = \"all\"\ncoils = [1, \"x\"]", "\"x\" is no range: take a number from 0"),
            (
                "[[rule]]\nrole = \"a\"\naccess = \"all\"\ncoils = 70000",
                "70000 is too large or too small: take a number",
            ),
        ];
        for (text, part) in table {
            let error = Rules::from_toml(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text:?}: {part:?} is missing in {error}");
        }
        let error = Rules::from_file("/nowhere/rules.toml").expect_err("no file").to_string();
        assert!(error.starts_with("cannot read the rules /nowhere/rules.toml: "), "{error}");
    }
}
