//! Requests, replies to them, and lines of good frames and garbage.
//!
//! Values borrow from leaked memory: tests are short, and lifetimes would bury what they say.

use dinrail_proto::adu::crc16;
use dinrail_proto::pdu::device_id::{self, ReadDeviceId};
use dinrail_proto::pdu::diagnostics::Diagnostic;
use dinrail_proto::pdu::file_record::{FileRead, FileWrite};
use dinrail_proto::pdu::{Bits, Registers};
use dinrail_proto::{Adu, Area, Framing, FunctionCode, Request, Response, UnitId};
use proptest::collection::vec;
use proptest::prelude::*;

fn leak<T>(values: Vec<T>) -> &'static [T] {
    values.leak()
}

fn area() -> impl Strategy<Value = Area> {
    proptest::sample::select(Area::ALL.to_vec())
}

/// An address, often at the end of the address space, and a count that fits behind it.
fn range(max: u16) -> impl Strategy<Value = (u16, u16)> {
    (1..=max, any::<u16>(), any::<bool>()).prop_map(|(count, address, at_the_end)| {
        let last = (0x1_0000 - u32::from(count)) as u16;
        (if at_the_end { last } else { address.min(last) }, count)
    })
}

fn registers(count: usize) -> impl Strategy<Value = &'static [u16]> {
    vec(any::<u16>(), count).prop_map(leak)
}

fn bytes(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), count).prop_map(leak)
}

fn bits(count: usize) -> impl Strategy<Value = Bits<'static>> {
    let packed = bytes(count.div_ceil(8)).prop_map(move |bytes| Bits::from_packed(bytes, count));
    prop_oneof![packed, vec(any::<bool>(), count).prop_map(|values| leak(values).into())]
}

fn file_reads() -> impl Strategy<Value = &'static [FileRead]> {
    let read = (1..=u16::MAX, 0..=9990u16, 1..=9u16);
    vec(read.prop_map(|(file, record, length)| FileRead { file, record, length }), 1..=12).prop_map(leak)
}

fn file_writes() -> impl Strategy<Value = &'static [FileWrite<'static>]> {
    let write = (1..=u16::MAX, 0..=9990u16, (1..=9usize).prop_flat_map(registers));
    vec(write.prop_map(|(file, record, values)| FileWrite { file, record, values: values.into() }), 1..=10)
        .prop_map(leak)
}

fn read_device_id() -> impl Strategy<Value = ReadDeviceId> {
    use ReadDeviceId::{Basic, Extended, Individual, Regular};
    proptest::sample::select(vec![Basic, Regular, Extended, Individual])
}

/// Functions that the specification leaves to users and devices.
pub(crate) fn custom_function() -> impl Strategy<Value = FunctionCode> {
    prop_oneof![65..=72u8, 100..=110u8, Just(9), Just(90), Just(127)]
        .prop_map(|code| FunctionCode::new(code).expect("a function code"))
}

/// Every kind of legal request.
pub(crate) fn request() -> impl Strategy<Value = Request<'static>> {
    let read = area().prop_flat_map(|area| {
        range(area.max_read()).prop_map(move |(address, count)| Request::Read { area, address, count })
    });
    let coil = any::<(u16, bool)>().prop_map(|(address, value)| Request::WriteSingleCoil { address, value });
    let register = any::<(u16, u16)>().prop_map(|(address, value)| Request::WriteSingleRegister { address, value });
    let fixed = proptest::sample::select(vec![
        Request::ReadExceptionStatus,
        Request::GetCommEventCounter,
        Request::GetCommEventLog,
        Request::ReportServerId,
    ]);
    let echo =
        bytes(0..=250).prop_map(|data| Request::Diagnostics { sub_function: Diagnostic::RETURN_QUERY_DATA, data });
    let diagnostics =
        (1..=u16::MAX, bytes(2)).prop_map(|(code, data)| Request::Diagnostics { sub_function: Diagnostic(code), data });
    let coils = range(1968).prop_flat_map(|(address, count)| {
        bits(count.into()).prop_map(move |values| Request::WriteMultipleCoils { address, values })
    });
    let write = range(123).prop_flat_map(|(address, count)| {
        let values = registers(count.into());
        values.prop_map(move |values| Request::WriteMultipleRegisters { address, values: values.into() })
    });
    let read_file = file_reads().prop_map(|reads| Request::ReadFileRecord(reads.into()));
    let write_file = file_writes().prop_map(|writes| Request::WriteFileRecord(writes.into()));
    let mask = any::<(u16, u16, u16)>().prop_map(|(address, and_mask, or_mask)| Request::MaskWriteRegister {
        address,
        and_mask,
        or_mask,
    });
    let read_write = (range(125), range(121)).prop_flat_map(|((read_address, read_count), (write_address, count))| {
        registers(count.into()).prop_map(move |values| Request::ReadWriteMultipleRegisters {
            read_address,
            read_count,
            write_address,
            values: values.into(),
        })
    });
    let fifo = any::<u16>().prop_map(|address| Request::ReadFifoQueue { address });
    let identification =
        (read_device_id(), any::<u8>()).prop_map(|(code, object)| Request::ReadDeviceIdentification { code, object });
    let custom = (custom_function(), bytes(0..=252)).prop_map(|(function, data)| Request::Custom { function, data });
    let function = FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT;
    let mei = bytes(1..=252)
        .prop_filter("another MEI type", |data| data[0] != device_id::MEI_TYPE)
        .prop_map(move |data| Request::Custom { function, data });
    prop_oneof![
        4 => read, 1 => coil, 1 => register, 1 => fixed, 1 => echo, 1 => diagnostics, 1 => coils, 2 => write,
        1 => read_file, 1 => write_file, 1 => mask, 1 => read_write, 1 => fifo, 1 => identification, 1 => custom,
        1 => mei,
    ]
}

/// Any legal reply to `request`.
pub(crate) fn response_to(request: Request<'static>) -> BoxedStrategy<Response<'static>> {
    match request {
        Request::Read { area, count, .. } if area.is_bits() => {
            bits(count.into()).prop_map(move |values| Response::ReadBits { area, values }).boxed()
        }
        Request::Read { area, count, .. } => registers(count.into())
            .prop_map(move |values| Response::ReadRegisters { area, values: values.into() })
            .boxed(),
        Request::WriteSingleCoil { address, value } => Just(Response::WriteSingleCoil { address, value }).boxed(),
        Request::WriteSingleRegister { address, value } => {
            Just(Response::WriteSingleRegister { address, value }).boxed()
        }
        Request::ReadExceptionStatus => any::<u8>().prop_map(Response::ExceptionStatus).boxed(),
        Request::Diagnostics { sub_function, data } if sub_function.is_echo() => {
            Just(Response::Diagnostics { sub_function, data }).boxed()
        }
        Request::Diagnostics { sub_function, .. } => {
            bytes(2).prop_map(move |data| Response::Diagnostics { sub_function, data }).boxed()
        }
        Request::GetCommEventCounter => {
            any::<(u16, u16)>().prop_map(|(status, events)| Response::CommEventCounter { status, events }).boxed()
        }
        Request::GetCommEventLog => (any::<(u16, u16, u16)>(), bytes(0..=64))
            .prop_map(|((status, events, messages), log)| Response::CommEventLog { status, events, messages, log })
            .boxed(),
        Request::WriteMultipleCoils { address, values } => {
            Just(Response::WriteMultipleCoils { address, count: values.len() as u16 }).boxed()
        }
        Request::WriteMultipleRegisters { address, values } => {
            Just(Response::WriteMultipleRegisters { address, count: values.len() as u16 }).boxed()
        }
        Request::ReportServerId => bytes(0..=251).prop_map(Response::ServerId).boxed(),
        Request::ReadFileRecord(reads) => {
            let groups: Vec<_> = reads.iter().map(|read| registers(read.length.into())).collect();
            groups
                .prop_map(|groups| {
                    let groups: Vec<Registers<'static>> = groups.into_iter().map(Registers::from).collect();
                    Response::ReadFileRecord(leak(groups).into())
                })
                .boxed()
        }
        Request::WriteFileRecord(writes) => Just(Response::WriteFileRecord(writes)).boxed(),
        Request::MaskWriteRegister { address, and_mask, or_mask } => {
            Just(Response::MaskWriteRegister { address, and_mask, or_mask }).boxed()
        }
        Request::ReadWriteMultipleRegisters { read_count, .. } => {
            registers(read_count.into()).prop_map(|values| Response::ReadWriteMultipleRegisters(values.into())).boxed()
        }
        Request::ReadFifoQueue { .. } => {
            (0..=31usize).prop_flat_map(registers).prop_map(|values| Response::FifoQueue(values.into())).boxed()
        }
        Request::ReadDeviceIdentification { code, object } => identification(request, code, object).boxed(),
        Request::Custom { function, data } => bytes(0..=251)
            .prop_map(move |mut reply| {
                if function == FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT {
                    reply = leak([&data[..1], reply].concat());
                }
                Response::Custom { function, data: reply }
            })
            .boxed(),
        other => panic!("a new kind of request needs replies here: {other:?}"),
    }
}

fn identification(
    request: Request<'static>,
    code: ReadDeviceId,
    object: u8,
) -> impl Strategy<Value = Response<'static>> {
    let objects = proptest::collection::btree_map(any::<u8>(), vec(any::<u8>(), 0..=120), 1..6);
    objects.prop_map(move |mut objects| {
        objects.entry(object).or_insert_with(|| b"the one".to_vec());
        let mut out = vec![0; 253];
        let objects = objects.iter().map(|(id, value)| (*id, value.as_slice()));
        let length = device_id::answer(&mut out, code, object, objects).expect("the object exists");
        out.truncate(length);
        Response::decode(&request, leak(out)).expect("our own answer")
    })
}

/// A frame of a request or of a reply, of a unit from 0 (requests only) to 247.
pub(crate) fn frame(framing: Framing) -> impl Strategy<Value = Vec<u8>> {
    let pdu = request().prop_flat_map(|request| {
        let reply = response_to(request).prop_map(|response| (1, response.encode().expect("legal")));
        let exception = any::<u8>()
            .prop_map(move |code| (1, dinrail_proto::Pdu::exception(request.function().code(), code.into())));
        prop_oneof![Just((0, request.encode().expect("legal"))), reply, exception]
    });
    (any::<u16>(), prop_oneof![0..=5u8, 0..=247u8], pdu).prop_map(move |(transaction, unit, (least, pdu))| {
        framed(framing, transaction, unit.max(least), pdu.as_bytes())
    })
}

pub(crate) fn framed(framing: Framing, transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut out = vec![0; framing.max_adu()];
    let length = framing.encode(&Adu { transaction, unit: UnitId(unit), pdu }, &mut out).expect("it fits");
    out.truncate(length);
    out
}

/// Bytes that are no frame but want to be one.
pub(crate) fn garbage(framing: Framing) -> impl Strategy<Value = Vec<u8>> {
    let noise = vec(any::<u8>(), 0..40);
    let cut = (frame(framing), any::<prop::sample::Index>()).prop_map(|(mut frame, at)| {
        frame.truncate(at.index(frame.len()));
        frame
    });
    let flipped = (frame(framing), any::<prop::sample::Index>(), 0..8u8).prop_map(|(mut frame, at, bit)| {
        let at = at.index(frame.len());
        frame[at] ^= 1u8 << bit;
        frame
    });
    // What makes a decoder wait longest, and work most.
    let headers = vec(
        proptest::sample::select(vec![
            vec![1, 3, 250],
            vec![5, 16, 0, 0, 0, 123, 246],
            vec![240, 4, 240],
            vec![1, 43, 14, 1, 1, 0, 0, 255],
            vec![1, 100],
            vec![1, 8, 0, 0],
            vec![1, 16, 0, 0, 0, 1, 9],
            vec![1, 23, 0, 0, 0, 1, 0, 0, 0, 1, 255],
            b":01".to_vec(),
            b":\r:".to_vec(),
            b"{\x01\x03".to_vec(),
            b"{{}{}}{".to_vec(),
            vec![0, 1, 0, 0, 0, 250],
            vec![0, 1, 0, 9, 0, 4],
        ]),
        1..20,
    )
    .prop_map(|headers| headers.concat());
    prop_oneof![noise, cut, flipped, headers]
}

/// A line: good frames and garbage, in any order.
pub(crate) fn line(framing: Framing) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![3 => frame(framing).boxed(), 1 => garbage(framing).boxed()], 0..8).prop_map(|parts| parts.concat())
}

/// Sizes of the pieces in which a line comes, over and over again.
pub(crate) fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1..40usize, 1..10), vec(1..400usize, 1..4)]
}

/// Whether a part at the front of an RTU frame has a right checksum by chance, once in 65536 times. Where the first bytes
/// can be read as a frame of that length, nobody can tell.
pub(crate) fn is_ambiguous(frame: &[u8]) -> bool {
    (4..frame.len()).any(|length| crc16(&frame[..length]) == 0)
}

pub(crate) fn rtu(body: &[u8]) -> Vec<u8> {
    let mut frame = body.to_vec();
    frame.extend(crc16(body).to_le_bytes());
    frame
}
