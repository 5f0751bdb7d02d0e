//! Every example of AP 6, read and written, request and reply.

use dinrail_proto::error::ReplyError;
use dinrail_proto::pdu::device_id::ReadDeviceId;
use dinrail_proto::pdu::diagnostics::Diagnostic;
use dinrail_proto::pdu::file_record::{FileRead, FileWrite};
use dinrail_proto::pdu::{Bits, Registers};
use dinrail_proto::{Area, ExceptionCode, FunctionCode, Request, Response};

use crate::examples::{EXAMPLES, Example};

fn find(name: &str) -> &'static Example {
    EXAMPLES.iter().find(|example| example.name.starts_with(name)).expect("an example of that name")
}

/// Holds typed values against the bytes, both ways.
#[track_caller]
fn check(name: &str, request: Request<'_>, response: Response<'_>) {
    let example = find(name);
    assert_eq!(Request::decode(example.request), Ok(request));
    assert_eq!(request.encode().expect("legal").as_bytes(), example.request);
    assert_eq!(Response::decode(&request, example.reply), Ok(response));
    assert_eq!(response.encode().expect("legal").as_bytes(), example.reply);
    assert_eq!(request.function(), response.function());
}

#[test]
fn every_example_survives_both_ways() {
    for Example { name, request, reply } in EXAMPLES {
        let typed = Request::decode(request).expect(name);
        assert_eq!(typed.encode().expect(name).as_bytes(), *request, "{name}");
        let answer = Response::decode(&typed, reply).expect(name);
        assert_eq!(answer.encode().expect(name).as_bytes(), *reply, "{name}");
    }
}

#[test]
fn every_request_can_be_refused() {
    for Example { name, request, reply } in EXAMPLES {
        let typed = Request::decode(request).expect(name);
        let refusal = [request[0] | 0x80, 0x02];
        let refused = ReplyError::Exception(ExceptionCode::IllegalDataAddress);
        assert_eq!(Response::decode(&typed, &refusal), Err(refused), "{name}");
        for foreign in [reply[0] ^ 0x40, reply[0] ^ 0x40 | 0x80, 0x80, 0] {
            let expected = Err(ReplyError::Function { expected: typed.function(), received: foreign });
            assert_eq!(Response::decode(&typed, &[foreign, 0x02]), expected, "{name}");
        }
        for length in [0, 1, 3] {
            let odd = &[request[0] | 0x80, 2, 2][..length];
            assert_eq!(Response::decode(&typed, odd), Err(ReplyError::Length { received: length }), "{name}");
        }
    }
}

#[test]
fn no_reply_may_be_cut_short_or_go_on() {
    for Example { name, request, reply } in EXAMPLES.iter().filter(|example| example.request[0] != 0x64) {
        let typed = Request::decode(request).expect(name);
        for length in 0..reply.len() {
            assert!(Response::decode(&typed, &reply[..length]).is_err(), "{name} at {length} bytes");
        }
        let longer = [*reply, &[0]].concat();
        assert_eq!(Response::decode(&typed, &longer), Err(ReplyError::Length { received: longer.len() }), "{name}");
    }
}

#[test]
fn read_bits() {
    let bit = |at: usize| [0xCD, 0x6B, 0x05][at / 8] >> (at % 8) & 1 == 1;
    let coils: [bool; 19] = std::array::from_fn(bit);
    assert_eq!(coils[..8], [true, false, true, true, false, false, true, true]); // coils 20 to 27
    check(
        "6.1",
        Request::Read { area: Area::Coil, address: 0x13, count: 19 },
        Response::ReadBits { area: Area::Coil, values: coils[..].into() },
    );
    check(
        "6.2",
        Request::Read { area: Area::DiscreteInput, address: 0xC4, count: 22 },
        Response::ReadBits { area: Area::DiscreteInput, values: Bits::from_packed(&[0xAC, 0xDB, 0x35], 22) },
    );
}

#[test]
fn unused_bits_of_a_reply_are_zero() {
    // 19 of 24 bits are used, though all 24 are set.
    let response = Response::ReadBits { area: Area::Coil, values: Bits::from_packed(&[0xFF; 3], 19) };
    assert_eq!(response.encode().expect("legal").as_bytes(), [1, 3, 0xFF, 0xFF, 0x07]);
    let response = Response::ReadBits { area: Area::Coil, values: [true; 19][..].into() };
    assert_eq!(response.encode().expect("legal").as_bytes(), [1, 3, 0xFF, 0xFF, 0x07]);
}

#[test]
fn unused_bits_of_a_request_are_ignored() {
    let dirty = [0x0F, 0x00, 0x13, 0x00, 0x0A, 0x02, 0xCD, 0xFD];
    assert_eq!(Request::decode(&dirty), Request::decode(find("6.11").request));
    let Ok(request) = Request::decode(&dirty) else { panic!("legal") };
    assert_eq!(request.encode().expect("legal").as_bytes(), find("6.11").request);
}

#[test]
fn read_registers() {
    check(
        "6.3",
        Request::Read { area: Area::HoldingRegister, address: 0x6B, count: 3 },
        Response::ReadRegisters { area: Area::HoldingRegister, values: [0x022B, 0, 0x64][..].into() },
    );
    check(
        "6.4",
        Request::Read { area: Area::InputRegister, address: 8, count: 1 },
        Response::ReadRegisters { area: Area::InputRegister, values: [0x0A][..].into() },
    );
}

#[test]
fn write_single() {
    check(
        "6.5",
        Request::WriteSingleCoil { address: 0xAC, value: true },
        Response::WriteSingleCoil { address: 0xAC, value: true },
    );
    check(
        "6.6",
        Request::WriteSingleRegister { address: 1, value: 3 },
        Response::WriteSingleRegister { address: 1, value: 3 },
    );
}

#[test]
fn serial_line_functions() {
    check("6.7", Request::ReadExceptionStatus, Response::ExceptionStatus(0x6D));
    let sub_function = Diagnostic::RETURN_QUERY_DATA;
    check(
        "6.8",
        Request::Diagnostics { sub_function, data: &[0xA5, 0x37] },
        Response::Diagnostics { sub_function, data: &[0xA5, 0x37] },
    );
    check("6.9", Request::GetCommEventCounter, Response::CommEventCounter { status: 0xFFFF, events: 0x108 });
    check(
        "6.10",
        Request::GetCommEventLog,
        Response::CommEventLog { status: 0, events: 0x108, messages: 0x121, log: &[0x20, 0x00] },
    );
    check("6.13", Request::ReportServerId, Response::ServerId(&[0x2A, 0xFF, b'x', b'y', b'z']));
}

#[test]
fn write_multiple() {
    check(
        "6.11",
        Request::WriteMultipleCoils { address: 0x13, values: Bits::from_packed(&[0xCD, 0x01], 10) },
        Response::WriteMultipleCoils { address: 0x13, count: 10 },
    );
    check(
        "6.12",
        Request::WriteMultipleRegisters { address: 1, values: [0x0A, 0x102][..].into() },
        Response::WriteMultipleRegisters { address: 1, count: 2 },
    );
}

#[test]
fn file_records() {
    let reads = [FileRead { file: 4, record: 1, length: 2 }, FileRead { file: 3, record: 9, length: 2 }];
    let groups: [Registers<'_>; 2] = [[0x0DFE, 0x20][..].into(), [0x33CD, 0x40][..].into()];
    check("6.14", Request::ReadFileRecord(reads[..].into()), Response::ReadFileRecord(groups[..].into()));
    let writes = [FileWrite { file: 4, record: 7, values: [0x06AF, 0x04BE, 0x100D][..].into() }];
    check("6.15", Request::WriteFileRecord(writes[..].into()), Response::WriteFileRecord(writes[..].into()));
}

#[test]
fn mask_write_and_read_write() {
    check(
        "6.16",
        Request::MaskWriteRegister { address: 4, and_mask: 0xF2, or_mask: 0x25 },
        Response::MaskWriteRegister { address: 4, and_mask: 0xF2, or_mask: 0x25 },
    );
    check(
        "6.17",
        Request::ReadWriteMultipleRegisters {
            read_address: 3,
            read_count: 6,
            write_address: 0x0E,
            values: [0xFF; 3][..].into(),
        },
        Response::ReadWriteMultipleRegisters([0xFE, 0x0ACD, 1, 3, 0x0D, 0xFF][..].into()),
    );
}

#[test]
fn fifo_queue() {
    check("6.18", Request::ReadFifoQueue { address: 0x4DE }, Response::FifoQueue([0x1B8, 0x1284][..].into()));
    let request = Request::ReadFifoQueue { address: 0 };
    let empty = Response::FifoQueue([][..].into());
    assert_eq!(empty.encode().expect("legal").as_bytes(), [0x18, 0, 2, 0, 0]);
    assert_eq!(Response::decode(&request, &[0x18, 0, 2, 0, 0]), Ok(empty));
    assert!(Response::FifoQueue([0; 31][..].into()).encode().is_ok());
    assert!(Response::FifoQueue([0; 32][..].into()).encode().is_err());
}

#[test]
fn device_identification() {
    let Example { request, reply, .. } = find("6.21 basic device identification");
    let typed = Request::decode(request).expect("legal");
    assert_eq!(typed, Request::ReadDeviceIdentification { code: ReadDeviceId::Basic, object: 0 });
    let Ok(Response::DeviceIdentification(answer)) = Response::decode(&typed, reply) else { panic!("legal") };
    assert_eq!((answer.code, answer.conformity, answer.next), (ReadDeviceId::Basic, 1, None));
    let objects: Vec<_> = answer.objects().collect();
    assert_eq!(objects, [(0, &b"Company identification"[..]), (1, b"Product code XX"), (2, b"V2.11")]);

    let Example { request, reply, .. } = find("6.21 basic device identification, more follows");
    let typed = Request::decode(request).expect("legal");
    let Ok(Response::DeviceIdentification(answer)) = Response::decode(&typed, reply) else { panic!("legal") };
    assert_eq!((answer.next, answer.objects().count()), (Some(2), 2));
}

#[test]
fn custom_functions() {
    let function = FunctionCode::new(100).expect("a function code");
    check("5.1", Request::Custom { function, data: &[1, 2] }, Response::Custom { function, data: &[3] });
}
