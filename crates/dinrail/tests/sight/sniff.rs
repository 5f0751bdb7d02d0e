//! What is understood of captures: of our own, and of one that was made on a loopback interface by dumpcap.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dinrail::client::{self, Client};
use dinrail::proto::{Adu, Area, Framing, UnitId};
use dinrail::service::Memory;
use dinrail::sniff::{Capture, CaptureOptions, Event, Seen, Summary};
use dinrail::transport::{Burst, Link, Pcapng, Role, Tap, Tapped, Tcp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::harness::{Serving, listener};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.pcapng", std::process::id()))
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sight/captures").join(name)
}

fn text(seen: &Seen) -> String {
    match &seen.event {
        Event::Exchange(exchange) => {
            let function = exchange.function().expect("a function").code();
            let values = exchange.reply.map(|reply| reply.as_bytes()[1..].to_vec()).unwrap_or_default();
            format!("unit {} FC {function} {:?} {:?}", exchange.unit, exchange.outcome, &values[..values.len().min(7)])
        }
        Event::Garbage { bytes, awaited, .. } => format!("garbage {bytes:?} {:?}", awaited.map(|unit| unit.0)),
        other => format!("{other:?}"),
    }
}

fn read(path: &Path, options: CaptureOptions) -> Vec<Seen> {
    Capture::open(path, options).expect("a capture").map(|seen| seen.expect("whole")).collect()
}

/// `dinrail read`, `write`, and a unit that is not there, as seen on two kinds of interface.
#[test]
fn captures_of_others_are_understood() {
    for name in ["loopback.pcap", "any.pcapng"] {
        let seen = read(&fixture(name), CaptureOptions::default().with_ports([44737]));
        let lines: Vec<_> = seen.iter().map(text).collect();
        assert_eq!(
            lines,
            [
                "unit 1 FC 3 Answered [6, 0, 1, 0, 2, 0, 3]",
                "unit 1 FC 16 Answered [0, 10, 0, 3]",
                "unit 1 FC 5 Answered [0, 3, 255, 0]",
                "unit 5 FC 3 Refused(GatewayTargetFailedToRespond) [11]",
                "unit 1 FC 4 Answered [250, 0, 0, 0, 0, 0, 0]",
            ],
            "{name}"
        );
        assert!(seen.iter().all(|seen| &*seen.server == "127.0.0.1:44737"), "{name}");
        let Event::Exchange(first) = &seen[0].event else { panic!("{seen:?}") };
        let elapsed = first.elapsed.expect("answered").as_nanos();
        assert_eq!(elapsed, if name == "any.pcapng" { 36_979 } else { 37_000 }, "the file's resolution: {name}");
    }
    assert!(read(&fixture("loopback.pcap"), CaptureOptions::default()).is_empty(), "nobody spoke on port 502");
}

#[tokio::test]
async fn what_a_tap_has_captured_is_understood() {
    let path = path("sniffed");
    let capture = Pcapng::create(&path).expect("a file");
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0, &[1, 2, 3]).expect("in range");
    let (listener, address) = listener().await;
    let server = Serving::start(listener, memory);
    let options = client::Options::default().with_depth(4usize);
    let connect = Tap::new(Tcp::from(address), capture.clone());
    let client = Client::connect_with(connect, options).await.expect("it listens");
    let (one, two) = tokio::join!(client.read_holding_registers(0, 3), client.write_register(9, 9));
    one.and(two).expect("answered");
    client.read_holding_registers(0, 125).await.expect("answered");
    client.close();
    server.stop().await;
    capture.finish().expect("written");
    let mut lines: Vec<_> = read(&path, CaptureOptions::default()).iter().map(text).collect();
    assert_eq!(lines.pop().as_deref(), Some("unit 1 FC 3 Answered [250, 0, 1, 0, 2, 0, 3]"));
    lines.sort();
    assert_eq!(lines, ["unit 1 FC 3 Answered [6, 0, 1, 0, 2, 0, 3]", "unit 1 FC 6 Answered [0, 9, 0, 9]"]);
    std::fs::remove_file(path).expect("there");
}

/// Two units, one of which is away, and a reply that is broken on the line; then the file is cut off.
#[tokio::test]
async fn a_captured_serial_line_is_understood_even_if_it_is_cut_off() {
    let path = path("serial");
    let capture = Pcapng::create(&path).expect("a file");
    let (near, mut far) = duplex(4096);
    let link = Link::new(Role::Client, "/dev/ttyUSB0", Framing::Rtu).with_burst(Burst::Silence(Duration::from_secs(1)));
    let mut near = Tapped::new(near, link, capture.clone());
    let frame = |unit: u8, pdu: &[u8]| {
        let mut bytes = [0; 300];
        let length = Framing::Rtu.encode(&Adu { transaction: 0, unit: UnitId(unit), pdu }, &mut bytes).expect("room");
        bytes[..length].to_vec()
    };
    let (ask, answer) = ([3, 0, 0, 0, 1], [3, 2, 0, 7]);
    let mut broken = frame(17, &answer);
    broken[3] ^= 4;
    for (request, reply) in [
        (frame(17, &ask), frame(17, &answer)),
        (frame(9, &ask), Vec::new()),
        (frame(17, &ask), broken.clone()),
        (frame(17, &ask), frame(17, &[0x83, 2])),
    ] {
        near.write_all(&request).await.expect("open");
        if !reply.is_empty() {
            far.write_all(&reply).await.expect("open");
            assert_eq!(near.read(&mut [0; 300]).await.expect("open"), reply.len());
        }
    }
    drop(near);
    capture.finish().expect("written");
    let expected = [
        "unit 17 FC 3 Answered [2, 0, 7]".to_owned(),
        "unit 9 FC 3 Unanswered []".to_owned(),
        format!("garbage {broken:?} Some(17)"),
        "unit 17 FC 3 Unanswered []".to_owned(),
        "unit 17 FC 3 Refused(IllegalDataAddress) [2]".to_owned(),
    ];
    let seen = read(&path, CaptureOptions::default());
    assert_eq!(seen.iter().map(text).collect::<Vec<_>>(), expected);
    let mut summary = Summary::new();
    seen.iter().for_each(|seen| summary.count(seen));
    let units: Vec<_> =
        summary.units().map(|(line, unit, counts)| (line, unit, counts.requests, counts.broken)).collect();
    assert_eq!(units, [("serial", 9, 1, 0), ("serial", 17, 3, 1)]);

    let whole = std::fs::read(&path).expect("there");
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).expect("a file");
        // Without its beginning it is no capture.
        let Ok(mut capture) = Capture::open(&path, CaptureOptions::default()) else {
            assert!(length < 64, "{length}");
            continue;
        };
        let lines: Vec<_> = capture.by_ref().map(|seen| text(&seen.expect("whole so far"))).collect();
        // What was outstanding at the end counts as unanswered.
        let kept = lines.iter().zip(&expected).take_while(|(line, expected)| line == expected).count();
        assert!(kept + 1 >= lines.len(), "{length}: {lines:?}");
    }
    std::fs::remove_file(path).expect("there");
}

#[test]
fn what_is_no_capture_is_said_to_be_none() {
    let path = path("none");
    for bytes in [&b""[..], b"x", &[0; 100], &[0xA1; 5000]] {
        std::fs::write(&path, bytes).expect("a file");
        let error = Capture::open(&path, CaptureOptions::default()).expect_err("no capture");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    }
    std::fs::remove_file(path).expect("there");
}

/// Any bytes flipped anywhere: it reads on or says that it cannot, and ends.
#[test]
fn a_damaged_capture_harms_nobody() {
    let whole = std::fs::read(fixture("any.pcapng")).expect("there");
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let options = CaptureOptions::default().with_ports([44737]);
        if let Ok(capture) = Capture::from_reader(std::io::Cursor::new(bytes), options) {
            assert!(capture.take(10_000).count() < 10_000, "it ends");
        }
    }
}
