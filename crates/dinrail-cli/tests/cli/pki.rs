//! `dinrail pki`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dinrail::client::Options;
use dinrail::service::{Access, Memory, Rule, Rules, Service};
use dinrail::transport::{Tls, TlsOptions};
use dinrail::{Area, Client, ExceptionCode, Server};

use crate::harness::{Server as Serve, failure, stdout};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test]
async fn what_it_makes_works_with_roles_on_both_sides() {
    let directory = tempfile::tempdir().expect("a directory");
    let certs = directory.path().join("new/certs");
    let said = stdout(&["pki", text(&certs), "--role", "operator", "--role", "viewer", "--server-role", "plc"]).await;
    assert!(
        said.contains("a server at localhost, 127.0.0.1, ::1") && said.contains("a client with the role viewer"),
        "{said}"
    );
    assert!(
        said.contains(&format!("--ca {}/ca.pem --cert {0}/operator.pem --key {0}/operator.key", certs.display())),
        "{said}"
    );
    let files: BTreeSet<_> = fs::read_dir(&certs)
        .expect("made")
        .map(|file| file.expect("readable").file_name().into_string().expect("UTF-8"))
        .collect();
    let expected = ["ca", "operator", "server", "viewer"].map(|name| [format!("{name}.pem"), format!("{name}.key")]);
    assert_eq!(files, expected.into_iter().flatten().collect());

    let tls = TlsOptions::new(certs.join("server.pem"), certs.join("server.key")).with_client_ca(certs.join("ca.pem"));
    let rules = Rules::new()
        .with(Rule::new("viewer", Access::Read))
        .with(Rule::new("operator", Access::All).with_area(Area::HoldingRegister, 0..=9));
    let server = Server::tls("127.0.0.1:0", tls.load().expect("good files"), Memory::new().with_rules(rules));
    let port = server.start().await.expect("a free port").port();
    let client = async |role: &str, host: &str| {
        let [certificate, key] = ["pem", "key"].map(|ending| certs.join(format!("{role}.{ending}")));
        let tls = Tls::new(format!("127.0.0.1:{port}"))
            .with_ca(certs.join("ca.pem"))
            .with_certificate(certificate, key)
            .with_server_name(host)
            .with_required_role("plc");
        Client::connect_with(tls, Options::default()).await
    };
    let operator = client("operator", "localhost").await.expect("trusted");
    operator.write_register(9, 7).await.expect("allowed");
    let viewer = client("viewer", "::1").await.expect("trusted");
    assert_eq!(viewer.read_holding_registers(9, 1).await.expect("allowed"), [7]);
    let refused = viewer.write_register(9, 8).await.expect_err("not allowed");
    assert_eq!(refused.exception(), Some(ExceptionCode::IllegalFunction));
    assert!(client("operator", "plc").await.is_err(), "not one of its names");
    server.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn keys_are_for_their_owner_alone_even_where_something_else_was() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().expect("a directory");
    let key = directory.path().join("operator.key");
    fs::write(&key, "open to everybody").expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o666)).expect("set");
    stdout(&["pki", text(directory.path()), "--force"]).await;
    for name in ["ca", "server", "operator", "engineer"] {
        let mode = fs::metadata(directory.path().join(format!("{name}.key"))).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(fs::read_to_string(&key).expect("readable").starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[tokio::test]
async fn it_writes_over_nothing_unless_told_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = text(directory.path());
    fs::write(directory.path().join("viewer.pem"), "mine").expect("written");
    let complaint = failure(1, &["pki", path, "--role", "viewer"]).await;
    assert!(complaint.contains("holds a viewer.pem already") && complaint.contains("--force"), "{complaint}");
    assert_eq!(fs::read_dir(path).expect("readable").count(), 1, "nothing was written");
    stdout(&["pki", path, "--role", "viewer", "--force"]).await;
    let first = fs::read(directory.path().join("ca.pem")).expect("made");
    failure(1, &["pki", path, "--role", "other"]).await;
    stdout(&["pki", path, "--force"]).await;
    assert_ne!(fs::read(directory.path().join("ca.pem")).expect("made"), first);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = text(directory.path());
    for (args, part) in [
        (["--role", "../x"], "files are named after it"),
        (["--role", "server"], "server is the name of another file"),
        (["--role", ""], "role"),
        (["--days", "0"], "0"),
        (["--host", "ünï"], "a host or role holds letters"),
    ] {
        let complaint = failure(2, &["pki", path, args[0], args[1]]).await;
        assert!(complaint.contains(part), "{args:?}: {part:?} is missing in {complaint}");
    }
    assert_eq!(fs::read_dir(path).expect("readable").count(), 0);
    let file = directory.path().join("file");
    fs::write(&file, "").expect("written");
    let complaint = failure(1, &["pki", text(&file)]).await;
    assert!(complaint.contains("cannot make the directory"), "{complaint}");
}

#[tokio::test]
async fn serve_and_read_over_tls_by_role() {
    let directory = tempfile::tempdir().expect("a directory");
    stdout(&["pki", text(directory.path())]).await;
    let at = |name: &str| text(&directory.path().join(name)).to_owned();
    let rules = "[[rule]]\nanyone = true\naccess = \"read\"\n[[rule]]\nrole = \"engineer\"\naccess = \"write\"\n";
    fs::write(directory.path().join("rules.toml"), rules).expect("written");
    let [ca, cert, key, rules] = ["ca.pem", "server.pem", "server.key", "rules.toml"].map(at);
    let args = ["--cert", &cert, "--key", &key, "--client-ca", &ca, "--rules", &rules, "--set", "hr:0=5"];
    let server = Serve::start_at("tls://127.0.0.1:0", &args).await;
    assert!(server.url.starts_with("tls://127.0.0.1:"), "{}", server.url);
    for role in ["operator", "engineer"] {
        let [cert, key] = ["pem", "key"].map(|ending| at(&format!("{role}.{ending}")));
        let shown = ["--ca", &ca, "--cert", &cert, "--key", &key];
        assert_eq!(stdout(&[&["read", &server.url, "hr:0"][..], &shown].concat()).await, "5\n");
        let write = [&["write", &server.url, "hr:1", "7"][..], &shown].concat();
        match role {
            "engineer" => assert_eq!(stdout(&write).await, "wrote hr:1 = 7\n"),
            _ => assert!(failure(1, &write).await.contains("0x01 (illegal function)")),
        }
    }
    let complaint = failure(3, &["read", &server.url, "hr:0", "--ca", &ca]).await;
    assert!(complaint.contains("requires a certificate"), "{complaint}");
    let complaint = failure(2, &["read", &server.url, "hr:0"]).await;
    assert!(complaint.contains("--ca FILE.pem"), "{complaint}");
    let complaint = failure(2, &["read", "tcp://127.0.0.1:1", "hr:0", "--ca", &ca]).await;
    assert!(complaint.contains("for tls:// URLs"), "{complaint}");
    server.stop().await;
    for (args, part) in [
        (vec!["serve", "--listen", "tls://127.0.0.1:0"], "give --cert and --key"),
        (vec!["serve", "--cert", &cert, "--key", &key], "listen on tls://"),
        (vec!["serve", "--listen", "tls://127.0.0.1:0", "--cert", &cert, "--key", &key], "--client-ca"),
        (vec!["serve", "--rules", &cert], "the rules "),
    ] {
        let complaint = failure(2, &args).await;
        assert!(complaint.contains(part), "{part:?} is missing in {complaint}");
    }
}
