//! `dinrail serve --config` and `dinrail check`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Background, DEADLINE, failure, stdout};
use crate::metrics::{scrape, shown, value};

/// A file in a directory of its own.
struct File {
    directory: TempDir,
}

impl File {
    fn new(content: &str) -> Self {
        let this = Self { directory: tempfile::tempdir().expect("a directory") };
        this.write(content);
        this
    }

    fn write(&self, content: &str) {
        fs::write(self.path(), content).expect("written");
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("dinrail.toml")
    }

    fn text(&self) -> String {
        text(&self.path())
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn server(name: &str, rest: &str) -> String {
    format!("[[server]]\nname = \"{name}\"\nlisten = \"tcp://127.0.0.1:0\"\n{rest}\n")
}

/// The URL of the next server that says where it listens.
async fn next(process: &mut Background, name: &str) -> String {
    let line = process.line_where(|line| line.ends_with(&format!("({name})"))).await;
    line.split(' ').nth(2).expect("listening on URL (NAME)").to_owned()
}

#[tokio::test]
async fn s004_13_a_file_is_served_until_sigterm() {
    let file = File::new(&[server("a", "store = { hr = { 0 = [1, 2] } }"), server("b", "units = 7")].concat());
    let mut process = Background::start(&["serve", "--config", &file.text()]);
    let (a, b) = (next(&mut process, "a").await, next(&mut process, "b").await);
    assert_eq!(stdout(&["read", &a, "hr:0", "-n", "3"]).await, "1\n2\n0\n");
    assert_eq!(stdout(&["read", &b, "hr:0", "--unit", "7"]).await, "0\n");
    failure(1, &["read", &b, "hr:0", "--unit", "1"]).await;
    let mut client = TcpStream::connect(a.strip_prefix("tcp://").expect("a URL")).await.expect("it listens");
    process.signal("TERM").await;
    let (status, _, stderr) = process.end().await;
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0, "the client sees the end");
}

/// A client has asked for more than it reads when the server is told to stop: all that the server took is answered, in order
/// and in full; then it says that there is no more.
#[tokio::test]
async fn s004_13_sigterm_drains_what_was_taken_and_exits_with_0() {
    // What one read takes; and so much that a good part of the replies is still the server's to send, and requests are left.
    for (asked, rest) in [(1000, ""), (1000, "threads = 1\n"), (60_000, ""), (60_000, "threads = 1\n")] {
        let values: Vec<_> = (0..225).map(|value| value.to_string()).collect();
        let store = format!("grace = \"90s\"\n{rest}store = {{ hr = {{ 0 = [{}] }} }}", values.join(", "));
        let file = File::new(&server("a", &store));
        let mut process = Background::start(&["serve", "--config", &file.text(), "--metrics", "127.0.0.1:0"]);
        let at: SocketAddr = next(&mut process, "a").await.trim_start_matches("tcp://").parse().expect("an address");
        let metrics = shown(&process.line().await);
        let (mut read, mut write) = TcpStream::connect(at).await.expect("it listens").into_split();
        let asking = tokio::spawn(async move {
            write.write_all(&requests(asked)).await.expect("the server closes after its client");
            write
        });
        let taken = taken(&metrics, u64::from(asked)).await;
        process.signal("TERM").await;
        while TcpStream::connect(at).await.is_ok() {} // until it stops
        assert_eq!(taken < u64::from(asked), asked == 60_000, "{taken} of {asked}");

        let mut replies = Vec::new();
        let end = timeout(DEADLINE, read.read_to_end(&mut replies)).await.expect("an end in time");
        assert!(end.is_ok(), "the server closes, and cuts nothing off: {end:?} after {} bytes", replies.len());
        let answered = right_replies(&replies);
        assert!((taken..=u64::from(asked)).contains(&answered), "{answered} replies to {taken} requests");
        assert!(answered < 60_000, "what it has not taken when it is told to stop it does not take then");
        drop(asking.await.expect("no panic"));
        let (status, _, stderr) = process.end().await;
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    }
}

/// So many readings of 125 registers, from 0 to 99 on.
fn requests(count: u16) -> Vec<u8> {
    (0..count)
        .flat_map(|n| [n.to_be_bytes(), [0, 0], [0, 6], [1, 3], (n % 100).to_be_bytes(), [0, 125]].concat())
        .collect()
}

/// How many replies these are, each of which is the right one to its request; every register holds its address.
fn right_replies(bytes: &[u8]) -> u64 {
    let mut count: u16 = 0;
    for reply in bytes.chunks(259) {
        let head = [count.to_be_bytes(), [0, 0], [0, 253], [1, 3]].concat();
        assert_eq!((reply.len(), &reply[..8], reply[8]), (259, &head[..], 250), "reply {count}");
        let right = reply[9..].chunks(2).zip(count % 100..).all(|(bytes, value)| bytes == value.to_be_bytes());
        assert!(right, "reply {count}: {reply:?}");
        count += 1;
    }
    u64::from(count)
}

/// How many requests the server "a" has taken once it has all, or takes no more: it had turns enough then, since the figures are
/// from the same thread.
async fn taken(metrics: &str, asked: u64) -> u64 {
    let series = "dinrail_requests_total{server=\"a\",function=\"read_holding_registers\",result=\"ok\"}";
    let (mut taken, mut same) = (0, 0);
    while same < 20 && taken < asked {
        let now = value(&scrape(metrics).await, series);
        same = if now == taken && now > 0 { same + 1 } else { 0 };
        taken = now;
    }
    taken
}

#[tokio::test]
async fn s004_13_what_is_wrong_is_said_and_nothing_is_started() {
    // Whoever tried to listen would fail in another way, and say so.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let at = |name: &str| format!("[[server]]\nname = \"{name}\"\nlisten = \"tcp://127.0.0.1:{port}\"\n");
    let tls = "[[server]]\nname = \"x\"\nlisten = \"tls://127.0.0.1:0\"\n[server.tls]\ncertificate = \"no.pem\"\nkey = \"dinrail.toml\"\n";
    let table = [
        ("a typo", at("a").replace("listen", "lisen"), vec!["did you mean `listen`?"]),
        ("an unknown key", at("a") + "colour = \"blue\"", vec!["unknown key `colour`", "there are name, listen"]),
        ("an overlapping range", at("a") + "store = { hr = { 0 = [1, 2], 1 = 3 } }", vec!["address 1 is set twice"]),
        ("a port used twice", at("a") + &at("b"), vec!["two servers listen on", "give one of them another port"]),
        ("a missing certificate", tls.to_owned(), vec!["no.pem: No such file", "name a file that is there"]),
    ];
    for (what, content, parts) in table {
        let file = File::new(&content);
        for args in [vec!["check", &file.text()], vec!["serve", "--config", &file.text()]] {
            let complaint = failure(2, &args).await;
            for part in &parts {
                assert!(complaint.contains(part), "{what}: {part:?} is missing in\n{complaint}");
            }
            assert!(complaint.contains("dinrail.toml:") && complaint.contains('^'), "{complaint}");
            assert!(complaint.contains("1 problem") && !complaint.contains("cannot listen"), "{complaint}");
        }
    }
}

#[tokio::test]
async fn check_says_what_would_run() {
    let file = File::new(&[server("a", ""), server("longer", "")].concat());
    let said = stdout(&["check", &file.text()]).await;
    let expected =
        format!("{} is good: 2 servers\na       tcp://127.0.0.1:0\nlonger  tcp://127.0.0.1:0\n", file.text());
    assert_eq!(said, expected);
    assert!(stdout(&["check", "--schema"]).await.contains("json-schema.org"));
    failure(2, &["check"]).await;
    failure(2, &["serve", "--config", &file.text(), "--listen", "tcp://127.0.0.1:0"]).await;
}

#[tokio::test]
async fn s004_4_a_port_in_use_names_the_server() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = format!("[[server]]\nname = \"busy\"\nlisten = \"tcp://{}\"\n", taken.local_addr().expect("bound"));
    let file = File::new(&[server("a", ""), busy].concat());
    let complaint = failure(3, &["serve", "--config", &file.text()]).await;
    assert!(complaint.contains("server \"busy\": cannot listen on") && complaint.contains("nothing was started"));
}

#[tokio::test]
async fn s004_9_what_can_be_started_serves_and_sighup_tries_the_rest_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = taken.local_addr().expect("bound");
    let busy = format!("[[server]]\nname = \"busy\"\nlisten = \"tcp://{at}\"\n");
    let file = File::new(&[busy.clone(), server("a", "store = { hr = { 0 = 1 } }"), server("b", "")].concat());
    let mut process = Background::start(&["serve", "--skip-failed", "--config", &file.text()]);
    let complaint = process.complaint().await;
    for part in ["ERROR", "server=busy", &format!("cannot listen on {at}: "), "in use"] {
        assert!(complaint.contains(part), "{part:?} is missing in {complaint}");
    }
    assert!(process.line().await.ends_with("(a)"), "what does not run is not said to listen");
    assert!(process.line().await.ends_with("(b)"));

    // Still taken: said again, and what has changed besides holds.
    file.write(&[busy.clone(), server("a", "store = { hr = { 0 = 2 } }"), server("c", "")].concat());
    process.signal("HUP").await;
    let complaint = process.complaint().await;
    assert!(complaint.contains("server=busy") && complaint.contains("cannot listen on"), "{complaint}");
    let c = next(&mut process, "c").await;
    assert_eq!(stdout(&["read", &c, "hr:0"]).await, "0\n");
    drop(taken);
    process.signal("HUP").await;
    assert_eq!(next(&mut process, "busy").await, format!("tcp://{at}"));
    assert_eq!(stdout(&["read", &format!("tcp://{at}"), "hr:0"]).await, "0\n");
    process.signal("TERM").await;
    let (status, _, complaints) = process.end().await;
    assert_eq!((status.code(), complaints.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn s004_9_when_no_server_can_be_started_every_one_is_named() {
    let taken = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [one, two] = taken.each_ref().map(|taken| taken.local_addr().expect("bound"));
    let at = |name: &str, at| format!("[[server]]\nname = \"{name}\"\nlisten = \"tcp://{at}\"\n");
    let file = File::new(&[at("one", one), at("two", two)].concat());
    let complaint = failure(3, &["serve", "--skip-failed", "--config", &file.text()]).await;
    for part in [format!("server \"one\": cannot listen on {one}"), format!("server \"two\": cannot listen on {two}")] {
        assert!(complaint.contains(&part), "{part:?} is missing in {complaint}");
    }
    assert!(complaint.ends_with("nothing was started\n") && complaint.lines().count() == 1, "{complaint}");
    failure(2, &["serve", "--skip-failed"]).await;
}

#[tokio::test]
async fn s004_10_sighup_reads_the_file_again_and_the_log_names_each_server() {
    let file = File::new(&server("a", "store = { hr = { 0 = 1 } }"));
    let mut process = Background::start(&["-v", "serve", "--config", &file.text()]);
    let a = next(&mut process, "a").await;
    // A connection that lasts, with a reading every time that something has happened.
    let mut watch = Background::start(&["read", &a, "hr:0", "--every", "20ms"]);
    assert_eq!(watch.line().await, "1");

    file.write("[[server]]\nnome = 1\n[sever]\n");
    process.signal("HUP").await;
    let mut log = String::new();
    while !log.contains("was not reloaded: it has 3 problems") {
        let line = process.complaint().await;
        assert!(!line.is_empty() && log.len() < 1_000_000, "{log}");
        log += &line;
    }
    file.write(&server("a", "store = { hr = { 0 = 2 } }"));
    process.signal("HUP").await;
    watch.line_where(|line| line == "2").await;
    file.write(&[server("a", "store = { hr = { 0 = 2 } }"), server("b", "")].concat());
    process.signal("HUP").await;
    let b = next(&mut process, "b").await;
    assert_eq!(stdout(&["read", &b, "hr:0"]).await, "0\n");
    watch.signal("INT").await;
    let (_, _, complaints) = watch.end().await;
    assert!(!complaints.contains("ended"), "one connection, and no reading failed: {complaints}");

    process.signal("TERM").await;
    let (status, _, rest) = process.end().await;
    log += &rest;
    assert_eq!(status.code(), Some(0));
    for part in [
        "unknown key `nome`",
        "listening server=a address=tcp://127.0.0.1:",
        "listening server=b address=tcp://127.0.0.1:",
        "was reloaded: changed a",
        "was reloaded: added b",
    ] {
        assert!(log.contains(part), "{part:?} is missing in {log}");
    }
    assert_eq!(log.matches("disconnected").count(), 2, "that of `watch` at its end, and that of the other: {log}");
}

#[tokio::test]
async fn sighup_reads_certificates_again() {
    let file = File::new("");
    let directory = text(file.directory.path());
    stdout(&["pki", &directory]).await;
    file.write(
        "[[server]]\nname = \"safe\"\nlisten = \"tls://127.0.0.1:0\"\n[server.tls]\ncertificate = \"server.pem\"\n\
         key = \"server.key\"\nclient_ca = \"ca.pem\"\n",
    );
    let mut process = Background::start(&["-v", "serve", "--config", &file.text()]);
    let url = next(&mut process, "safe").await;
    let in_directory = |name: &str| format!("{directory}/{name}");
    let (ca, certificate, key) = (in_directory("ca.pem"), in_directory("operator.pem"), in_directory("operator.key"));
    let read = ["read", &url, "hr:0", "--ca", &ca, "--cert", &certificate, "--key", &key];
    assert_eq!(stdout(&read).await, "0\n");
    // Another CA, and all certificates anew.
    stdout(&["pki", &directory, "--force"]).await;
    failure(3, &read).await;
    process.signal("HUP").await;
    let mut tries = 0;
    while crate::harness::dinrail(&read).await.code != Some(0) {
        tries += 1;
        assert!(tries < 50, "the certificates are not read again");
    }
    process.signal("TERM").await;
    let (status, _, log) = process.end().await;
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("certificates renewed of safe"), "{log}");
}

#[tokio::test]
async fn sighup_reads_certificates_again_after_a_change_that_was_undone() {
    let file = File::new("");
    let directory = text(file.directory.path());
    stdout(&["pki", &directory]).await;
    let safe = "[[server]]\nname = \"safe\"\nlisten = \"tls://127.0.0.1:0\"\n";
    let tls = "[server.tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\n";
    let good = format!("{safe}{tls}");
    file.write(&good);
    let mut process = Background::start(&["-v", "serve", "--config", &file.text()]);
    next(&mut process, "safe").await;
    reload(&mut process, "nothing has changed").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let other =
        format!("[[server]]\nname = \"other\"\nlisten = \"tcp://{}\"\n", taken.local_addr().expect("it has one"));
    file.write(&format!("{safe}threads = 1\n{tls}{other}"));
    reload(&mut process, "everything goes on as before").await;
    let url = next(&mut process, "safe").await;
    stdout(&["pki", &directory, "--force"]).await;
    file.write(&good);
    reload(&mut process, "certificates renewed of safe").await;
    let in_directory = |name: &str| format!("{directory}/{name}");
    let (ca, certificate, key) = (in_directory("ca.pem"), in_directory("operator.pem"), in_directory("operator.key"));
    assert_eq!(stdout(&["read", &url, "hr:0", "--ca", &ca, "--cert", &certificate, "--key", &key]).await, "0\n");
    process.signal("TERM").await;
    assert_eq!(process.end().await.0.code(), Some(0));
}

/// Has the file read again, and waits for what is said about it.
async fn reload(process: &mut Background, said: &str) {
    process.signal("HUP").await;
    while !process.complaint().await.contains(said) {}
}

#[tokio::test]
async fn s004_12_eight_servers_on_threads_answer_and_stop() {
    let eight = (0..8).map(|n| server(&format!("s{n}"), &format!("threads = 1\nstore = {{ hr = {{ 0 = {n} }} }}")));
    let file = File::new(&eight.collect::<String>());
    let mut process = Background::start(&["serve", "--config", &file.text()]);
    for n in 0..8 {
        let url = next(&mut process, &format!("s{n}")).await;
        assert_eq!(stdout(&["read", &url, "hr:0"]).await, format!("{n}\n"));
    }
    process.signal("TERM").await;
    assert_eq!(process.end().await.0.code(), Some(0));
}

/// As a service manager runs them: a file for each process.
#[tokio::test]
async fn s004_12_eight_servers_in_four_processes_live_and_stop_apart() {
    let mut processes = Vec::new();
    for pair in 0..4 {
        let two = (0..2).map(|n| server(&format!("s{n}"), &format!("store = {{ hr = {{ 0 = {} }} }}", pair * 2 + n)));
        let file = File::new(&two.collect::<String>());
        let mut process = Background::start(&["serve", "--config", &file.text()]);
        let urls = [next(&mut process, "s0").await, next(&mut process, "s1").await];
        processes.push((process, urls, file));
    }
    let (killed, dead, _file) = processes.remove(1);
    killed.signal("KILL").await;
    assert_eq!(killed.end().await.0.code(), None);
    failure(3, &["read", &dead[0], "hr:0", "--timeout", "1s"]).await;
    for (_, urls, _) in &processes {
        for url in urls {
            let value = stdout(&["read", url, "hr:0"]).await;
            assert!(["0\n", "1\n", "4\n", "5\n", "6\n", "7\n"].contains(&value.as_str()), "{value}");
        }
    }
    for (process, ..) in processes {
        process.signal("TERM").await;
        let (status, _, complaints) = process.end().await;
        assert_eq!((status.code(), complaints.as_str()), (Some(0), ""));
    }
}
