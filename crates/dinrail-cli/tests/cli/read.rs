//! `dinrail read`.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{Background, Server, dinrail, failure, fake, reserve, stdout};

#[tokio::test]
async fn every_type_in_every_order() {
    let server = Server::start(&["--set", "hr:0=0x0123,0x4567,0x89AB,0xCDEF", "--set", "hr:10=0x6869,0x2100"]).await;
    let table = [
        ("u16", "ABCD", "291"),
        ("u16", "BADC", "8961"),
        ("i16", "ABCD", "291"),
        ("hex", "ABCD", "0x0123"),
        ("bin", "ABCD", "0b0000000100100011"),
        ("bit:0", "ABCD", "on"),
        ("bit:2", "ABCD", "off"),
        ("u32", "ABCD", "19088743"),
        ("u32", "CDAB", "1164378403"),
        ("u32", "BADC", "587294533"),
        ("u32", "DCBA", "1732584193"),
        ("u64", "ABCD", "81985529216486895"),
        ("i64", "DCBA", "-1167088121787636991"),
        ("f32", "ABCD", "2.9988165e-38"),
        ("f64", "ABCD", "3.512700564088504e-303"),
    ];
    for (data_type, order, value) in table {
        let shown = stdout(&["read", &server.url, "hr:0", "--type", data_type, "--order", order]).await;
        assert_eq!(shown, format!("{value}\n"), "{data_type} {order}");
    }
    assert_eq!(stdout(&["read", &server.url, "hr:10", "--type", "str:4"]).await, "hi!\n");
    server.stop().await;
}

#[tokio::test]
async fn references_of_plc_documentation_are_understood() {
    let server =
        Server::start(&["--set", "hr:99=1", "--set", "ir:99=2", "--set", "di:99=on", "--set", "co:99=on"]).await;
    for (reference, value) in [("40100", "1"), ("400100", "1"), ("30100", "2"), ("10100", "on"), ("00100", "on")] {
        assert_eq!(stdout(&["read", &server.url, reference]).await, format!("{value}\n"), "{reference}");
    }
    server.stop().await;
}

#[tokio::test]
async fn more_than_a_request_carries_is_read_in_parts() {
    let server = Server::start(&["--set", "hr:0=1", "--set", "hr:299=2", "--set", "co:4999=on"]).await;
    let registers = stdout(&["read", &server.url, "hr:0", "-n", "300"]).await;
    let registers: Vec<&str> = registers.lines().collect();
    assert_eq!((registers.len(), registers[0], registers[299]), (300, "1", "2"));
    let coils = stdout(&["read", &server.url, "co:0", "-n", "5000"]).await;
    assert!(coils.ends_with("off\non\n"));
    let all = stdout(&["read", &server.url, "hr:0", "-n", "65536"]).await;
    assert_eq!(all.lines().count(), 65536);
    server.stop().await;
}

#[tokio::test]
async fn json_is_one_object_a_line() {
    let server = Server::start(&["--set", "hr:0:f32=21.1,nan"]).await;
    let lines = stdout(&["read", &server.url, "hr:0", "-n", "2", "--type", "f32", "--json", "--unit", "3"]).await;
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["address"], &lines[0]["value"]), (&"hr:0".into(), &21.1.into()));
    assert_eq!((&lines[1]["address"], &lines[1]["value"]), (&"hr:2".into(), &"NaN".into()));
    assert_eq!((&lines[0]["unit"], &lines[0]["type"]), (&3.into(), &"f32".into()));
    assert!(lines[0]["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{lines:?}");
    server.stop().await;
}

#[tokio::test]
async fn nobody_listening_is_3_and_a_sentence() {
    let place = reserve();
    let complaint = failure(3, &["read", &place.url, "hr:0"]).await;
    let address = place.url.strip_prefix("tcp://").expect("a URL");
    assert!(complaint.contains("cannot connect to") && complaint.contains(address), "{complaint}");
}

#[tokio::test]
async fn a_host_without_an_address_is_3() {
    let complaint = failure(3, &["read", "tcp://no-such-host.invalid:502", "hr:0"]).await;
    assert!(complaint.contains("no-such-host.invalid"), "{complaint}");
}

#[tokio::test]
async fn no_answer_in_time_is_3() {
    let silent = fake(|_| None).await;
    let start = Instant::now();
    let complaint = failure(3, &["read", &silent, "hr:0", "--timeout", "100ms"]).await;
    assert!(complaint.contains("no answer") && complaint.contains("100ms"), "{complaint}");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn an_exception_is_1_and_says_which() {
    let refusing = fake(|pdu| Some(vec![pdu[0] | 0x80, 2])).await;
    let complaint = failure(1, &["read", &refusing, "hr:70"]).await;
    assert!(complaint.contains("0x02 (illegal data address)"), "{complaint}");
    assert!(complaint.contains("hr:70"), "it says what was refused: {complaint}");
}

/// The first of two requests is answered, the second refused: half a result would be taken for a whole one.
#[tokio::test]
async fn half_a_result_is_none() {
    let half = fake(|pdu| match pdu {
        [3, 0, 0, ..] => Some([&[3, 250][..], &[0; 250]].concat()),
        _ => Some(vec![pdu[0] | 0x80, 2]),
    })
    .await;
    let complaint = failure(1, &["read", &half, "hr:0", "-n", "130"]).await;
    assert!(complaint.contains("hr:125"), "{complaint}");
}

#[tokio::test]
async fn every_goes_on_through_a_restart_of_the_server() {
    let place = reserve();
    let server = Server::start_at(&place.url, &["--set", "hr:0=1"]).await;
    let mut watch = Background::start(&["read", &place.url, "hr:0", "--json", "--every", "20ms", "--timeout", "500ms"]);
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    assert_eq!(value(&watch.line().await)["value"], 1);
    server.stop().await;
    let gap = watch.line_where(|line| line.contains("\"error\"")).await;
    assert_eq!(value(&gap)["address"], "hr:0");
    let server = Server::start_at(&place.url, &["--set", "hr:0=2"]).await;
    let again = watch.line_where(|line| line.contains("\"value\"")).await;
    assert_eq!(value(&again)["value"], 2);
    watch.signal("INT").await;
    let (status, _, stderr) = watch.end().await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "which a shell shows as 130");
    assert!(stderr.starts_with("dinrail: "), "the gap was complained about: {stderr}");
    server.stop().await;
}

#[tokio::test]
async fn every_begins_with_a_server_that_is_not_there_yet() {
    let place = reserve();
    let mut watch = Background::start(&["read", &place.url, "hr:0", "--every", "20ms"]);
    let server = Server::start_at(&place.url, &["--set", "hr:0=3"]).await;
    assert_eq!(watch.line().await, "3");
    server.stop().await;
}

#[tokio::test]
async fn verbose_tells_what_happens_on_standard_error_only() {
    let server = Server::start(&[]).await;
    let run = dinrail(&["-vv", "read", &server.url, "hr:0"]).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "0\n"));
    assert!(run.stderr.contains("connected") && run.stderr.contains("address=0 count=1"), "{run:?}");
    server.stop().await;
}
