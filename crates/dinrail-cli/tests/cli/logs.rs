//! Row S004-10: one log of all servers, as text and as JSON, whose records name the server and the peer.

use std::collections::BTreeMap;

use tempfile::TempDir;

use crate::harness::{Background, failure, stdout};

/// What a record says of a server: its name, the peer if there is one, and the message.
#[derive(Debug)]
struct Record {
    server: Option<String>,
    peer: Option<String>,
    message: String,
}

/// A server on each transport, each of which a client asks and one refuses; what was logged meanwhile.
async fn log(format: &[&str]) -> (Vec<String>, BTreeMap<&'static str, String>) {
    let directory = TempDir::new().expect("a directory");
    let at = directory.path().to_str().expect("UTF-8");
    stdout(&["pki", at]).await;
    let server =
        |name: &str, url: &str, rest: &str| format!("[[server]]\nname = \"{name}\"\nlisten = \"{url}\"\n{rest}\n");
    let file = [
        server("on-tcp", "tcp://127.0.0.1:0", ""),
        server("on-a-loop", "tcp://127.0.0.1:0", "threads = 1"),
        server("on-a-line", "rtu+tcp://127.0.0.1:0", ""),
        server("on-udp", "udp://127.0.0.1:0", ""),
        server(
            "on-tls",
            "tls://127.0.0.1:0",
            "[server.tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"",
        ),
        server("by-rule", "tcp://127.0.0.1:0", "[[server.rule]]\nrole = \"nobody\"\naccess = \"all\""),
    ];
    let path = format!("{at}/dinrail.toml");
    std::fs::write(&path, file.concat()).expect("written");
    let mut process = Background::start(&[&["-vv", "serve", "--config", &path], format].concat());
    let mut urls = BTreeMap::new();
    for name in ["on-tcp", "on-a-loop", "on-a-line", "on-udp", "on-tls", "by-rule"] {
        let line = process.line().await;
        let url = line.strip_prefix("listening on ").and_then(|rest| rest.strip_suffix(&format!(" ({name})")));
        urls.insert(name, url.expect(&line).to_owned());
    }
    let in_directory = |name: &str| format!("{at}/{name}");
    let (ca, certificate, key) = (in_directory("ca.pem"), in_directory("operator.pem"), in_directory("operator.key"));
    for (name, url) in &urls {
        match *name {
            "by-rule" => drop(failure(1, &["read", url, "hr:0"]).await),
            "on-tls" => {
                let read = ["read", url, "hr:0", "--ca", &ca, "--cert", &certificate, "--key", &key];
                assert_eq!(stdout(&read).await, "0\n");
                // Without a certificate the handshake fails.
                failure(3, &["read", url, "hr:0", "--ca", &ca]).await;
            }
            _ => assert_eq!(stdout(&["read", url, "hr:0"]).await, "0\n"),
        }
    }
    process.signal("TERM").await;
    let (status, _, log) = process.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    (log.lines().map(str::to_owned).collect(), urls)
}

/// Every server says what happens on its connections, with its name and the peer.
fn check(records: &[Record], urls: &BTreeMap<&str, String>) {
    for name in urls.keys() {
        let said = |message: &str| {
            let is = |record: &&Record| record.server.as_deref() == Some(name) && record.message.contains(message);
            records.iter().find(is).unwrap_or_else(|| panic!("{name} does not say {message:?}: {records:#?}"))
        };
        let mut of_peers = vec!["received", "asked", "sending"];
        if *name != "on-udp" {
            of_peers.extend(["connected", "disconnected"]);
        }
        match *name {
            "on-tls" => of_peers.extend(["the TLS handshake is done", "the TLS handshake failed"]),
            "by-rule" => of_peers.push("refused with exception"),
            _ => {}
        }
        said("listening");
        said("stopped");
        for message in of_peers {
            let peer = said(message).peer.as_deref();
            assert!(peer.is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{name}: {message}: {peer:?}");
        }
    }
    for record in records.iter().filter(|record| record.peer.is_some()) {
        let server = record.server.as_deref();
        assert!(server.is_some_and(|name| urls.contains_key(name)), "a peer of no server: {record:?}");
    }
}

#[tokio::test]
async fn s004_10_records_name_their_server_and_peer_as_json() {
    let (lines, urls) = log(&["--log-format", "json"]).await;
    let record = |line: &String| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |key: &str| record.get(key).map(|value| value.as_str().expect(line).to_owned());
        let target = text("target").expect("a target");
        assert!(target == "dinrail" || target.starts_with("dinrail::"), "one tree: {line}");
        assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&text("level").expect("a level").as_str()));
        assert!(text("timestamp").expect("a time").ends_with('Z'), "{line}");
        Record { server: text("server"), peer: text("peer"), message: text("message").expect("a message") }
    };
    check(&lines.iter().map(record).collect::<Vec<_>>(), &urls);
}

#[tokio::test]
async fn s004_10_records_name_their_server_and_peer_as_text() {
    let (lines, urls) = log(&[]).await;
    let record = |line: &String| {
        let field = |key: &str| {
            let (_, rest) = line.split_once(&format!(" {key}="))?;
            Some(rest.split(' ').next().unwrap_or_default().trim_matches('"').to_owned())
        };
        Record { server: field("server"), peer: field("peer"), message: line.clone() }
    };
    check(&lines.iter().map(record).collect::<Vec<_>>(), &urls);
}

#[tokio::test]
async fn s004_10_with_json_complaints_are_records_too() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("dinrail.toml");
    std::fs::write(&path, "[[server]]\nnome = \"a\"\n").expect("written");
    let path = path.to_str().expect("UTF-8");
    let complaint = failure(2, &["serve", "--config", path, "--log-format", "json"]).await;
    let mut said = String::new();
    for line in complaint.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(record["level"], "ERROR");
        said += record["message"].as_str().expect("a text");
    }
    assert!(said.contains("unknown key `nome`") && said.contains("nothing was started"), "{said}");
    failure(2, &["serve", "--log-format", "xml"]).await;
}
