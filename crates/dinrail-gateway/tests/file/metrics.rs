//! Row S004-14: how servers do, for Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use dinrail::proto::{FunctionCode, Request};
use dinrail_gateway::{NotStarted, Servers};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::exposition::Exposition;
use crate::harness::{Raw, SOON, client, load, plan, start, url};

fn server(name: &str, rest: &str) -> String {
    format!("[[server]]\nname = {name:?}\nlisten = \"tcp://127.0.0.1:0\"\n{rest}\n")
}

/// Sends bytes to where the figures are, and returns all that is answered.
async fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.expect("in time").unwrap();
    answer
}

fn address(servers: &Servers) -> SocketAddr {
    let url = servers.metrics().expect("figures are shown");
    url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap().parse().unwrap()
}

async fn scrape(servers: &Servers) -> Exposition {
    let answer = http(address(servers), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    Exposition::read(body)
}

#[tokio::test]
async fn s004_14_the_figures_of_each_server_are_there_and_the_text_is_valid() {
    let odd = "it's \"odd\" \\ indeed\nreally";
    let text = "metrics = \"127.0.0.1:0\"\n".to_owned()
        + &server("plc", "store = { size = 10 }\nunits = [1]")
        + &server(odd, "listen = \"udp://127.0.0.1:0\"").replacen("listen = \"tcp://127.0.0.1:0\"\n", "", 1);
    let servers = start(&text).await;
    let plc = client(&servers, "plc").await;
    for _ in 0..3 {
        plc.read_holding_registers(0, 2).await.unwrap();
    }
    plc.read_holding_registers(9, 2).await.unwrap_err();
    plc.write_coil(1, true).await.unwrap();
    let unknown = Request::Custom { function: FunctionCode::new(99).unwrap(), data: &[1] };
    plc.call(&unknown).await.unwrap_err();
    let other = client(&servers, odd).await;
    other.read_coils(0, 8).await.unwrap();

    let figures = scrape(&servers).await;
    let plc = |name: &str, labels: &str| figures.of(&format!("dinrail_{name}{{{labels}server=\"plc\"}}"));
    let requests = |function: &str, result: &str| {
        figures.of(&format!("dinrail_requests_total{{function=\"{function}\",result=\"{result}\",server=\"plc\"}}"))
    };
    assert_eq!(requests("read_holding_registers", "ok"), 3.0);
    assert_eq!(requests("read_holding_registers", "illegal_data_address"), 1.0);
    assert_eq!(requests("write_single_coil", "ok"), 1.0);
    assert_eq!(requests("other", "illegal_function"), 1.0);
    assert_eq!(plc("request_duration_seconds_count", ""), 6.0);
    assert_eq!(plc("request_duration_seconds_bucket", "le=\"+Inf\","), 6.0);
    assert!(plc("request_duration_seconds_sum", "") > 0.0);
    assert!(figures.0.contains_key("dinrail_request_duration_seconds_bucket{le=\"0.00001\",server=\"plc\"}"));
    assert!(figures.0.contains_key("dinrail_request_duration_seconds_bucket{le=\"10\",server=\"plc\"}"));
    assert_eq!((plc("server_up", ""), plc("connections", ""), plc("connections_accepted_total", "")), (1.0, 1.0, 1.0));
    assert_eq!(plc("received_bytes_total", ""), 5.0 * 12.0 + 9.0);
    assert_eq!(plc("sent_bytes_total", ""), 3.0 * 13.0 + 9.0 + 12.0 + 9.0);
    assert_eq!(plc("line_errors_total", "kind=\"noise\","), 0.0);
    let series = format!("dinrail_requests_total{{function=\"read_coils\",result=\"ok\",server={odd:?}}}");
    assert_eq!(figures.of(&series), 1.0);
    assert_eq!(figures.sum("dinrail_build_info{"), 1.0);
    servers.stop().await;
    let figures = scrape(&servers).await;
    assert_eq!(figures.sum("dinrail_server_up{"), 0.0);
    assert_eq!(figures.sum("dinrail_connections{"), 0.0);
}

#[tokio::test]
async fn s004_14_whatever_is_asked_the_endpoint_goes_on() {
    let servers = start(&("metrics = \"127.0.0.1:0\"\n".to_owned() + &server("a", ""))).await;
    let at = address(&servers);
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        async move { http(at, &request).await }
    };
    assert!(get("/").await.starts_with("HTTP/1.1 404 "));
    assert!(get("/metrics/").await.starts_with("HTTP/1.1 404 "));
    assert!(get("/metrics?name[]=x").await.starts_with("HTTP/1.1 200 "));
    assert!(http(at, "GET /metrics HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200 "));
    let post = http(at, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").await;
    assert!(post.starts_with("HTTP/1.1 405 ") && post.to_lowercase().contains("\r\nallow: get, head\r\n"), "{post}");
    let head = http(at, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    for bad in ["\r\n\r\n\r\nGET\r\n\r\n", "GET /metrics HTTP/9.9\r\n\r\n", "\0\u{1}\u{2}\r\n\r\n", &many] {
        // It may close before all is sent.
        let mut stream = TcpStream::connect(at).await.unwrap();
        let _ = stream.write_all(bad.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("in time");
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    }
    // Some say nothing, or go in the middle.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(at).await.unwrap());
        TcpStream::connect(at).await.unwrap().write_all(b"GET /met").await.unwrap();
    }
    scrape(&servers).await;
    drop(silent);
}

/// Those who connect and say nothing must not keep Prometheus waiting: it gives up after ten seconds.
#[tokio::test]
async fn s004_14_a_crowd_that_says_nothing_keeps_no_scraper_out() {
    let servers = start(&("metrics = \"127.0.0.1:0\"\n".to_owned() + &server("a", ""))).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address(&servers)).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").await.unwrap();
        silent.push(stream);
    }
    tokio::time::timeout(Duration::from_secs(5), scrape(&servers)).await.expect("before a scraper gives up");
    // The oldest made room.
    let ended = tokio::time::timeout(Duration::from_secs(5), silent[0].read(&mut [0; 8])).await.expect("closed by now");
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
}

#[tokio::test]
async fn s004_14_an_address_in_use_starts_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text =
        format!("metrics = \"{}\"\n[[server]]\nname = \"a\"\nlisten = \"tcp://{free}\"\n", taken.local_addr().unwrap());
    let failed = Servers::start(plan(&text)).await.unwrap_err();
    assert!(matches!(failed, NotStarted::Metrics(_)), "{failed:?}");
    let said = failed.to_string();
    assert!(said.starts_with("metrics: cannot listen on 127.0.0.1:"), "{said}");
    std::net::TcpListener::bind(free).expect("nobody listens");
}

#[tokio::test]
async fn s004_14_what_is_no_address_or_belongs_to_a_server_is_said() {
    for wrong in ["9100", "localhost", ":9100", "::1:9100", "http://127.0.0.1:9100/metrics", "a:65536", ""] {
        let problem = load(&(format!("metrics = {wrong:?}\n") + &server("a", ""))).unwrap_err().to_string();
        assert!(problem.contains("is no address with a port") && problem.contains("127.0.0.1:9100"), "{problem}");
    }
    for right in ["[::1]:9100", "localhost:9100", "0.0.0.0:9100"] {
        plan(&(format!("metrics = {right:?}\n") + &server("a", "")));
    }
    let both = "metrics = \"127.0.0.1:5020\"\n[[server]]\nname = \"a\"\nlisten = \"tcp://0.0.0.0:5020\"\n";
    let problem = load(both).unwrap_err().to_string();
    assert!(problem.contains("in each other's way") && problem.contains("\"metrics\" listens here"), "{problem}");
    plan(&both.replace("tcp://", "udp://"));
    assert!(dinrail_gateway::config::schema().contains("\"metrics\""));
}

/// The key comes, changes and goes while a client is served, whose connection stays.
#[tokio::test]
async fn s004_14_a_change_takes_up_the_key_and_touches_no_server() {
    let of = |metrics: &str, rest: &str| metrics.to_owned() + &server("a", rest);
    let mut servers = start(&of("", "")).await;
    assert_eq!(servers.metrics(), None);
    let mut raw = Raw::connect(&url(&servers, "a")).await;
    raw.read(1).await.unwrap();

    let changes = servers.change(plan(&of("metrics = \"127.0.0.1:0\"\n", ""))).await.unwrap();
    assert!(changes.metrics && changes.restarted.is_empty());
    assert_eq!(changes.to_string(), "the address of metrics changed");
    let before = address(&servers);
    raw.read(2).await.unwrap();
    let figures = scrape(&servers).await;
    assert_eq!(figures.sum("dinrail_requests_total{"), 1.0, "counted since the key came");
    assert_eq!(figures.of("dinrail_connections{server=\"a\"}"), 1.0, "made before it came");

    // The same port, another host.
    let elsewhere = format!("metrics = \"0.0.0.0:{}\"\n", before.port());
    assert!(servers.change(plan(&of(&elsewhere, ""))).await.unwrap().metrics);
    assert_eq!(address(&servers).to_string(), format!("0.0.0.0:{}", before.port()));
    raw.read(3).await.unwrap();
    assert_eq!(scrape(&servers).await.sum("dinrail_requests_total{"), 2.0);

    // What cannot be had changes nothing.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cannot = format!("metrics = \"{}\"\n", busy.local_addr().unwrap());
    let failed = servers.change(plan(&of(&cannot, "max_connections = 2"))).await.unwrap_err();
    assert!(matches!(failed, NotStarted::Metrics(_)));
    let other = "[[server]]\nname = \"b\"\nlisten = \"tcp://127.0.0.1:0\"\n"
        .replace("127.0.0.1:0", &busy.local_addr().unwrap().to_string());
    let moves = format!("metrics = \"{free}\"\n");
    let failed = servers.change(plan(&(of(&moves, "") + &other))).await.unwrap_err();
    assert!(matches!(failed, NotStarted::Server(_)));
    raw.read(4).await.unwrap();
    assert_eq!(address(&servers).port(), before.port());
    let figures = scrape(&servers).await;
    assert_eq!(figures.sum("dinrail_requests_total{"), 3.0);
    assert_eq!(figures.sum("dinrail_server_up{"), 1.0, "there is no b");

    // A server that is started again goes on counting.
    servers.change(plan(&of(&elsewhere, "max_connections = 2"))).await.unwrap();
    let mut raw = Raw::connect(&url(&servers, "a")).await;
    raw.read(5).await.unwrap();
    let figures = scrape(&servers).await;
    assert_eq!(figures.sum("dinrail_requests_total{"), 4.0);
    assert_eq!(figures.of("dinrail_connections_accepted_total{server=\"a\"}"), 2.0);
    assert_eq!((figures.sum("dinrail_server_up{"), figures.sum("dinrail_connections{")), (1.0, 1.0));

    assert!(servers.change(plan(&of("", "max_connections = 2"))).await.unwrap().metrics);
    assert_eq!(servers.metrics(), None);
    raw.read(6).await.unwrap();
    std::net::TcpListener::bind(("0.0.0.0", before.port())).expect("nobody listens any more");
}
