//! RTU and ASCII frames over streams that are like TCP, and over lines with silences.

use std::time::Duration;

use dinrail::client::{self, Client};
use dinrail::proto::Framing;
use dinrail::proto::adu::crc16;
use dinrail::server::{self, serve_line};
use dinrail::service::{Memory, Peer, Units};
use dinrail::transport::{Burst, Tcp, Udp};
use dinrail::{Area, Error, ExceptionCode, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn rtu_line(service: impl dinrail::Service, options: server::Options) -> tokio::io::DuplexStream {
    let (ours, theirs) = tokio::io::duplex(4096);
    let options = options.with_framing(Framing::Rtu);
    let burst = Burst::Silence(Duration::from_millis(2));
    tokio::spawn(serve_line(theirs, burst, Peer::default(), service, options));
    ours
}

/// What comes until the line has been silent for a second.
async fn answer(line: &mut tokio::io::DuplexStream) -> Vec<u8> {
    let mut bytes = [0; 512];
    match tokio::time::timeout(Duration::from_secs(1), line.read(&mut bytes)).await {
        Ok(read) => bytes[..read.expect("the line is open")].to_vec(),
        Err(_) => Vec::new(),
    }
}

/// With its checksum behind it.
fn rtu(frame: &[u8]) -> Vec<u8> {
    [frame, &crc16(frame).to_le_bytes()[..]].concat()
}

fn memory() -> Memory {
    let memory = Memory::with_sizes(0, 0, 100, 0);
    memory.set(Area::HoldingRegister, 0, &[0x0102, 0x0304]).expect("they fit");
    memory
}

#[tokio::test]
async fn s001_22_rtu_and_ascii_frames_travel_over_tcp() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let options = server::Options::default().with_framing(framing);
        let server = Server::tcp("127.0.0.1:0", memory()).with_options(options);
        let address = server.start().await.expect("it starts");
        let client = Client::connect(Tcp::new(address).with_framing(framing)).await.expect("it connects");
        assert_eq!(client.read_holding_registers(0, 2).await.expect("values"), [0x0102, 0x0304]);
        client.write_register(7, 99).await.expect("it is written");
        assert_eq!(client.read_holding_registers(7, 1).await.expect("the value"), [99]);
        let refused = client.read_holding_registers(99, 2).await.expect_err("there is no such address");
        assert_eq!(refused.exception(), Some(ExceptionCode::IllegalDataAddress), "{framing:?}");
    }
}

/// Requests and replies as pymodbus 3.6.9's `ModbusBinaryFramer` makes them, braces in the data among them.
#[tokio::test]
async fn s001_22_binary_frames_over_tcp_are_those_of_pymodbus() {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0x7D, &[0x7D, 5]).expect("they fit");
    let options = server::Options::default().with_framing(Framing::Binary);
    let server = Server::tcp("127.0.0.1:0", memory.clone()).with_options(options);
    let mut stream = TcpStream::connect(server.start().await.expect("it starts")).await.expect("it listens");
    let exchanges: [(&[u8], &[u8]); 2] = [
        (b"{\x01\x03\x00}}\x00\x02\x02\x46}", b"{\x01\x03\x04\x00}}\x00\x05\xfb\x34}"),
        (b"{\x01\x10\x00\x01\x00\x03\x06{{}}}}{{}}}}\xbf\x74}", b"{\x01\x10\x00\x01\x00\x03\xd1\xc8}"),
    ];
    for (request, expected) in exchanges {
        stream.write_all(request).await.expect("it is sent");
        let mut reply = vec![0; expected.len()];
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_exact(&mut reply)).await;
        read.expect("it answers").expect("a whole reply");
        assert_eq!(reply, expected);
    }
    assert_eq!(memory.values(Area::HoldingRegister, 1, 3).expect("they are there"), [0x7B7D, 0x7D7B, 0x7D7D]);
    server.stop().await;
    assert_eq!(stream.read(&mut [0]).await.expect("the end"), 0, "nothing stands behind the replies");
}

#[tokio::test(start_paused = true)]
async fn s001_10_foreign_units_and_bad_checksums_are_met_with_silence() {
    let mut line = rtu_line(memory(), server::Options::default().with_units([2])).await;
    line.write_all(&[0x02, 0x03, 0, 0, 0, 2, 0xC4, 0x38]).await.expect("it is sent");
    assert_eq!(answer(&mut line).await, [0x02, 0x03, 4, 1, 2, 3, 4, 0x68, 0x3C]);
    line.write_all(&[0x03, 0x03, 0, 0, 0, 2, 0xC5, 0xE9]).await.expect("it is sent");
    assert_eq!(answer(&mut line).await, [], "another unit");
    line.write_all(&[0x02, 0x03, 0, 0, 0, 2, 0xC4, 0x39]).await.expect("it is sent");
    assert_eq!(answer(&mut line).await, [], "a bad checksum");
    line.write_all(&[0xFF, 0x02, 0x55, 0x02, 0x03, 0, 0, 0, 2, 0xC4, 0x38]).await.expect("it is sent");
    assert_eq!(answer(&mut line).await.len(), 9, "a good frame behind noise");
}

#[tokio::test(start_paused = true)]
async fn s001_11_a_frame_may_come_in_pieces_with_pauses_as_usb_adapters_make_them() {
    let mut line = rtu_line(memory(), server::Options::default().with_units([2])).await;
    let request = rtu(&[2, 3, 0, 0, 0, 2]);
    for pause in [3, 6, 45].map(Duration::from_millis) {
        for cut in 1..request.len() {
            line.write_all(&request[..cut]).await.expect("it is sent");
            tokio::time::sleep(pause).await;
            line.write_all(&request[cut..]).await.expect("it is sent");
            assert_eq!(answer(&mut line).await, rtu(&[2, 3, 4, 1, 2, 3, 4]), "cut at {cut}, for {pause:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn functions_of_unknown_length_and_parts_of_frames_hold_up_a_stream_for_a_moment_only() {
    let (mut ours, theirs) = tokio::io::duplex(4096);
    let options = server::Options::default().with_framing(Framing::Rtu);
    tokio::spawn(server::serve_stream(theirs, Peer::default(), memory(), options));
    for unknown in [&[1, 0x44, 1, 2, 3][..], &[1, 43, 15, 0, 0]] {
        ours.write_all(&rtu(unknown)).await.expect("it is sent");
        assert_eq!(answer(&mut ours).await, rtu(&[1, unknown[1] | 0x80, 1]), "{unknown:?}");
    }
    ours.write_all(&[1, 3, 0]).await.expect("a part of a frame, and no more of it");
    assert_eq!(answer(&mut ours).await, []);
    ours.write_all(&rtu(&[1, 3, 0, 0, 0, 1])).await.expect("it is sent");
    assert_eq!(answer(&mut ours).await, rtu(&[1, 3, 2, 1, 2]));
    // A segment that is late is still a part of its frame.
    let whole = rtu(&[1, 3, 0, 1, 0, 1]);
    ours.write_all(&whole[..5]).await.expect("it is sent");
    tokio::time::sleep(Duration::from_millis(300)).await;
    ours.write_all(&whole[5..]).await.expect("it is sent");
    assert_eq!(answer(&mut ours).await, rtu(&[1, 3, 2, 3, 4]));
}

/// Nothing but its length says where a bare PDU ends: were a part of one dropped, its rest would be taken for a request.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_bare_pdu_that_stalled_is_never_a_request() {
    let (mut ours, theirs) = tokio::io::duplex(4096);
    let options = server::Options::default().with_framing(Framing::Pdu);
    let memory = memory();
    tokio::spawn(server::serve_stream(theirs, Peer::default(), memory.clone(), options));
    ours.write_all(&[16, 0, 0, 0, 3, 6]).await.expect("a part of it");
    assert_eq!(answer(&mut ours).await, []);
    tokio::time::sleep(Duration::from_secs(60)).await;
    ours.write_all(&[6, 0, 7, 0, 9, 1]).await.expect("values that look like a write of hr:7");
    assert_eq!(answer(&mut ours).await, [16, 0, 0, 0, 3]);
    assert_eq!(memory.values(Area::HoldingRegister, 0, 8).expect("in range"), [0x0600, 0x0700, 0x0901, 0, 0, 0, 0, 0]);
    // What is complete for all that anybody knows is answered.
    ours.write_all(&[0x44, 1, 2]).await.expect("a function of unknown length");
    assert_eq!(answer(&mut ours).await, [0xC4, 1]);
    ours.write_all(&[3, 0, 0, 0, 1]).await.expect("it is sent");
    assert_eq!(answer(&mut ours).await, [3, 2, 6, 0]);
}

/// Characters of ASCII frames may come a second apart (SL 2.5.2.1), on a stream too.
#[tokio::test(start_paused = true)]
async fn ascii_frames_may_pause_for_a_second_on_a_stream() {
    let (mut ours, theirs) = tokio::io::duplex(4096);
    let options = server::Options::default().with_framing(Framing::Ascii);
    tokio::spawn(server::serve_stream(theirs, Peer::default(), memory(), options));
    ours.write_all(b":0103000").await.expect("it is sent");
    tokio::time::sleep(Duration::from_millis(900)).await;
    ours.write_all(b"00001FB\r\n").await.expect("it is sent");
    assert_eq!(answer(&mut ours).await, b":0103020102F7\r\n");
}

#[tokio::test(start_paused = true)]
async fn s001_15_a_broadcast_is_done_by_every_unit_and_not_answered() {
    let units: Vec<Memory> = (0..3).map(|_| memory()).collect();
    let service = (1..).zip(&units).fold(Units::new(), |all, (unit, memory)| all.with(unit, memory.clone()));
    let mut line = rtu_line(service, server::Options::default()).await;
    line.write_all(&[0x00, 0x06, 0, 9, 0, 7, 0x19, 0xDB]).await.expect("it is sent");
    assert_eq!(answer(&mut line).await, []);
    for memory in &units {
        assert_eq!(memory.value(Area::HoldingRegister, 9), Some(7));
    }
}

#[tokio::test(start_paused = true)]
async fn s001_15_unit_0_is_nobodys_on_a_serial_line_without_broadcasts() {
    for units in [vec![1], vec![0, 1]] {
        let memory = memory();
        let options = server::Options::default().with_broadcast(false).with_units(units);
        let mut line = rtu_line(memory.clone(), options).await;
        line.write_all(&[0x00, 0x06, 0, 9, 0, 7, 0x19, 0xDB]).await.expect("it is sent");
        assert_eq!(answer(&mut line).await, []);
        line.write_all(&[0x01, 0x06, 0, 8, 0, 7, 0x49, 0xCA]).await.expect("it is sent");
        assert_eq!(answer(&mut line).await.len(), 8, "unit 1 is there as before");
        let values = [8, 9].map(|address| memory.value(Area::HoldingRegister, address));
        assert_eq!(values, [Some(7), Some(0)]);
    }
}

/// A broadcast in each framing of a shared line, over TCP and over UDP: done unless the server's options say no.
#[tokio::test]
async fn s001_15_broadcasts_of_shared_framings_are_obeyed_over_networks_unless_they_are_unset() {
    for framing in [Framing::Rtu, Framing::Ascii, Framing::Binary] {
        for (broadcast, done) in [(None, 7), (Some(true), 7), (Some(false), 0)] {
            let options = server::Options::default().with_framing(framing).with_broadcast(broadcast);
            let (tcp, udp) = (memory(), memory());
            let by_tcp = Server::tcp("127.0.0.1:0", tcp.clone()).with_options(options.clone());
            let by_udp = Server::udp("127.0.0.1:0", udp.clone()).with_options(options);
            let tcp_address = by_tcp.start().await.expect("it starts");
            let udp_address = by_udp.start().await.expect("it starts");
            let client = Client::connect(Tcp::new(tcp_address).with_framing(framing)).await.expect("it connects");
            client.unit(0).write_register(9, 7).await.expect("it is sent");
            // What is answered behind it tells that it has been dealt with.
            let value = client.unit(1).read_holding_registers(9, 1).await.expect("the value");
            assert_eq!(value, [done], "TCP, {framing:?}, {broadcast:?}");
            let client = Client::connect_with(Udp::new(udp_address).with_framing(framing), client::Options::default())
                .await
                .expect("it connects");
            client.unit(0).write_register(9, 7).await.expect("it is sent");
            client.unit(1).write_register(8, 1).await.expect("it is answered");
            let value = client.unit(1).read_holding_registers(9, 1).await.expect("the value");
            assert_eq!(value, [done], "UDP, {framing:?}, {broadcast:?}");
        }
    }
}

#[tokio::test]
async fn s001_15_unit_0_is_a_broadcast_on_tcp_when_that_is_asked_for() {
    let units: Vec<Memory> = (0..3).map(|_| memory()).collect();
    let service = (1..).zip(&units).fold(Units::new(), |all, (unit, memory)| all.with(unit, memory.clone()));
    let options = server::Options::default().with_broadcast(true);
    let server = Server::tcp("127.0.0.1:0", service).with_options(options);
    let options = client::Options::default().with_timeout(Duration::from_millis(100));
    let client =
        Client::connect_with(Tcp::new(server.start().await.expect("it starts")), options).await.expect("it connects");
    let unanswered = client.unit(0).write_register(9, 7).await;
    assert!(matches!(unanswered, Err(Error::Timeout { .. })), "{unanswered:?}");
    for unit in 1..=3 {
        assert_eq!(client.unit(unit).read_holding_registers(9, 1).await.expect("the value"), [7]);
    }
}

#[tokio::test]
async fn s001_15_units_that_are_named_hear_broadcasts_on_tcp_where_those_of_others_are_ignored() {
    let units: Vec<Memory> = (0..3).map(|_| memory()).collect();
    let service = (1..).zip(&units).fold(Units::new(), |all, (unit, memory)| all.with(unit, memory.clone()));
    let options = server::Options::default()
        .with_broadcast(true)
        .with_units([1u8, 2])
        .with_missing_units(server::MissingUnit::Ignore);
    let server = Server::tcp("127.0.0.1:0", service).with_options(options);
    let options = client::Options::default().with_timeout(Duration::from_millis(100));
    let client =
        Client::connect_with(Tcp::new(server.start().await.expect("it starts")), options).await.expect("it connects");
    let unanswered = client.unit(0).write_register(9, 7).await;
    assert!(matches!(unanswered, Err(Error::Timeout { .. })), "{unanswered:?}");
    let values: Vec<_> = units.iter().map(|memory| memory.value(Area::HoldingRegister, 9)).collect();
    assert_eq!(values, [Some(7), Some(7), Some(0)]);
}

#[tokio::test]
async fn a_stream_that_is_idle_for_too_long_is_closed() {
    let options = server::Options::default().with_idle_timeout(Duration::from_millis(100));
    let (mut ours, theirs) = tokio::io::duplex(4096);
    let serving = server::serve_stream(theirs, Peer::default(), memory(), options);
    let asking = async {
        ours.write_all(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).await.expect("it is open");
        assert_eq!(answer(&mut ours).await.len(), 11);
    };
    let both = async { tokio::join!(serving, asking) };
    let (served, ()) = tokio::time::timeout(Duration::from_secs(10), both).await.expect("it ends");
    served.expect("nothing is wrong");
    assert_eq!(ours.read(&mut [0]).await.expect("the end"), 0);
}
