//! What a server refuses, with which exception, and what it must not refuse.

use dinrail_proto::ExceptionCode::{IllegalDataAddress, IllegalDataValue, IllegalFunction};
use dinrail_proto::error::{EncodeError, ReplyError};
use dinrail_proto::pdu::device_id::{ReadDeviceId, answer};
use dinrail_proto::pdu::file_record::{FileRead, FileWrite};
use dinrail_proto::pdu::is_read;
use dinrail_proto::{Area, ExceptionCode, Pdu, Request, Response};

fn decode(pdu: &[u8]) -> Result<(), ExceptionCode> {
    Request::decode(pdu).map(drop)
}

/// A function code, 16-bit fields high byte first, and more bytes.
fn pdu(function: u8, fields: &[u16], more: &[u8]) -> Vec<u8> {
    let mut pdu = vec![function];
    pdu.extend(fields.iter().flat_map(|field| field.to_be_bytes()));
    pdu.extend(more);
    pdu
}

/// As [`pdu`], with a byte count and as many zeros behind the fields.
fn counted(function: u8, fields: &[u16], count: u8) -> Vec<u8> {
    let mut more = vec![count];
    more.resize(1 + usize::from(count), 0);
    pdu(function, fields, &more)
}

#[test]
fn function_codes() {
    assert_eq!(decode(&[]), Err(IllegalFunction));
    for function in (128..=255).chain([0]) {
        assert_eq!(decode(&[function, 0, 0, 0, 1]), Err(IllegalFunction), "{function}");
    }
    for function in [9, 10, 13, 14, 18, 19, 41, 42, 65, 72, 90, 100, 127] {
        assert!(matches!(Request::decode(&[function]), Ok(Request::Custom { .. })), "{function}");
    }
}

#[test]
fn the_exception_bit_is_set_not_added() {
    for function in 0..=255u8 {
        let exception = Pdu::exception(function, IllegalFunction);
        assert_eq!(exception.as_bytes(), [function | 0x80, 1]);
    }
}

#[test]
fn counts_of_reads() {
    for (function, max) in [(1, 2000), (2, 2000), (3, 125), (4, 125)] {
        for count in [1, max] {
            assert_eq!(decode(&pdu(function, &[0, count], &[])), Ok(()), "{count} by function {function}");
        }
        for count in [0, max + 1, 0x8000, 0x8001, 0xFFFF] {
            assert_eq!(decode(&pdu(function, &[0, count], &[])), Err(IllegalDataValue), "{count} by {function}");
        }
    }
}

#[test]
fn ranges_end_at_65535() {
    for function in 1..=4 {
        assert_eq!(decode(&pdu(function, &[0xFFFF, 1], &[])), Ok(()));
        assert_eq!(decode(&pdu(function, &[0xFFFF, 2], &[])), Err(IllegalDataAddress));
        assert_eq!(decode(&pdu(function, &[0xFF84, 124], &[])), Ok(()));
        assert_eq!(decode(&pdu(function, &[0xFF84, 125], &[])), Err(IllegalDataAddress));
        // 03 comes before 02.
        assert_eq!(decode(&pdu(function, &[0xFFFF, 2001], &[])), Err(IllegalDataValue));
        assert_eq!(decode(&pdu(function, &[0xFFFF, 0], &[])), Err(IllegalDataValue));
    }
    for function in [5, 6] {
        assert_eq!(decode(&pdu(function, &[0xFFFF, 0], &[])), Ok(()));
    }
    assert_eq!(decode(&counted(15, &[0xFFFF, 1], 1)), Ok(()));
    assert_eq!(decode(&counted(15, &[0xFFFF, 2], 1)), Err(IllegalDataAddress));
    assert_eq!(decode(&counted(16, &[0xFFFF, 1], 2)), Ok(()));
    assert_eq!(decode(&counted(16, &[0xFFFF, 2], 4)), Err(IllegalDataAddress));
    assert_eq!(decode(&counted(16, &[0xFFFF, 2], 2)), Err(IllegalDataValue));
    assert_eq!(decode(&counted(23, &[0xFFFF, 1, 0xFFFF, 1], 2)), Ok(()));
    assert_eq!(decode(&counted(23, &[0xFFFF, 2, 0, 1], 2)), Err(IllegalDataAddress));
    assert_eq!(decode(&counted(23, &[0, 1, 0xFFFF, 2], 4)), Err(IllegalDataAddress));
    assert_eq!(decode(&counted(23, &[0xFFFF, 2, 0xFFFF, 2], 2)), Err(IllegalDataValue));
    assert_eq!(decode(&pdu(22, &[0xFFFF, 0, 0], &[])), Ok(()));
    assert_eq!(decode(&pdu(24, &[0xFFFF], &[])), Ok(()));
}

#[test]
fn a_coil_is_0000_or_ff00() {
    for value in 0..=0xFFFF {
        let expected = if matches!(value, 0 | 0xFF00) { Ok(()) } else { Err(IllegalDataValue) };
        assert_eq!(decode(&pdu(5, &[1, value], &[])), expected, "{value:#06x}");
    }
    let request = Request::WriteSingleCoil { address: 1, value: true };
    assert_eq!(Response::decode(&request, &[5, 0, 1, 0xFF, 0x01]), Err(ReplyError::Length { received: 5 }));
}

#[test]
fn lengths_must_fit_the_function() {
    let whole: [&[u8]; 16] = [
        &[1, 0, 0, 0, 1],
        &[2, 0, 0, 0, 1],
        &[3, 0, 0, 0, 1],
        &[4, 0, 0, 0, 1],
        &[5, 0, 0, 0, 0],
        &[6, 0, 0, 0, 1],
        &[7],
        &[8, 0, 1, 0, 0],
        &[11],
        &[12],
        &[15, 0, 0, 0, 1, 1, 1],
        &[16, 0, 0, 0, 1, 2, 0, 1],
        &[17],
        &[22, 0, 0, 0, 1, 0, 1],
        &[24, 0, 0],
        &[43, 14, 1, 0],
    ];
    for pdu in whole {
        assert_eq!(decode(pdu), Ok(()), "{pdu:02x?}");
        assert_eq!(decode(&[pdu, &[0]].concat()), Err(IllegalDataValue), "{pdu:02x?} and a byte more");
        for length in 1..pdu.len() {
            assert_eq!(decode(&pdu[..length]), Err(IllegalDataValue), "{:02x?}", &pdu[..length]);
        }
    }
    // The data of return query data may have any length.
    for length in 0..=250 {
        assert_eq!(decode(&pdu(8, &[0], &vec![7; length])), Ok(()));
        assert_eq!(decode(&pdu(8, &[2], &vec![7; length])).is_ok(), length == 2);
    }
}

#[test]
fn byte_counts_of_writes() {
    for count in [1u16, 8, 9, 1968] {
        let bytes = count.div_ceil(8) as u8;
        assert_eq!(decode(&counted(15, &[0, count], bytes)), Ok(()));
        assert_eq!(decode(&counted(15, &[0, count], bytes - 1)), Err(IllegalDataValue));
        if count < 1968 {
            assert_eq!(decode(&counted(15, &[0, count], bytes + 1)), Err(IllegalDataValue));
        }
    }
    for count in [0, 1969, 2040, 2049, 0x8000, 0xFFF9, 0xFFFF] {
        // In 8 and 16 bits (2049 + 7) / 8 and 65529 + 7 would wrap to a small byte count.
        for bytes in [0, 1, 246] {
            assert_eq!(decode(&counted(15, &[0, count], bytes)), Err(IllegalDataValue), "{count} in {bytes}");
        }
    }
    assert_eq!(decode(&counted(16, &[0, 123], 246)), Ok(()));
    for (count, bytes) in [(0, 0), (1, 0), (1, 1), (1, 3), (1, 4), (124, 246), (129, 2), (0x8001, 2), (0xFFFF, 254)] {
        assert_eq!(decode(&counted(16, &[0, count], bytes)), Err(IllegalDataValue), "{count} in {bytes}");
    }
    // The byte count is right, the bytes are not.
    assert_eq!(decode(&pdu(16, &[0, 2], &[4, 0, 1, 0])), Err(IllegalDataValue));
    assert_eq!(decode(&pdu(16, &[0, 2], &[4, 0, 1, 0, 2, 0])), Err(IllegalDataValue));
}

#[test]
fn counts_of_read_write() {
    assert_eq!(decode(&counted(23, &[0, 125, 0, 121], 242)), Ok(()));
    for (read, write, bytes) in [(0, 1, 2), (126, 1, 2), (0xFFFF, 1, 2), (1, 0, 0), (1, 122, 242), (1, 121, 241)] {
        assert_eq!(decode(&counted(23, &[0, read, 0, write], bytes)), Err(IllegalDataValue), "{read}, {write}");
    }
}

/// One group of FC 20, or of FC 21 without its data.
fn group(reference_type: u8, file: u16, record: u16, length: u16) -> Vec<u8> {
    pdu(reference_type, &[file, record, length], &[])
}

fn file_request(function: u8, groups: &[Vec<u8>]) -> Vec<u8> {
    let bytes = groups.concat();
    [vec![function, bytes.len() as u8], bytes].concat()
}

#[test]
fn file_reads() {
    let read = |groups: &[Vec<u8>]| decode(&file_request(20, groups));
    assert_eq!(read(&[group(6, 1, 0, 1)]), Ok(()));
    assert_eq!(read(&[group(6, 0xFFFF, 0x270F, 1)]), Ok(()));
    for bad in [group(5, 1, 0, 1), group(6, 0, 0, 1), group(6, 1, 0x2710, 1), group(6, 1, 0x270F, 2)] {
        assert_eq!(read(std::slice::from_ref(&bad)), Err(IllegalDataAddress), "{bad:02x?}");
        assert_eq!(read(&[group(6, 1, 0, 1), bad]), Err(IllegalDataAddress));
    }
    // The byte count is a multiple of 7 from 7 to F5.
    assert_eq!(decode(&[20, 0]), Err(IllegalDataValue));
    assert_eq!(decode(&[20, 6, 6, 0, 1, 0, 0, 0]), Err(IllegalDataValue));
    assert_eq!(decode(&[20, 7, 6, 0, 1, 0, 0, 0]), Err(IllegalDataValue));
    assert_eq!(read(&vec![group(6, 1, 0, 1); 35]), Ok(()));
    assert_eq!(read(&vec![group(6, 1, 0, 1); 36]), Err(IllegalDataValue));
    // The reply's groups must fit F5 bytes: 2 + 2 * 121 do, 2 + 2 * 122 do not.
    assert_eq!(read(&[group(6, 1, 0, 121)]), Ok(()));
    assert_eq!(read(&[group(6, 1, 0, 122)]), Err(IllegalDataValue));
    assert_eq!(read(&[group(6, 1, 0, 60), group(6, 1, 0, 60)]), Ok(()));
    assert_eq!(read(&[group(6, 1, 0, 60), group(6, 1, 0, 61)]), Err(IllegalDataValue));
    assert_eq!(read(&[group(6, 1, 0, 0)]), Err(IllegalDataValue));
    // 03 comes before 02.
    assert_eq!(read(&[group(5, 0, 0x2710, 122)]), Err(IllegalDataValue));
}

#[test]
fn file_writes() {
    let written = |reference_type, file, record, length: u16| {
        [group(reference_type, file, record, length), vec![0; 2 * usize::from(length)]].concat()
    };
    let write = |groups: &[Vec<u8>]| decode(&file_request(21, groups));
    assert_eq!(write(&[written(6, 1, 0, 1)]), Ok(()));
    assert_eq!(write(&[written(6, 0xFFFF, 0x270F, 1), written(6, 1, 1, 2)]), Ok(()));
    for bad in [written(5, 1, 0, 1), written(6, 0, 0, 1), written(6, 1, 0x2710, 1), written(6, 1, 0x270F, 2)] {
        assert_eq!(write(&[written(6, 1, 0, 1), bad.clone()]), Err(IllegalDataAddress), "{bad:02x?}");
        // A later group that is cut short is 03, which comes first.
        assert_eq!(write(&[bad, group(6, 1, 0, 1)]), Err(IllegalDataValue));
    }
    // Up to FB: 7 + 2 * 122.
    assert_eq!(write(&[written(6, 1, 0, 122)]), Ok(()));
    assert_eq!(write(&[written(6, 1, 0, 0)]), Err(IllegalDataValue));
    assert_eq!(write(&[written(6, 1, 0, 1), written(6, 1, 0, 0)]), Err(IllegalDataValue));
    assert_eq!(decode(&[21, 0]), Err(IllegalDataValue));
    assert_eq!(decode(&pdu(21, &[], &[8, 6, 0, 1, 0, 0, 0, 1, 0])), Err(IllegalDataValue));
}

#[test]
fn device_identification() {
    for code in [0, 5, 0xFF] {
        assert_eq!(decode(&[43, 14, code, 0]), Err(IllegalDataValue));
    }
    for code in 1..=4 {
        assert_eq!(decode(&[43, 14, code, 0xFF]), Ok(()));
    }
    assert_eq!(decode(&[43]), Err(IllegalDataValue));
    // CANopen and reserved types are for a handler, which answers 01 when there is none.
    assert!(matches!(Request::decode(&[43, 13, 1, 2, 3]), Ok(Request::Custom { .. })));

    let request = Request::ReadDeviceIdentification { code: ReadDeviceId::Basic, object: 0 };
    let reply = |more, next, count, objects: &[u8]| {
        let pdu = [&[43, 14, 1, 1, more, next, count][..], objects].concat();
        Response::decode(&request, &pdu).map(drop)
    };
    assert_eq!(reply(0, 0, 1, &[0, 1, b'x']), Ok(()));
    for (more, count, objects) in
        [(1, 1, &[0, 1, b'x'][..]), (0, 2, &[0, 1, b'x']), (0, 0, &[0, 1, b'x']), (0, 1, &[0, 2, b'x'])]
    {
        assert!(matches!(reply(more, 0, count, objects), Err(ReplyError::Length { .. })), "{more} {count}");
    }
}

#[test]
fn objects_are_answered_by_level_and_in_pieces() {
    let long = [b'v'; 210];
    let objects: [(u8, &[u8]); 5] =
        [(0, &long), (1, b"code"), (2, b"1.0"), (4, b"a product"), (0x80, b"the device's own")];
    let ask = |objects: &[(u8, &'static [u8])], code, object| {
        let mut out = [0; 253];
        answer(&mut out, code, object, objects.iter().copied()).map(|length| out[..length].to_vec())
    };
    let leak: Vec<(u8, &'static [u8])> = objects.iter().map(|(id, value)| (*id, value.to_vec().leak() as _)).collect();
    let header = |code, object| ask(&leak, code, object).map(|pdu| (pdu[2], pdu[3], pdu[4], pdu[5], pdu[6]));

    use ReadDeviceId::{Basic, Extended, Individual, Regular};
    // Objects 00 and 01 and 02 fill one reply, 04 too; 80 does not fit any more.
    assert_eq!(header(Basic, 0), Ok((1, 0x83, 0, 0, 3)));
    assert_eq!(header(Regular, 0), Ok((2, 0x83, 0, 0, 4)));
    assert_eq!(header(Extended, 0), Ok((3, 0x83, 0xFF, 0x80, 4)));
    assert_eq!(header(Extended, 0x80), Ok((3, 0x83, 0, 0, 1)));
    // An unknown object, or one above the level, restarts the stream; a single unknown one is 02.
    assert_eq!(header(Extended, 3), header(Extended, 0));
    assert_eq!(header(Basic, 0x80), header(Basic, 0));
    assert_eq!(header(Individual, 3), Err(IllegalDataAddress));
    assert_eq!(header(Individual, 4), Ok((4, 0x83, 0, 0, 1)));
    assert_eq!(ask(&leak, Individual, 4).expect("known")[7..], *b"\x04\x09a product");
    // A device of the basic level answers with that, whatever level is asked for, and repeats the code.
    let basic = &leak[..3];
    assert_eq!(ask(basic, Extended, 0).map(|pdu| (pdu[2], pdu[3], pdu[6])), Ok((3, 0x81, 3)));
    // What cannot fit any reply is cut; what is written is what a client takes.
    let huge: [(u8, &'static [u8]); 1] = [(0, &[b'h'; 255])];
    let pdu = ask(&huge, Basic, 0).expect("known");
    assert_eq!((pdu.len(), pdu[8]), (253, 244));
    let request = Request::ReadDeviceIdentification { code: Basic, object: 0 };
    assert!(Response::decode(&request, &pdu).is_ok());
    assert_eq!(answer(&mut [0; 252], Basic, 0, huge.into_iter()), Err(ExceptionCode::ServerDeviceFailure));
}

#[test]
fn replies_must_repeat_the_request() {
    let mismatches: [(&[u8], &[u8], &str); 13] = [
        (&[5, 0, 1, 0xFF, 0], &[5, 0, 2, 0xFF, 0], "address"),
        (&[5, 0, 1, 0xFF, 0], &[5, 0, 1, 0, 0], "value"),
        (&[6, 0, 1, 0, 3], &[6, 0, 2, 0, 3], "address"),
        (&[6, 0, 1, 0, 3], &[6, 0, 1, 0, 4], "value"),
        (&[15, 0, 1, 0, 1, 1, 1], &[15, 0, 1, 0, 2], "count"),
        (&[16, 0, 1, 0, 1, 2, 0, 1], &[16, 0, 2, 0, 1], "address"),
        (&[22, 0, 1, 0, 2, 0, 3], &[22, 0, 1, 0, 2, 0, 4], "or mask"),
        (&[22, 0, 1, 0, 2, 0, 3], &[22, 0, 1, 0, 0, 0, 3], "and mask"),
        (&[8, 0, 0, 1, 2], &[8, 0, 0, 1, 3], "data"),
        (&[8, 0, 11, 0, 0], &[8, 0, 12, 0, 0], "sub-function"),
        (&[43, 14, 4, 1], &[43, 14, 4, 0x81, 0, 0, 1, 2, 0], "object id"),
        (&[43, 14, 1, 0], &[43, 14, 2, 0x81, 0, 0, 1, 0, 0], "read device id code"),
        (&[43, 13, 1], &[43, 14, 1], "MEI type"),
    ];
    for (request, reply, what) in mismatches {
        let request = Request::decode(request).expect("legal");
        assert_eq!(Response::decode(&request, reply), Err(ReplyError::Mismatch(what)));
    }
    // A counter comes back where zeros were sent.
    let request = Request::decode(&[8, 0, 11, 0, 0]).expect("legal");
    assert!(Response::decode(&request, &[8, 0, 11, 0x12, 0x34]).is_ok());
}

#[test]
fn replies_hold_as_many_items_as_were_asked_for() {
    for (area, function) in Area::ALL.into_iter().zip(1..) {
        let request = Request::Read { area, address: 0, count: 9 };
        let right = if area.is_bits() { 2 } else { 18 };
        for count in 0..=20u8 {
            let reply = counted(function, &[], count);
            assert_eq!(Response::decode(&request, &reply).is_ok(), count == right, "{count} bytes of {area}s");
        }
    }
    let queue = Request::ReadFifoQueue { address: 0 };
    for (bytes, count, there) in [(6, 2, 3), (4, 2, 2), (6, 3, 2), (66, 32, 32)] {
        let reply = pdu(24, &[bytes, count], &vec![0; 2 * there]);
        assert!(Response::decode(&queue, &reply).is_err(), "{bytes}, {count}, {there}");
    }
}

#[test]
fn groups_and_events_of_replies() {
    let read = Request::decode(&[20, 7, 6, 0, 1, 0, 0, 0, 1]).expect("legal");
    assert!(Response::decode(&read, &[20, 4, 3, 6, 0, 1]).is_ok());
    // Another reference type, another length, a byte count that is wrong.
    for reply in [[20, 4, 3, 5, 0, 1], [20, 4, 2, 6, 0, 1], [20, 5, 3, 6, 0, 1]] {
        assert_eq!(Response::decode(&read, &reply), Err(ReplyError::Length { received: 6 }));
    }
    let log = |events: u8| pdu(12, &[], &[&[6 + events][..], &[0; 6], &vec![0x20; events.into()]].concat());
    assert!(Response::decode(&Request::GetCommEventLog, &log(64)).is_ok());
    assert!(Response::decode(&Request::GetCommEventLog, &log(65)).is_err());
    let events = [0; 65];
    let response = |log| Response::CommEventLog { status: 0, events: 0, messages: 0, log }.encode();
    assert!(response(&events[..64]).is_ok() && response(&events).is_err());
}

#[test]
fn what_only_reads() {
    let reads = [1, 2, 3, 4, 7, 11, 12, 17, 20, 24];
    for function in (0..=255).filter(|function| *function != 43) {
        assert_eq!(is_read(&[function, 0, 0]), reads.contains(&function), "{function}");
    }
    assert!(is_read(&[43, 14, 1, 0]));
    assert!(!is_read(&[43, 13, 1, 0]) && !is_read(&[43]) && !is_read(&[]));
}

#[test]
fn what_may_not_be_sent_is_not_encoded() {
    let registers = [0; 126];
    let read = |count| Request::Read { area: Area::HoldingRegister, address: 0xFFF0, count };
    assert!(read(16).encode().is_ok());
    assert!([0, 17, 126].into_iter().all(|count| read(count).encode().is_err()));
    let write = |count| Request::WriteMultipleRegisters { address: 0, values: registers[..count].into() };
    assert!(write(123).encode().is_ok() && write(0).encode().is_err() && write(124).encode().is_err());
    let reply = |count| {
        Response::ReadRegisters { area: Area::HoldingRegister, values: registers[..count].into() }.encode().map(drop)
    };
    assert!(reply(125).is_ok() && reply(0).is_err() && reply(126).is_err());
    assert!(Response::ReadFileRecord([][..].into()).encode().is_err());
    assert!(Response::ServerId(&[0; 251]).encode().is_ok());
    assert!(Response::ServerId(&[0; 252]).encode().is_err());
}

#[test]
fn a_file_group_of_nothing_is_refused_for_its_count() {
    let reads = [FileRead { file: 1, record: 0, length: 0 }];
    assert_eq!(Request::ReadFileRecord(reads[..].into()).encode(), Err(EncodeError::Count { count: 0, max: 121 }));
    let writes = [FileWrite { file: 1, record: 0, values: [][..].into() }];
    assert_eq!(Request::WriteFileRecord(writes[..].into()).encode(), Err(EncodeError::Count { count: 0, max: 122 }));
}
