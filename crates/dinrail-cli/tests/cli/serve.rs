//! `dinrail serve`.

use tokio::io::AsyncReadExt;

use crate::harness::{Background, Server, failure, stdout};

#[tokio::test]
async fn it_holds_what_is_set_and_zeros() {
    let server = Server::start(&[
        "--set",
        "hr:0=1,2,3",
        "--set",
        "40011:f32=21.5",
        "--set",
        "co:0=on,off,on",
        "--set",
        "ir:9=7",
    ])
    .await;
    let url = server.url.as_str();
    assert_eq!(stdout(&["read", url, "hr:0", "-n", "4"]).await, "1\n2\n3\n0\n");
    assert_eq!(stdout(&["read", url, "hr:10", "--type", "f32"]).await, "21.5\n");
    assert_eq!(stdout(&["read", url, "co:0", "-n", "3"]).await, "on\noff\non\n");
    assert_eq!(stdout(&["read", url, "ir:9"]).await, "7\n");
    assert_eq!(stdout(&["read", url, "di:65535"]).await, "off\n");
    server.stop().await;
}

#[tokio::test]
async fn every_unit_answers_unless_one_is_named() {
    let server = Server::start(&["--set", "hr:0=5"]).await;
    for unit in ["0", "1", "255"] {
        assert_eq!(stdout(&["read", &server.url, "hr:0", "--unit", unit]).await, "5\n");
    }
    server.stop().await;

    let server = Server::start(&["--unit", "7", "--set", "hr:0=5"]).await;
    assert_eq!(stdout(&["read", &server.url, "hr:0", "--unit", "7"]).await, "5\n");
    let complaint = failure(1, &["read", &server.url, "hr:0", "--unit", "8"]).await;
    assert!(complaint.contains("0x0b") && !complaint.contains("unknown"), "nothing was written: {complaint}");
    server.stop().await;
}

#[tokio::test]
async fn read_only_refuses_writes_and_goes_on() {
    let server = Server::start(&["--read-only", "--set", "hr:0=5"]).await;
    for args in [["hr:0", "6"], ["co:0", "on"]] {
        let complaint = failure(1, &["write", &server.url, args[0], args[1]]).await;
        assert!(complaint.contains("0x01 (illegal function)"), "{complaint}");
    }
    assert_eq!(stdout(&["read", &server.url, "hr:0"]).await, "5\n");
    server.stop().await;
}

#[tokio::test]
async fn the_demo_moves_and_says_what_is_where() {
    let mut server = Server::start(&["--demo", "--set", "hr:100=4"]).await;
    let sine = server.process.line_where(|line| line.contains("sine")).await;
    assert!(sine.trim_start().starts_with("ir:0"), "{sine}");
    let url = server.url.as_str();
    assert_eq!(stdout(&["read", url, "ir:12", "--type", "str:8"]).await, "dinrail\n");
    assert_eq!(stdout(&["read", url, "hr:100"]).await, "4\n");
    let mut watch = Background::start(&["read", url, "ir:8", "--type", "u64", "--every", "50ms"]);
    let first = watch.line().await;
    watch.line_where(|line| line != first).await;
    server.stop().await;
}

#[tokio::test]
async fn threads_of_its_own_serve_the_same_data() {
    let server = Server::start(&["--threads", "2"]).await;
    assert_eq!(stdout(&["write", &server.url, "hr:3", "9"]).await, "wrote hr:3 = 9\n");
    for _ in 0..4 {
        assert_eq!(stdout(&["read", &server.url, "hr:3"]).await, "9\n");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bad_line_is_as_bad_as_was_asked_for() {
    let server = Server::start(&["--faulty", "delay=120ms,split=100%,seed=1", "--set", "hr:0=5"]).await;
    let begun = std::time::Instant::now();
    assert_eq!(stdout(&["read", &server.url, "hr:0"]).await, "5\n");
    assert!(begun.elapsed() >= std::time::Duration::from_millis(240), "there and back");
    server.stop().await;

    let server = Server::start(&["--faulty", "drop=100%"]).await;
    let complaint = failure(3, &["read", &server.url, "hr:0", "--timeout", "200ms"]).await;
    assert!(complaint.contains("no answer"), "{complaint}");
    server.stop().await;

    let server = Server::start_at("udp://127.0.0.1:0", &["--faulty", "delay=120ms", "--set", "hr:0=5"]).await;
    let begun = std::time::Instant::now();
    assert_eq!(stdout(&["read", &server.url, "hr:0"]).await, "5\n");
    assert!(begun.elapsed() >= std::time::Duration::from_millis(240), "there and back");
    server.stop().await;

    let complaint = failure(2, &["serve", "--faulty", "dorp=1%"]).await;
    assert!(complaint.contains("the faults of a line are delay, drop"), "{complaint}");
}

#[tokio::test]
async fn frames_of_a_bad_line_are_in_the_log() {
    let server = Server::start(&["-v", "--faulty", "flip=0%", "--set", "hr:0=5"]).await;
    assert_eq!(stdout(&["read", &server.url, "hr:0"]).await, "5\n");
    server.process.signal("TERM").await;
    let (status, _, stderr) = server.process.end().await;
    assert_eq!(status.code(), Some(0));
    for part in ["direction=\"received\"", "kind=\"reply\"", "function=FC 3", "hex=000100000005010302000"] {
        assert!(stderr.contains(part), "{part:?} is missing in {stderr}");
    }
}

/// Within six seconds, with a client connected, and the port is free again.
async fn ends_well(signal: &str) {
    let server = Server::start(&[]).await;
    let address = server.url.strip_prefix("tcp://").expect("a URL").to_owned();
    let mut client = tokio::net::TcpStream::connect(&address).await.expect("it listens");
    let began = std::time::Instant::now();
    server.process.signal(signal).await;
    let (status, _, stderr) = server.process.end().await;
    assert!(began.elapsed() < std::time::Duration::from_secs(6));
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    let mut byte = [0];
    assert_eq!(client.read(&mut byte).await.unwrap_or(0), 0, "the client sees the end");
    tokio::net::TcpListener::bind(&address).await.expect("the port is free");
}

#[tokio::test]
async fn s002_9_serving_blocks_until_ctrl_c() {
    ends_well("INT").await;
}

#[tokio::test]
async fn s002_12_a_server_is_stopped_from_outside() {
    ends_well("TERM").await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_sentence() {
    let server = Server::start(&[]).await;
    let complaint = failure(3, &["serve", "--listen", &server.url]).await;
    let address = server.url.strip_prefix("tcp://").expect("a URL");
    assert!(complaint.starts_with("dinrail: cannot listen on"), "{complaint}");
    assert!(complaint.contains(address) && complaint.contains("take another port"), "{complaint}");
    server.stop().await;
}

#[tokio::test]
async fn requests_are_logged_when_asked_for() {
    let server = Server::start(&["-v"]).await;
    stdout(&["read", &server.url, "hr:0"]).await;
    server.process.signal("TERM").await;
    let (status, _, stderr) = server.process.end().await;
    assert_eq!(status.code(), Some(0));
    for part in ["listening", "connected", "asked", "disconnected", "area: HoldingRegister, address: 0, count: 1"] {
        assert!(stderr.contains(part), "{part:?} is missing in {stderr}");
    }
}

#[tokio::test]
async fn it_serves_what_a_device_has_besides_its_data() {
    use dinrail::Client;
    use dinrail::proto::pdu::diagnostics::Diagnostic;

    let server = Server::start(&["--fifo", "hr:1000=11,22,33", "--set", "co:1=on"]).await;
    let address = server.url.strip_prefix("tcp://").expect("it serves TCP");
    let client = Client::connect(address).await.expect("it connects");
    assert_eq!(client.read_fifo_queue(1000).await.expect("a queue"), [11, 22, 33]);
    assert_eq!(client.read_holding_registers(1000, 2).await.expect("values"), [3, 11]);
    client.write_file_record(4, 998, &[7, 8]).await.expect("it is written");
    assert_eq!(client.read_file_record(4, 997, 3).await.expect("records"), [0, 7, 8]);
    assert_eq!(client.read_exception_status().await.expect("coils"), 0b10);
    assert_eq!(client.report_server_id().await.expect("an id"), b"dinrail\xFF");
    assert_eq!(client.read_device_object(0).await.expect("a vendor"), b"dinrail");
    assert_eq!(client.diagnostic_counter(Diagnostic::BUS_MESSAGE_COUNT).await.expect("a count"), 8);
    client.close();
    server.stop().await;

    let server = Server::start(&["--diagnostics", "off", "--read-only"]).await;
    let address = server.url.strip_prefix("tcp://").expect("it serves TCP");
    let client = Client::connect(address).await.expect("it connects");
    let refused = client.comm_event_counter().await.expect_err("nobody answers that");
    assert_eq!(refused.exception(), Some(dinrail::ExceptionCode::IllegalFunction));
    assert!(client.write_file_record(4, 0, &[1]).await.is_err(), "writing a file is writing");
    assert_eq!(client.read_file_record(4, 0, 1).await.expect("records"), [0]);
    client.close();
    server.stop().await;

    let complaint = failure(2, &["serve", "--fifo", "ir:3=1"]).await;
    assert!(complaint.contains("holding register"), "{complaint}");
}
