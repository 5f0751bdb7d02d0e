//! What a device has besides its data: files, queues, status, id; and what stands between it and the line.

use std::sync::{Arc, Mutex};

use dinrail::proto::pdu::file_record::{FileRead, FileWrite};
use dinrail::proto::{Pdu, Request};
use dinrail::service::{
    Call, DeviceIdentity, ExceptionStatus, Failure, Fifos, Files, Memory, Read, Reply, ServerId, Sparse, Units, Write,
    callbacks,
};
use dinrail::{Area, Client, ExceptionCode, Server, Service};

use crate::raw::{Raw, frame};

async fn serve(service: impl Service) -> (Server<impl Service>, Raw, Client) {
    let server = Server::tcp("127.0.0.1:0", service);
    let address = server.start().await.unwrap();
    (server, Raw::connect(address).await, Client::connect(address).await.unwrap())
}

#[tokio::test]
async fn s001_27_files_are_read_and_written_in_groups() {
    let files = Files::new().with_file(4, [0, 0x0DFE, 0x0020, 3]).with_file(3, (0..20).map(|record| record * 256));
    let (_server, mut master, client) = serve(Memory::new().with_part(files.clone())).await;
    // The example of AP 6.14, byte for byte but for file 3's contents.
    let request = [0x14, 0x0E, 6, 0, 4, 0, 1, 0, 2, 6, 0, 3, 0, 9, 0, 2];
    assert_eq!(master.ask(&request).await, [0x14, 0x0C, 5, 6, 0x0D, 0xFE, 0, 0x20, 5, 6, 9, 0, 0x0A, 0]);

    client.write_file_record(4, 1, &[0x06AF, 0x04BE]).await.unwrap();
    assert_eq!(files.values(4, 0, 4).unwrap(), [0, 0x06AF, 0x04BE, 3]);
    files.set(4, 0, &[9]).unwrap();
    assert_eq!(client.read_file_record(4, 0, 2).await.unwrap(), [9, 0x06AF]);
    client.write_register(1, 7).await.unwrap(); // what is behind is still there
}

#[tokio::test]
async fn s001_27_a_request_with_one_bad_group_does_nothing() {
    let files = Files::new().with_file(1, [1, 2, 3]);
    let (_server, mut master, client) = serve(Memory::new().with_part(files.clone())).await;
    let writes = [
        FileWrite { file: 1, record: 0, values: (&[9, 9][..]).into() },
        FileWrite { file: 1, record: 2, values: (&[9, 9][..]).into() },
    ];
    let refused = client.write_file_records(&writes).await.unwrap_err();
    assert_eq!(refused.exception(), Some(ExceptionCode::IllegalDataAddress));
    assert_eq!(files.values(1, 0, 3).unwrap(), [1, 2, 3]);
    for read in [FileRead { file: 2, record: 0, length: 1 }, FileRead { file: 1, record: 3, length: 1 }] {
        let refused = client.read_file_records(&[read]).await.unwrap_err();
        assert_eq!(refused.exception(), Some(ExceptionCode::IllegalDataAddress));
    }
    assert_eq!(master.ask(&[0x14, 7, 6, 0, 1, 0x27, 0x10, 0, 1]).await, [0x94, 2], "record 10000");
    assert_eq!(master.ask(&[0x14, 6, 6, 0, 1, 0, 0, 0]).await, [0x94, 3], "a byte too few");
    assert_eq!(files.set(1, 2, &[0, 0]), Err(ExceptionCode::IllegalDataAddress));
    files.remove(1);
    assert!(client.read_file_record(1, 0, 1).await.is_err());
}

#[tokio::test]
async fn s001_27_a_queue_is_read_without_being_emptied() {
    let fifos = Fifos::new().with_queue(0x04DE, [0x01B8, 0x1284]);
    let (_server, mut master, client) = serve(Memory::new().with_part(fifos.clone())).await;
    let reply = [0x18, 0, 6, 0, 2, 1, 0xB8, 0x12, 0x84]; // the example of AP 6.18
    assert_eq!(master.ask(&[0x18, 4, 0xDE]).await, reply);
    assert_eq!(master.ask(&[0x18, 4, 0xDE]).await, reply, "it is still there");
    assert_eq!(master.ask(&[0x18, 4, 0xDF]).await, [0x98, 2], "no pointer");
    assert_eq!(master.ask(&[0x18, 4]).await, [0x98, 3]);

    for value in 2..31 {
        fifos.push(0x04DE, value);
    }
    assert_eq!(client.read_fifo_queue(0x04DE).await.unwrap().len(), 31);
    fifos.push(0x04DE, 31);
    let refused = client.read_fifo_queue(0x04DE).await.unwrap_err();
    assert_eq!(refused.exception(), Some(ExceptionCode::IllegalDataValue), "32 are too many");
    assert_eq!(fifos.len(0x04DE), 32);
    assert_eq!(fifos.pop(0x04DE), Some(0x01B8));
    assert_eq!(client.read_fifo_queue(0x04DE).await.unwrap()[0], 0x1284);
    while fifos.pop(0x04DE).is_some() {}
    assert_eq!(client.read_fifo_queue(0x04DE).await.unwrap(), []);
}

#[tokio::test]
async fn s001_27_the_pointer_and_the_registers_behind_it_are_the_queue() {
    let memory = Memory::with_sizes(0, 0, 100, 100);
    memory.set(Area::HoldingRegister, 0, &[7; 100]).unwrap();
    let fifos = Fifos::new().with_queue(10, [1, 2, 3]);
    let (_server, _, client) = serve(memory.clone().with_part(fifos.clone())).await;
    assert_eq!(client.read_holding_registers(9, 6).await.unwrap(), [7, 3, 1, 2, 3, 7]);
    assert_eq!(client.read_holding_registers(12, 1).await.unwrap(), [2]);
    assert_eq!(client.read_holding_registers(0, 10).await.unwrap(), [7; 10]);
    assert_eq!(client.read_input_registers(10, 4).await.unwrap(), [0; 4]);
    assert_eq!(client.read_write_registers(10, 2, 0, &[8]).await.unwrap(), [3, 1]);
    assert!(client.read_holding_registers(99, 2).await.is_err());

    let (_server, _, client) = serve(memory.with_part(fifos.apart())).await;
    assert_eq!(client.read_holding_registers(9, 6).await.unwrap(), [7; 6]);
    assert_eq!(client.read_fifo_queue(10).await.unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn s001_27_status_id_and_identity() {
    let (status, id) = (ExceptionStatus::new(0x6D), ServerId::new([0x11]).with_additional("pump"));
    // Closures have parts as stores have.
    let service = callbacks(|read: Read| Ok(vec![0u16; read.count.into()]), |_: Write| Ok(()))
        .with_part(status.clone())
        .with_part(id.clone())
        .with_identity(DeviceIdentity::new("ACME", "PUMP", "V1"));
    let (_server, mut master, client) = serve(service).await;
    assert_eq!(master.ask(&[7]).await, [7, 0x6D]);
    assert_eq!(master.ask(&[7, 0]).await, [0x87, 3]);
    assert_eq!(master.ask(&[17]).await, [17, 6, 0x11, 0xFF, b'p', b'u', b'm', b'p']);
    status.set_bit(1, true);
    status.set_bit(0, false);
    status.set_bit(9, true);
    id.set_running(false);
    assert_eq!(client.read_exception_status().await.unwrap(), 0x6E);
    assert_eq!(client.report_server_id().await.unwrap(), b"\x11\0pump");
    assert_eq!(client.read_device_object(0).await.unwrap(), b"ACME");

    let (_server, mut master, _) = serve(Memory::new().with_part(ServerId::new([1; 300]).with_additional([2]))).await;
    let reply = master.ask(&[17]).await;
    assert_eq!((reply.len(), reply[1], reply[251]), (252, 250, 0xFF), "what does not fit is cut off");
}

#[tokio::test]
async fn s001_27_the_status_may_be_eight_coils() {
    let memory = Memory::with_sizes(20, 0, 0, 0);
    memory.set(Area::Coil, 4, &[1, 0, 1, 1, 0, 1, 1, 0]).unwrap();
    let (_server, mut master, client) = serve(memory.with_status_coils(4)).await;
    assert_eq!(master.ask(&[7]).await, [7, 0x6D]);
    client.write_coil(5, true).await.unwrap();
    assert_eq!(client.read_exception_status().await.unwrap(), 0x6F);
    let (_server, mut master, _) = serve(Memory::with_sizes(20, 0, 0, 0).with_status_coils(13)).await;
    assert_eq!(master.ask(&[7]).await, [0x87, 2], "there are not so many coils");
    // A future answers as well.
    let waiting = callbacks(|read: Read| async move { Ok(vec![true; read.count.into()]) }, |_: Write| Ok(()));
    let (_server, mut master, _) = serve(waiting.with_status_coils(0)).await;
    assert_eq!(master.ask(&[7]).await, [7, 0xFF]);
}

#[tokio::test]
async fn parts_belong_to_units() {
    let device = |bits| Memory::new().with_part(ExceptionStatus::new(bits));
    let (_server, mut master, _) = serve(Units::new().with(1, device(1)).with(2, device(2))).await;
    assert_eq!(master.ask_unit(1, &[7]).await, [7, 1]);
    assert_eq!(master.ask_unit(2, &[7]).await, [7, 2]);
}

#[tokio::test]
async fn s001_24_a_block_that_fails_is_0x04_and_gaps_are_0x02() {
    let failing = |area: Area| {
        move |read: Read| -> Result<Vec<u16>, Failure> {
            if read.area == area {
                return Err(Failure::message("the fieldbus card does not answer"));
            }
            Ok(vec![0; read.count.into()])
        }
    };
    let service = callbacks(failing(Area::HoldingRegister), |_: Write| Err(Failure::message("it is stuck")));
    let (_server, _, client) = serve(service).await;
    let failed = client.read_holding_registers(0, 1).await.unwrap_err();
    assert_eq!(failed.exception(), Some(ExceptionCode::ServerDeviceFailure));
    let failed = client.write_register(0, 1).await.unwrap_err();
    assert_eq!(failed.exception(), Some(ExceptionCode::ServerDeviceFailure));
    assert_eq!(client.read_input_registers(0, 2).await.unwrap(), [0, 0], "the others are not harmed");

    let sparse = Sparse::new();
    sparse.set(Area::HoldingRegister, 10, &[1, 2]);
    sparse.set(Area::HoldingRegister, 13, &[4]);
    let (_server, _, client) = serve(sparse).await;
    assert_eq!(client.read_holding_registers(10, 2).await.unwrap(), [1, 2]);
    for (address, count) in [(12, 1), (10, 4), (9, 2), (13, 2)] {
        let refused = client.read_holding_registers(address, count).await.unwrap_err();
        assert_eq!(refused.exception(), Some(ExceptionCode::IllegalDataAddress), "{address}");
    }
    assert!(client.write_registers(11, &[8, 8, 8]).await.is_err());
    assert_eq!(client.read_holding_registers(11, 1).await.unwrap(), [2], "nothing was written");
}

#[test]
fn a_store_with_gaps_is_updated_as_a_whole_or_not_at_all() {
    let sparse = Sparse::new();
    sparse.set(Area::InputRegister, 10, &[1, 2]);
    sparse.set(Area::DiscreteInput, 65535, &[0]);
    sparse.update(Area::InputRegister, 10, &[3, 4]).unwrap();
    sparse.update(Area::DiscreteInput, 65535, &[7]).unwrap();
    assert_eq!(sparse.value(Area::DiscreteInput, 65535), Some(1), "a bit is 0 or 1");
    for (area, address, values) in [
        (Area::InputRegister, 11, &[8, 8][..]),
        (Area::InputRegister, 9, &[8, 8]),
        (Area::HoldingRegister, 10, &[8]),
        (Area::DiscreteInput, 65535, &[0, 0]),
    ] {
        assert_eq!(sparse.update(area, address, values), Err(ExceptionCode::IllegalDataAddress), "{area} {address}");
    }
    assert_eq!((10..13).map(|at| sparse.value(Area::InputRegister, at)).collect::<Vec<_>>(), [Some(3), Some(4), None]);
    assert_eq!(sparse.value(Area::DiscreteInput, 65535), Some(1), "nothing was done");
}

#[tokio::test]
async fn s001_26_a_store_counts_from_0_and_has_65536_zeros() {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 5, &[5]).unwrap();
    let (_server, _, client) = serve(memory).await;
    assert_eq!(client.read_holding_registers(5, 1).await.unwrap(), [5]);
    assert_eq!(client.read_holding_registers(65000, 1).await.unwrap(), [0]);
    assert_eq!(client.read_coils(65535, 1).await.unwrap(), [false]);
}

#[tokio::test]
async fn s001_26_a_store_may_count_from_1() {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0, &(0..200).collect::<Vec<_>>()).unwrap();
    let (_server, mut master, client) = serve(memory.clone().with_offset(1)).await;
    assert_eq!(client.read_holding_registers(5, 2).await.unwrap(), [6, 7]);
    client.write_register(5, 99).await.unwrap(); // the echo names the client's address
    client.write_registers(6, &[1, 2]).await.unwrap();
    client.mask_write_register(5, 0xFFF0, 1).await.unwrap();
    client.write_coils(0, &[true, true]).await.unwrap();
    client.write_coil(8, true).await.unwrap();
    assert_eq!(client.read_write_registers(5, 3, 9, &[4]).await.unwrap(), [97, 1, 2]);
    assert_eq!(memory.values(Area::HoldingRegister, 6, 5).unwrap(), [97, 1, 2, 9, 4]);
    assert_eq!(memory.values(Area::Coil, 0, 4).unwrap(), [0, 1, 1, 0]);
    assert_eq!(memory.value(Area::Coil, 9), Some(1));
    assert_eq!(master.ask(&[3, 0xFF, 0xFF, 0, 1]).await, [0x83, 2], "there is no address 65536");
    assert_eq!(master.ask(&[3, 0xFF, 0xFE, 0, 1]).await, [3, 2, 0, 0]);
    assert_eq!(master.ask(&[3, 0, 0, 0, 0]).await, [0x83, 3]);
    assert_eq!(master.ask(&[6, 0xFF, 0xFF, 0, 1]).await, [0x86, 2]);

    let (_server, mut master, client) = serve(memory.with_offset(-1)).await;
    assert_eq!(client.read_holding_registers(1, 3).await.unwrap(), [0, 1, 2]);
    assert_eq!(master.ask(&[3, 0, 0, 0, 1]).await, [0x83, 2]);
    assert_eq!(master.ask(&[0x17, 0, 1, 0, 1, 0, 0, 0, 1, 2, 0, 9]).await, [0x97, 2], "both ranges are moved");
    // Queues are found by registers, and move with them.
    let fifos = Memory::new().with_part(Fifos::new().with_queue(100, [1]));
    let (_server, _, client) = serve(fifos.with_offset(100)).await;
    assert_eq!(client.read_fifo_queue(0).await.unwrap(), [1]);
}

#[tokio::test]
async fn s001_31_replies_are_altered_and_dropped() {
    let memory = Memory::with_sizes(0, 0, 10, 0);
    let service = memory.with_offset(0).map_reply(|call: &Call<'_>, reply: Option<Pdu>| {
        let reply = reply?;
        match (call.request(), reply.as_bytes()) {
            // A device that drops what it is asked at register 5, and reports its exceptions as busy.
            (Ok(Request::Read { address: 5, .. }), _) => None,
            (_, [function @ 0x80..=0xFF, _]) => Pdu::new(&[*function, 6]).ok(),
            (_, [3, 2, _, _]) => Pdu::new(&[3, 2, 0xBE, 0xEF]).ok(),
            _ => Some(reply),
        }
    });
    let (_server, mut master, _) = serve(service).await;
    assert_eq!(master.ask(&[3, 0, 0, 0, 1]).await, [3, 2, 0xBE, 0xEF]);
    assert_eq!(master.ask(&[3, 0, 0, 0, 2]).await, [3, 4, 0, 0, 0, 0]);
    assert_eq!(master.ask(&[3, 0, 10, 0, 1]).await, [0x83, 6]);
    master.send(&frame(99, 1, &[3, 0, 5, 0, 1])).await;
    assert_eq!(master.ask(&[6, 0, 1, 0, 1]).await, [6, 0, 1, 0, 1], "the dropped one was not answered");
}

#[tokio::test]
async fn s001_31_requests_are_traced_once_altered_and_dropped() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tracer = seen.clone();
    // One service answers at once, one takes its time.
    let waiting = callbacks(|read: Read| async move { Ok(vec![read.address; read.count.into()]) }, |_: Write| Ok(()));
    let units = Units::new().with(1, callbacks(|read: Read| Ok([read.address]), |_: Write| Ok(()))).with(2, waiting);
    let service = units.map_request(move |call: &Call<'_>| {
        tracer.lock().unwrap().push((call.unit().0, call.pdu()[0]));
        match call.pdu() {
            [4, rest @ ..] => Pdu::new(&[&[3], rest].concat()).ok(), // input registers are holding registers here
            [6, ..] => None,
            pdu => Pdu::new(pdu).ok(),
        }
    });
    let (_server, mut master, _) = serve(service).await;
    for unit in [1, 2] {
        assert_eq!(master.ask_unit(unit, &[3, 0, 9, 0, 1]).await, [3, 2, 0, 9]);
        assert_eq!(master.ask_unit(unit, &[4, 0, 9, 0, 1]).await, [3, 2, 0, 9]);
        master.send(&frame(99, unit, &[6, 0, 1, 0, 1])).await;
        assert_eq!(master.ask_unit(unit, &[3, 0, 8, 0, 1]).await, [3, 2, 0, 8], "the dropped one was not answered");
    }
    let once = |unit| [(unit, 3), (unit, 4), (unit, 6), (unit, 3)];
    assert_eq!(*seen.lock().unwrap(), [once(1), once(2)].concat());
}

#[tokio::test]
async fn s001_31_a_part_of_ones_own() {
    struct Locked;
    impl dinrail::service::Part for Locked {
        fn answer(&self, call: &mut Call<'_>) -> Option<Reply> {
            matches!(call.pdu()[0], 5 | 6 | 15 | 16).then_some(Reply::Exception(ExceptionCode::ServerDeviceBusy))
        }
    }
    let (_server, mut master, _) = serve(Memory::new().with_part(Locked)).await;
    assert_eq!(master.ask(&[6, 0, 1, 0, 1]).await, [0x86, 6]);
    assert_eq!(master.ask(&[3, 0, 1, 0, 1]).await, [3, 2, 0, 0]);
}
