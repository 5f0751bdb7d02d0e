//! `dinrail write`.

use crate::harness::{DEADLINE, Server, dinrail, failure, fake, reserve, stdout};

#[tokio::test]
async fn what_is_written_can_be_read() {
    let server = Server::start(&[]).await;
    let url = server.url.as_str();
    let table: &[(&[&str], &str, &[&str], &str)] = &[
        (&["hr:0", "42"], "wrote hr:0 = 42\n", &["hr:0"], "42\n"),
        (
            &["hr:1", "1", "0x2", "3"],
            "wrote hr:1 = 1\nwrote hr:2 = 2\nwrote hr:3 = 3\n",
            &["hr:1", "-n", "3"],
            "1\n2\n3\n",
        ),
        (&["hr:4", "-5", "--type", "i16"], "wrote hr:4 = -5\n", &["hr:4"], "65531\n"),
        (&["hr:5", "0xBEEF", "--type", "hex"], "wrote hr:5 = 0xBEEF\n", &["hr:5"], "48879\n"),
        (
            &["hr:10", "21.5", "-1e3", "--type", "f32", "--order", "CDAB"],
            "wrote hr:10 = 21.5\nwrote hr:12 = -1000.0\n",
            &["hr:10", "-n", "4", "--type", "hex"],
            "0x0000\n0x41AC\n0x0000\n0xC47A\n",
        ),
        (&["hr:20", "hello", "--type", "str:8"], "wrote hr:20 = hello\n", &["hr:20", "--type", "str:8"], "hello\n"),
        (&["hr:0", "on", "--type", "bit:15"], "wrote hr:0 bit:15 = on\n", &["hr:0"], "32810\n"),
        (&["40001", "off", "--type", "bit:1"], "wrote hr:0 bit:1 = off\n", &["hr:0"], "32808\n"),
        (&["co:0", "on"], "wrote co:0 = on\n", &["co:0"], "on\n"),
        (&["co:1", "1", "0", "TRUE"], "wrote co:1 = on\nwrote co:2 = off\nwrote co:3 = on\n", &["co:3"], "on\n"),
    ];
    for (write, said, read, there) in table {
        assert_eq!(stdout(&[&["write", url][..], write].concat()).await, *said);
        assert_eq!(stdout(&[&["read", url][..], read].concat()).await, *there);
    }
    server.stop().await;
}

/// The function code that arrives is the one that the device is told about in its answer.
#[tokio::test]
async fn one_value_uses_the_single_function_and_several_the_multiple_one() {
    let echo_of_function = fake(|pdu| Some(vec![pdu[0] | 0x80, 0x40 + pdu[0]])).await;
    let table: &[(&[&str], &str)] = &[
        (&["co:0", "on"], "0x45"),
        (&["hr:0", "1"], "0x46"),
        (&["co:0", "on", "off"], "0x4f"),
        (&["hr:0", "1", "2"], "0x50"),
        (&["hr:0", "1", "--type", "u32"], "0x50"),
        (&["co:0", "on", "--multiple"], "0x4f"),
        (&["hr:0", "1", "--multiple"], "0x50"),
        (&["hr:0", "on", "--type", "bit:0"], "0x56"),
    ];
    for (args, code) in table {
        let complaint = failure(1, &[&["write", &echo_of_function][..], args].concat()).await;
        assert!(complaint.contains(code), "{args:?}: {complaint}");
    }
}

#[tokio::test]
async fn a_write_without_an_answer_is_4_and_unknown() {
    let silent = fake(|_| None).await;
    for args in [&["hr:0", "1"][..], &["co:0", "on", "off"], &["hr:0", "on", "--type", "bit:3"]] {
        let args = [&["write", &silent][..], args, &["--timeout", "100ms"]].concat();
        let complaint = failure(4, &args).await;
        assert!(complaint.contains("unknown"), "{complaint}");
    }
}

#[tokio::test]
async fn a_write_that_was_never_sent_is_not_unknown() {
    let complaint = failure(3, &["write", &reserve().url, "hr:0", "1"]).await;
    assert!(complaint.contains("cannot connect to") && !complaint.contains("unknown"), "{complaint}");
}

#[tokio::test]
async fn verify_reads_back() {
    let server = Server::start(&[]).await;
    let said = stdout(&["write", &server.url, "hr:0", "1.5", "nan", "--type", "f32", "--verify"]).await;
    assert_eq!(said, "wrote and verified hr:0 = 1.5\nwrote and verified hr:2 = NaN\n");
    assert_eq!(stdout(&["write", &server.url, "co:7", "on", "--verify"]).await, "wrote and verified co:7 = on\n");
    server.stop().await;

    // It says yes to every write and holds 7 all the same.
    let stubborn = fake(|pdu| match pdu[0] {
        3 => Some(vec![3, 2, 0, 7]),
        _ => Some(pdu.to_vec()),
    })
    .await;
    let run = dinrail(&["write", &stubborn, "hr:0", "8", "--verify"]).await;
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("hr:0 holds 7, and 8 was written"), "{run:?}");
}

#[tokio::test]
async fn more_than_a_request_carries_is_not_written() {
    let server = Server::start(&[]).await;
    let values = ["1"; 124];
    let complaint = failure(2, &[&["write", &server.url, "hr:0"][..], &values].concat()).await;
    assert!(complaint.contains("124") && complaint.contains("123"), "{complaint}");
    assert_eq!(stdout(&["read", &server.url, "hr:0"]).await, "0\n");
    let said = stdout(&[&["write", &server.url, "hr:0"][..], &values[..123]].concat()).await;
    assert_eq!(said.lines().count(), 123);
    let complaint = failure(2, &["write", &server.url, "hr:65535", "1", "2"]).await;
    assert!(complaint.contains("65535"), "{complaint}");
    server.stop().await;
}

/// A script must not take a full disk for the device's refusal: what was to be written has been.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn output_that_cannot_be_written_is_told_from_a_refusal() {
    let server = Server::start(&[]).await;
    for command in [
        &["write", &server.url, "hr:7", "9"][..],
        &["read", &server.url, "hr:7", "--json"],
        &["completions", "bash"],
        &["--help"],
        &["read", "-h"],
        &["--version"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut run = tokio::process::Command::new(env!("CARGO_BIN_EXE_dinrail"));
        let run = run.args(command).stdout(full).stderr(std::process::Stdio::piped()).kill_on_drop(true);
        let run = tokio::time::timeout(DEADLINE, run.spawn().expect("starts").wait_with_output());
        let run = run.await.expect("ends in time").expect("was started");
        let said = String::from_utf8(run.stderr).expect("UTF-8");
        assert_eq!(run.status.code(), Some(5), "{command:?}: {said}");
        assert!(said.starts_with("dinrail: standard output cannot be written: No space left on device"), "{said}");
    }
    assert_eq!(stdout(&["read", &server.url, "hr:7"]).await, "9\n");
    server.stop().await;
}
