//! `dinrail serve --metrics`: row S004-14.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Background, DEADLINE, failure, reserve, stdout};

/// What a line says that ends in "(metrics)": where.
pub(crate) fn shown(line: &str) -> String {
    let url = line.strip_prefix("listening on http://").expect(line).strip_suffix("/metrics (metrics)").expect(line);
    url.to_owned()
}

/// The figures as they are now.
pub(crate) async fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.expect("in time").expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    body.to_owned()
}

/// The value of a sample; 0 when it is not there.
pub(crate) fn value(figures: &str, series: &str) -> u64 {
    let line = figures.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().expect(series))
}

#[tokio::test]
async fn s004_14_one_server_is_watched_while_it_is_busy() {
    for more in [&["--threads", "2"][..], &["--faulty", "split"]] {
        let args = [&["serve", "--listen", "tcp://127.0.0.1:0", "--metrics", "127.0.0.1:0"], more].concat();
        let mut process = Background::start(&args);
        let url = process.line().await.strip_prefix("listening on ").expect("the first line").to_owned();
        let at = shown(&process.line().await);
        assert_eq!(value(&scrape(&at).await, "dinrail_server_up{server=\"serve\"}"), 1);

        // Figures only grow while clients ask, and in the end all that they asked is there.
        let bench = ["bench", &url, "--duration", "500ms", "--connections", "4", "--json"];
        let mut bench = Background::start(&bench);
        let series = "dinrail_requests_total{server=\"serve\",function=\"read_holding_registers\",result=\"ok\"}";
        let (mut before, mut steps) = (0, 0);
        let result = loop {
            tokio::select! {
                line = bench.line() => break line,
                figures = scrape(&at) => {
                    let now = value(&figures, series);
                    assert!(now >= before, "{before}, then {now}");
                    steps += u32::from(now > before);
                    before = now;
                }
            }
        };
        assert!(steps > 1, "{before}: scraped while it was busy");
        let asked: u64 = result.split("\"requests\":").nth(1).and_then(number).expect(&result);
        let figures = scrape(&at).await;
        assert!(value(&figures, series) >= asked && asked > 0, "{result} {figures}");
        let count = "dinrail_request_duration_seconds_count{server=\"serve\"}";
        assert_eq!(value(&figures, count), value(&figures, series), "{figures}");
        assert!(value(&figures, "dinrail_connections_accepted_total{server=\"serve\"}") >= 4, "{figures}");
        process.signal("TERM").await;
        let (status, ..) = process.end().await;
        assert_eq!(status.code(), Some(0));
    }
}

/// The number at the front of a text.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim_start();
    digits[..digits.find(|char: char| !char.is_ascii_digit())?].parse().ok()
}

#[tokio::test]
async fn s004_14_an_address_in_use_or_that_is_none_starts_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let taken = taken.local_addr().expect("bound").to_string();
    let free = reserve();
    let file = tempfile::tempdir().expect("a directory");
    let path = file.path().join("dinrail.toml");
    std::fs::write(&path, format!("[[server]]\nname = \"a\"\nlisten = \"{}\"\n", free.url)).expect("written");
    let path = path.to_str().expect("UTF-8");
    for serve in [["serve", "--listen", &free.url], ["serve", "--config", path]] {
        let complaint = failure(3, &[&serve[..], &["--metrics", &taken]].concat()).await;
        let said = format!("metrics: cannot listen on {taken}");
        assert!(complaint.contains(&said) && complaint.contains("nothing was started"), "{complaint}");
        let complaint = failure(2, &[&serve[..], &["--metrics", "9100"]].concat()).await;
        assert!(complaint.contains("127.0.0.1:9100"), "{complaint}");
    }
    failure(3, &["read", &free.url, "hr:0"]).await;
}

#[tokio::test]
async fn s004_14_a_reload_takes_up_the_key_unless_the_command_line_has_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("dinrail.toml");
    let write = |metrics: &str| {
        let server = "[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\n";
        std::fs::write(&path, format!("{metrics}\n{server}")).expect("written");
    };
    write("");
    let path = path.to_str().expect("UTF-8");
    let mut process = Background::start(&["serve", "--config", path]);
    let url = process.line().await.split(' ').nth(2).expect("a URL").to_owned();
    stdout(&["read", &url, "hr:0"]).await;
    write("metrics = \"127.0.0.1:0\"");
    process.signal("HUP").await;
    let at = shown(&process.line().await);
    stdout(&["read", &url, "hr:0"]).await;
    let figures = scrape(&at).await;
    assert_eq!(value(&figures, "dinrail_received_bytes_total{server=\"a\"}"), 12, "{figures}");
    process.signal("TERM").await;
    assert_eq!(process.end().await.0.code(), Some(0));

    let mut process = Background::start(&["serve", "--config", path, "--metrics", "localhost:0"]);
    process.line().await;
    scrape(&shown(&process.line().await)).await;
    process.signal("TERM").await;
    let (status, rest, _) = process.end().await;
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""), "only one address");
}
