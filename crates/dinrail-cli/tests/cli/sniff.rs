//! `dinrail sniff`.

use std::path::PathBuf;

use crate::harness::{Server, dinrail, failure, stdout};

fn fixture() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../dinrail/tests/sight/captures/loopback.pcap");
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test]
async fn a_capture_is_shown_and_summed_up() {
    let text = stdout(&["sniff", &fixture(), "--port", "44737"]).await;
    let lines: Vec<_> = text.lines().collect();
    for (line, parts) in lines.iter().zip([
        &[
            "2026-11-21T03:41:28.859637Z",
            "127.0.0.1:44737",
            "unit 1",
            "Read Holding Registers hr:0 n=3 = 1, 2, 3",
            "0.04 ms",
        ][..],
        &["Write Multiple Registers hr:10 n=3 = 7, 8, 9"],
        &["Write Single Coil co:3 = 1"],
        &["unit 5", "Read Holding Registers hr:0 n=1", "EXCEPTION 0x0b"],
        &["Read Input Registers ir:0 n=125 = 0, 0, ", ", ...  0.0"],
        &[],
        &["UNIT  REQUESTS  ANSWERED  EXCEPTIONS"],
        &["127.0.0.1:44737     1         4         4           0"],
        &["127.0.0.1:44737     5         1         0           1"],
    ]) {
        for part in parts {
            assert!(line.contains(part), "{part:?} is missing in {line:?}");
        }
    }
    assert_eq!(lines.len(), 9, "{text}");
}

#[tokio::test]
async fn who_looks_at_the_wrong_port_is_told_the_right_one() {
    let run = dinrail(&["sniff", &fixture()]).await;
    assert_eq!(run.code, Some(0));
    assert!(run.stderr.contains("44737 (50 packets)") && run.stderr.contains("--port 44737"), "{}", run.stderr);
}

#[tokio::test]
async fn filters_choose_what_is_shown_and_counted() {
    let capture = fixture();
    for (filter, shown) in [
        (&["--unit", "5"][..], 1),
        (&["--unit", "1,5"], 5),
        (&["--function", "3"], 2),
        (&["--area", "co,ir"], 2),
        (&["--area", "hr", "--unit", "1"], 2),
        (&["--area", "di"], 0),
    ] {
        let text = stdout(&[&["sniff", &capture, "--port", "44737", "--json"][..], filter].concat()).await;
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (summaries, exchanges): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.get("summary").is_some());
        assert_eq!(exchanges.len(), shown, "{filter:?}");
        let requests: u64 = summaries.iter().filter_map(|line| line["requests"].as_u64()).sum();
        assert_eq!(requests, shown as u64, "{filter:?}");
    }
    let text = stdout(&["sniff", &capture, "--port", "44737", "--json", "--unit", "5"]).await;
    let line: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["function"], 3);
    assert_eq!(line["address"], "hr:0");
    assert_eq!((&line["outcome"], &line["exception"]), (&"exception".into(), &11.into()));
    assert_eq!((&line["request"], &line["reply"]), (&"0300000001".into(), &"830b".into()));
    assert_eq!(line["ms"], 0.017);
}

#[tokio::test]
async fn what_cannot_be_listened_to_is_a_sentence() {
    let complaint = failure(3, &["sniff", "/there/is/none.pcap"]).await;
    assert!(complaint.starts_with("dinrail: /there/is/none.pcap: "), "{complaint}");
    let complaint = failure(2, &["sniff", "/dev/ttyUSB0"]).await;
    assert!(complaint.contains("write rtu:///dev/ttyUSB0"), "{complaint}");
    let server = Server::start(&[]).await;
    let complaint = failure(2, &["sniff", &server.url]).await;
    assert!(complaint.contains("tcpdump"), "{complaint}");
    server.stop().await;
    let run = crate::harness::dinrail(&["sniff", "rtu:///dev/there-is-none"]).await;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("rtu:///dev/there-is-none"), "{run:?}");
}

/// A pair of terminals: the test speaks at one end for a client and two devices, and the other end is listened to.
#[cfg(target_os = "linux")]
mod bus {
    use std::fs::File;
    use std::io::{ErrorKind, Read, Write};
    use std::os::fd::OwnedFd;

    use dinrail::proto::{Adu, Framing, UnitId};
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use crate::harness::Background;

    fn terminal() -> (File, String) {
        let near: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&near).expect("a terminal of ours");
        unlockpt(&near).expect("a terminal of ours");
        let name = ptsname(&near, Vec::new()).expect("its name").into_string().expect("a name");
        let flags = fcntl_getfl(&near).expect("a file");
        fcntl_setfl(&near, flags | OFlags::NONBLOCK).expect("a file");
        (File::from(near), name)
    }

    fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut bytes = [0; 300];
        let length = Framing::Rtu.encode(&Adu { transaction: 0, unit: UnitId(unit), pdu }, &mut bytes).expect("room");
        bytes[..length].to_vec()
    }

    #[tokio::test]
    async fn a_bus_with_two_units_is_listened_to_and_nothing_is_said() {
        let (mut bus, name) = terminal();
        let mut sniff = Background::start(&["sniff", &format!("rtu://{name}?parity=none")]);
        let listening = sniff.complaint().await;
        assert!(listening.contains("listening on"), "{listening}");
        let mut say = |bytes: &[u8]| bus.write_all(bytes).expect("room");

        say(&frame(17, &[3, 0, 107, 0, 2]));
        say(&frame(17, &[3, 4, 2, 43, 0, 100]));
        let line = sniff.line().await;
        assert!(line.contains("unit 17") && line.contains("Read Holding Registers hr:107 n=2 = 555, 100"), "{line}");
        // In pieces, with a write of another unit behind it.
        let (request, reply) = (frame(5, &[6, 0, 1, 0, 9]), frame(5, &[6, 0, 1, 0, 9]));
        say(&request[..3]);
        say(&[&request[3..], &reply].concat());
        let line = sniff.line().await;
        assert!(line.contains("unit 5") && line.contains("Write Single Register hr:1 = 9"), "{line}");
        // A reply that noise has broken, and then a request that nobody answers.
        let mut broken = frame(17, &[3, 2, 0, 1]);
        broken[3] ^= 0x40;
        say(&[frame(17, &[3, 0, 0, 0, 1]), broken].concat());
        let line = sniff.line().await;
        assert!(line.contains("NO FRAME: 7 bytes") && line.contains("the reply of unit 17 was due"), "{line}");
        say(&frame(9, &[1, 0, 0, 0, 8]));
        let line = sniff.line().await;
        assert!(line.contains("unit 17") && line.contains("NO ANSWER"), "{line}");
        // Time alone tells that nobody answers.
        let line = sniff.line().await;
        assert!(line.contains("unit 9") && line.contains("Read Coils co:0 n=8  NO ANSWER"), "{line}");

        sniff.signal("INT").await;
        let (status, text, _) = sniff.end().await;
        assert_eq!(status.code(), Some(0));
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let row = |unit: &str| rows.iter().find(|row| row.get(1) == Some(&unit)).expect("a row").clone();
        assert_eq!(row("17")[2..8], ["2", "1", "0", "1", "0", "1"], "{text}");
        assert_eq!(row("5")[2..8], ["1", "1", "0", "0", "0", "0"], "{text}");
        assert_eq!(row("9")[2..8], ["1", "0", "0", "1", "0", "0"], "{text}");

        let heard = bus.read(&mut [0; 100]).expect_err("nothing has been said");
        assert!(heard.kind() == ErrorKind::WouldBlock || heard.raw_os_error() == Some(5), "{heard}");
    }
}
