//! Capture files, as Wireshark's own reader (tshark) understands them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dinrail::Server;
use dinrail::client::{self, Client};
use dinrail::proto::{Adu, Area, Framing, UnitId};
use dinrail::service::Memory;
use dinrail::transport::{Burst, Link, Pcapng, Role, Tap, Tapped, Tcp, Udp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::harness::{Serving, listener};
use crate::log::Log;

fn memory() -> Memory {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0, &[1, 2, 3]).expect("in range");
    memory
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.pcapng", std::process::id()))
}

/// What tshark prints about a file; `None`, and a message, where there is none.
fn tshark(path: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("tshark").arg("-r").arg(path).args(args).env("LC_ALL", "C").output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            skipped(&error);
            return None;
        }
    };
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<_> = complaints.lines().filter(|line| !line.contains("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{complaints:?}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

#[allow(clippy::print_stderr, reason = "whoever runs the tests is to know")]
fn skipped(error: &io::Error) {
    eprintln!("SKIPPED: tshark cannot be run ({error}); install it: apt-get install tshark");
}

/// Packets that Wireshark finds fault with: malformed, with a warning, out of sequence, with a wrong checksum.
fn complaints(path: &Path) -> Option<String> {
    let about = "_ws.malformed || _ws.expert.severity >= 0x600000 || tcp.analysis.flags \
                 || tcp.checksum.status == 0 || ip.checksum.status == 0";
    tshark(path, &["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y", about, "-V"])
}

#[tokio::test]
async fn wireshark_reads_a_tcp_conversation() {
    let path = path("tcp");
    let capture = Pcapng::create(&path).expect("a file");
    let (listener, address) = listener().await;
    let server = Serving::start(Tap::new(listener, capture.clone()).with_local(address), memory());
    let client = Client::connect(Tcp::from(address)).await.expect("it listens");
    client.read_holding_registers(0, 3).await.expect("answered");
    client.write_registers(10, &[7; 100]).await.expect("answered");
    client.call_pdu(&dinrail::proto::Pdu::new(&[0x55, 1]).expect("a PDU")).await.expect_err("refused");
    client.close();
    server.stop().await;
    let captured = capture.finish().expect("written");
    assert_eq!((captured.packets, captured.dropped), (3 + 6 + 3, 0));
    let fields = ["-Y", "modbus", "-T", "fields", "-e", "mbtcp.unit_id", "-e", "modbus.func_code"];
    let fields =
        [&fields[..], &["-e", "modbus.regnum16", "-e", "modbus.exception_code", "-e", "modbus.response_time"]].concat();
    let Some(text) = tshark(&path, &fields) else { return };
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 6, "{text}");
    let functions: Vec<_> = rows.iter().map(|row| (row[0], row[1])).collect();
    assert_eq!(functions, [("1", "3"), ("1", "3"), ("1", "16"), ("1", "16"), ("1", "85"), ("1", "85")]);
    assert_eq!(rows[1][2], "0,1,2", "Wireshark pairs requests and replies: {text}");
    assert_eq!(rows[5][3], "1", "an exception: {text}");
    assert!(rows[1][4].parse::<f64>().is_ok_and(|seconds| seconds < 5.0), "{text}");
    assert_eq!(complaints(&path).as_deref(), Some(""));
    let addresses =
        tshark(&path, &["-T", "fields", "-e", "ip.src", "-e", "tcp.port", "-e", "frame.comment"]).expect("as before");
    let first = addresses.lines().next().expect("a packet");
    assert!(first.starts_with("127.0.0.1\t") && first.contains(",502\tdinrail is the server of 127.0.0.1:"), "{first}");
    std::fs::remove_file(path).expect("there");
}

#[tokio::test]
async fn wireshark_reads_datagrams() {
    let path = path("udp");
    let capture = Pcapng::create(&path).expect("a file");
    let (near, mut far) = duplex(4096);
    let address = "[2001:db8::7]:502".parse().expect("an address");
    let link = Link::new(Role::Client, "meter", Framing::Tcp).with_burst(Burst::EachRead).with_address(address);
    let mut near = Tapped::new(near, link, capture.clone());
    near.write_all(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).await.expect("open");
    far.write_all(&[0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 9]).await.expect("open");
    assert_eq!(near.read(&mut [0; 64]).await.expect("open"), 11);
    drop(near);
    assert_eq!(capture.finish().expect("written").packets, 2);
    let Some(text) =
        tshark(&path, &["-T", "fields", "-e", "_ws.col.Protocol", "-e", "ipv6.dst", "-e", "modbus.func_code"])
    else {
        return;
    };
    assert_eq!(text, "Modbus/UDP\t2001:db8::7\t3\nModbus/UDP\t2001:db8::1\t3\n");
    assert_eq!(complaints(&path).as_deref(), Some(""));
    std::fs::remove_file(path).expect("there");
}

#[tokio::test]
async fn a_client_over_udp_is_captured_as_such() {
    let path = path("udp-client");
    let capture = Pcapng::create(&path).expect("a file");
    let server = Server::udp("127.0.0.1:0", memory());
    let address = server.start().await.expect("a free port");
    let connect = Tap::new(Udp::from(address), capture.clone());
    let client = Client::connect_with(connect, client::Options::default()).await.expect("a socket");
    assert_eq!(client.read_holding_registers(0, 3).await.expect("answered"), [1, 2, 3]);
    client.close();
    server.stop().await;
    assert_eq!(capture.finish().expect("written").packets, 2);
    let fields = ["-T", "fields", "-e", "_ws.col.Protocol", "-e", "udp.dstport", "-e", "modbus.regnum16"];
    let Some(text) = tshark(&path, &fields) else { return };
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0][..2], ["Modbus/UDP", "502"], "{text}");
    assert_eq!((rows[1][0], rows[1][2]), ("Modbus/UDP", "0,1,2"), "{text}");
    std::fs::remove_file(path).expect("there");
}

#[tokio::test]
async fn wireshark_reads_a_serial_line_without_any_preference() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let path = path(&format!("serial-{framing:?}"));
        let capture = Pcapng::create(&path).expect("a file");
        let (near, mut far) = duplex(4096);
        let mut near = Tapped::new(near, Link::new(Role::Client, "/dev/ttyUSB0", framing), capture.clone());
        let (mut request, mut reply) = ([0; 520], [0xFF; 520]);
        let mut adu = Adu { transaction: 0, unit: UnitId(0x11), pdu: &[3, 0, 0x6B, 0, 3] };
        let length = framing.encode(&adu, &mut request).expect("room");
        let request = &request[..length];
        adu.pdu = &[3, 6, 0xAE, 0x41, 0x56, 0x52, 0x43, 0x40];
        let length = framing.encode(&adu, &mut reply[1..]).expect("room");
        let reply = &reply[..1 + length];
        near.write_all(request).await.expect("open");
        far.write_all(reply).await.expect("open");
        assert_eq!(near.read(&mut [0; 520]).await.expect("open"), reply.len());
        drop(near);
        assert_eq!(capture.finish().expect("written").packets, 3, "two frames, and garbage");
        let info = ["-o", "mbrtu.crc_verification:TRUE", "-T", "fields", "-e", "frame.protocols", "-e", "_ws.col.Info"];
        let Some(text) = tshark(&path, &info) else { return };
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].contains("exported_pdu:mbrtu:modbus"), "{text}");
        assert!(lines[0].contains("Query: Unit:  17, Func:   3: Read Holding Registers"), "{text}");
        assert!(lines[1].starts_with("exported_pdu:data"), "{text}");
        assert!(lines[2].contains("Response: Unit:  17, Func:   3"), "{text}");
        assert_eq!(complaints(&path).as_deref(), Some(""));
        std::fs::remove_file(path).expect("there");
    }
}

#[cfg(target_os = "linux")] // it has a disk that is always full
#[tokio::test]
async fn a_full_disk_ends_the_capture_and_nothing_else() {
    // The thread that writes has no subscriber of its own, so it is the process's.
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).expect("the only test that sets it");
    /// Takes the beginning of the file, as a disk does that has a little room left.
    struct Almost(std::fs::File, usize);
    impl Write for Almost {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.1.checked_sub(bytes.len()) {
                Some(left) => {
                    self.1 = left;
                    Ok(bytes.len())
                }
                None => self.0.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let capture = Pcapng::to_writer(Almost(full, 300)).expect("room for the beginning");
    let (listener, address) = listener().await;
    let server = Serving::start(listener, memory());
    let connect = Tap::new(Tcp::from(address), capture.clone());
    let client = Client::connect_with(connect, client::Options::default()).await.expect("it listens");
    for _ in 0..50 {
        assert_eq!(client.read_holding_registers(0, 3).await.expect("answered"), [1, 2, 3]);
    }
    assert_eq!(capture.finish().expect_err("full").kind(), io::ErrorKind::StorageFull);
    assert_eq!(client.read_holding_registers(0, 3).await.expect("answered"), [1, 2, 3]);
    client.close();
    server.stop().await;
    let text = log.text();
    let told = text.lines().filter(|line| line.contains("ERROR") && line.contains("the capture ends here")).count();
    assert_eq!(told, 1, "{text}");
}

/// Takes nothing but the beginning until it is allowed to.
struct Slow {
    begun: bool,
    go: Receiver<()>,
    written: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.begun, true) {
            // Closed once it may go on for good.
            let _ = self.go.recv();
        }
        Write::write(&mut *self.written.lock().expect("no panic"), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_disk_that_does_not_keep_up_holds_up_nothing_and_the_gaps_are_counted() {
    let (go, allowed) = channel();
    let written = std::sync::Arc::default();
    let slow = Slow { begun: false, go: allowed, written: std::sync::Arc::clone(&written) };
    let capture = Pcapng::to_writer(slow).expect("a thread");
    let (near, mut far) = duplex(1 << 20);
    let mut near = Tapped::new(near, Link::new(Role::Client, "plc", Framing::Tcp), capture.clone());
    let request = [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
    let (writes, mut sink) = (20_000, vec![0; 1 << 20]);
    for _ in 0..writes {
        near.write_all(&request).await.expect("open");
        let _ = far.read(&mut sink).await.expect("open");
    }
    let dropped = capture.captured().dropped;
    assert!(dropped > 5_000, "the queue is bounded: {dropped}");
    drop(go);
    drop(near);
    let captured = capture.finish().expect("written");
    assert!(captured.dropped >= dropped);
    // The end of the connection is a record too, which becomes three packets if there is room for it.
    let closing = captured.packets + captured.dropped - 3 - writes;
    assert!(closing == 3 || closing == 1, "{captured:?}");
    let path = path("gaps");
    std::fs::write(&path, &*written.lock().expect("no panic")).expect("a file");
    // Sequence numbers show the gap, if anything came behind it.
    if let Some(text) = tshark(&path, &["-Y", "modbus", "-T", "fields", "-e", "frame.number"]) {
        assert_eq!(text.lines().count() as u64, captured.packets - 3 - if closing == 3 { 3 } else { 0 });
    }
    std::fs::remove_file(path).expect("there");
}

#[tokio::test]
async fn what_has_passed_is_in_the_file_a_moment_later_whatever_becomes_of_the_program() {
    let path = path("flushed");
    let capture = Pcapng::create(&path).expect("a file");
    let (near, _far) = duplex(4096);
    let mut near = Tapped::new(near, Link::new(Role::Client, "plc", Framing::Tcp), capture.clone());
    near.write_all(&[0xAB, 0xCD, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).await.expect("open");
    let deadline = Instant::now() + Duration::from_secs(10);
    // Neither finished nor closed.
    while !std::fs::read(&path).expect("there").windows(4).any(|bytes| bytes == [0xAB, 0xCD, 0, 0]) {
        assert!(Instant::now() < deadline, "it is never flushed");
        tokio::task::yield_now().await;
    }
    drop(near);
    capture.finish().expect("written");
    std::fs::remove_file(path).expect("there");
}
