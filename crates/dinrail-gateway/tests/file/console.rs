//! The console, as an operator at a socket sees it, and as those see it who should not be there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dinrail::server::Manager;
use dinrail::service::{Failure, Read, Write, callbacks};
use dinrail::{ExceptionCode, Server};
use dinrail_gateway::Servers;
use dinrail_gateway::console::{Console, Desk, IDLE, LONGEST_LINE, Listen, MOST_CLIENTS, Station};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{SOON, client, plan, start, unit};

const PLANT: &str = r#"
    [[server]]
    name = "plc"
    listen = "tcp://127.0.0.1:0"
    units = ["1-3", 17]
    read_only = true
    fifos = { 1000 = [11, 22] }
    store = { hr = { 0 = [1, 2, 3], "10:f32" = 21.5 }, co = { 0 = [true, false] }, size = 2000 }
    [[server.rule]]
    role = "nobody"
    access = "all"

    [[server]]
    name = "tank farm"
    listen = "tcp://127.0.0.1:0"
    store = { partial = true, ir = { 5 = [50, 51] } }
"#;

async fn open(servers: &Servers) -> Console {
    Console::start(Listen::loopback("127.0.0.1:0").unwrap(), servers.desk()).await.unwrap()
}

/// Somebody with `nc`.
struct Operator(BufReader<TcpStream>);

impl Operator {
    async fn connect(to: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(to).await.unwrap()))
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next reply without the line that ends it.
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let before = reply.len();
            timeout(SOON, self.0.read_line(&mut reply)).await.expect("a line in time").unwrap();
            if &reply[before..] == ".\n" {
                reply.truncate(before);
                return reply;
            }
            assert!(reply.len() > before, "the console closed the connection after {reply:?}");
        }
    }

    async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n")).await;
        self.reply().await
    }

    /// What came until the connection ended.
    async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        let _ = timeout(SOON, self.0.read_to_end(&mut rest)).await.expect("it ends"); // it may be cut off
        String::from_utf8(rest).unwrap()
    }
}

#[tokio::test]
async fn s002_13_values_are_read_and_set_past_rules_and_limits_for_clients() {
    let servers = start(PLANT).await;
    let console = open(&servers).await;
    let mut operator = Operator::connect(console.local_addr()).await;
    assert!(operator.ask("help").await.contains("get UNIT AREA ADDR"));
    let which = operator.ask("get 1 hr 0").await;
    assert_eq!(which, "error: choose a server first, with use NAME: there are plc, tank farm\n");
    assert_eq!(operator.ask("use plc").await, "");
    assert_eq!(operator.ask("get 1 hr 0 4").await, "hr:0 = 1 2 3 0\n");
    assert_eq!(operator.ask("get 17 hr 10:f32").await, "hr:10 = 21.5\n");
    assert_eq!(operator.ask("get 1 co 0 2").await, "co:0 = on off\n");
    assert_eq!(operator.ask("get 4 hr 0").await, "error: unit 4 is not served here: take 1-3, 17\n");
    for (set, shown) in [
        ("set 1 hr 5 -1 0x10 7", "hr:5 = 65535 16 7\n"),
        ("set 1 ir 0 42", "ir:0 = 42\n"),
        ("set 1 di 7 on off on", "di:7 = on off on\n"),
        ("set 1 co 1 on", "co:1 = on\n"),
        ("set 1 hr 20:f32 21.5", "hr:20 = 21.5\n"),
    ] {
        assert_eq!(operator.ask(set).await, shown, "{set}");
    }
    assert_eq!(operator.ask("get 1 hr 1000 3").await, "hr:1000 = 2 11 22\n", "a queue, as clients see it");
    assert_eq!(operator.ask("set 1 hr 1000 9").await, "hr:1000 = 2\n", "what stands there is said, not what was sent");
    let beyond = operator.ask("set 1 hr 1999 1 2").await;
    assert!(beyond.starts_with("error: not all of hr:1999 to hr:2000 are in this server's data"), "{beyond}");
    assert_eq!(operator.ask("get 1 hr 1999").await, "hr:1999 = 0\n", "nothing was set");
    let refused = operator.ask("get 1 hr 1990 20").await;
    assert_eq!(refused, "error: hr:1990 to hr:2009 cannot be read: exception 0x02 (illegal data address)\n");

    assert_eq!(operator.ask("use tank farm").await, "");
    assert_eq!(operator.ask("set 9 ir 5 1 2").await, "ir:5 = 1 2\n");
    assert!(operator.ask("set 9 ir 7 1").await.starts_with("error: there is no ir:7"));
    assert!(operator.ask("use tank").await.starts_with("error: there is no server \"tank\": there are plc, tank farm"));
    assert_eq!(operator.ask("get 9 ir 5").await, "ir:5 = 1\n", "the choice stays");
    operator.send("quit\n").await;
    assert_eq!(operator.rest().await, ".\n");
}

#[tokio::test]
async fn s002_13_clients_see_what_is_set_at_once() {
    let servers = start("[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\nunits = 7\n").await;
    let console = open(&servers).await;
    let mut operator = Operator::connect(console.local_addr()).await;
    let master = unit(&client(&servers, "a").await, 7);
    for round in 1..=50u16 {
        operator.ask(&format!("set 7 hr 0 {round}")).await;
        assert_eq!(master.read_holding_registers(0, 1).await.unwrap(), [round]);
        operator.ask(&format!("set 7 di 0 {}", round % 2)).await;
        assert_eq!(master.read_discrete_inputs(0, 1).await.unwrap(), [round % 2 == 1]);
        master.write_register(1, round).await.unwrap();
        assert_eq!(operator.ask("get 7 hr 1").await, format!("hr:1 = {round}\n"), "the only server is chosen");
    }
    let stats = operator.ask("stats").await;
    let words: Vec<_> = stats.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((words[0], words[2], words[3], words[4], words[6]), ("running", "150", "0", "1", "a"), "{stats}");
    assert_eq!(words[5], servers.status()[0].address, "{stats}");
}

#[tokio::test]
async fn s002_13_a_get_spans_all_addresses_and_lines_may_be_sent_ahead() {
    let servers = start("[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\n").await;
    let console = open(&servers).await;
    let mut operator = Operator::connect(console.local_addr()).await;
    operator.send("set 1 ir 65535 9\r\nget 1 ir 0 65536\r\n\r\nget 1 co 0 65536\nstat\n").await;
    assert_eq!(operator.reply().await, "ir:65535 = 9\n");
    let all = operator.reply().await;
    assert_eq!(all.lines().count(), 6554);
    assert_eq!(all.lines().last(), Some("ir:65530 = 0 0 0 0 0 9"));
    assert_eq!(operator.reply().await, "", "an empty line is answered, too");
    assert_eq!(operator.reply().await.matches("off").count(), 65536);
    assert!(operator.reply().await.starts_with("error: there is no command \"stat\": take get, set, stats"));
}

#[tokio::test]
async fn s002_13_a_browser_or_any_other_stranger_is_sent_away_before_anything_is_done() {
    let servers = start("[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\n").await;
    let console = open(&servers).await;
    let mut operator = Operator::connect(console.local_addr()).await;
    let page = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\nset 1 hr 0 666\r\n";
    let path = "GET /\r\nset 1 hr 0 666\r\n";
    let tls = b"\x16\x03\x01\x02\0\nset 1 hr 0 666\n".as_slice();
    let stun = b"\0\x03\0\x10\nset 1 hr 0 666\n".as_slice();
    let latin = b"\xE4\nset 1 hr 0 666\n".as_slice();
    for (bytes, part) in [
        (page.as_bytes(), "no web server"),
        (path.as_bytes(), "no web server"),
        (tls, "no text"),
        (stun, "no text"),
        (latin, "no text"),
    ] {
        let mut stranger = Operator::connect(console.local_addr()).await;
        stranger.send(bytes).await;
        let told = stranger.rest().await;
        assert!(told.starts_with("error: ") && told.contains(part) && told.ends_with("\n.\n"), "{told}");
        assert_eq!(told.lines().count(), 2, "one reply, and no more: {told}");
        assert_eq!(operator.ask("get 1 hr 0").await, "hr:0 = 0\n");
    }
    // Not as the first line either.
    let mut stranger = Operator::connect(console.local_addr()).await;
    stranger.send(format!("help\n{page}")).await;
    assert!(stranger.rest().await.ends_with("take dinrail console, or nc\n.\n"));
    assert_eq!(operator.ask("get 1 hr 0").await, "hr:0 = 0\n");
}

#[tokio::test]
async fn s002_13_lines_clients_and_what_is_not_read_are_limited() {
    let servers = start("[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\n").await;
    let console = open(&servers).await;
    let mut endless = Operator::connect(console.local_addr()).await;
    endless.send("9".repeat(LONGEST_LINE + 1)).await;
    let told = endless.rest().await;
    assert!(told.starts_with("error: a line has 8192 bytes at most"), "{told}");

    let mut all = Vec::new();
    for _ in 0..MOST_CLIENTS {
        let mut operator = Operator::connect(console.local_addr()).await;
        assert_eq!(operator.ask("").await, "");
        all.push(operator);
    }
    let told = Operator::connect(console.local_addr()).await.rest().await;
    assert_eq!(told, "error: 16 clients are here already: end one of them, and try again\n.\n");
    let mut gone = all.pop().unwrap();
    gone.send("quit\n").await;
    assert_eq!(gone.rest().await, ".\n");
    // The console forgets it a moment later.
    loop {
        let mut next = Operator::connect(console.local_addr()).await;
        let _ = next.0.get_mut().write_all(b"\n").await; // there may be no room yet
        let mut line = String::new();
        if next.0.read_line(&mut line).await.is_ok() && line == ".\n" {
            break;
        }
    }

    // One that asks and asks and never reads: the console stops reading, so what is sent does not go on for ever.
    let mut deaf = all.pop().unwrap();
    let request = b"get 1 hr 0 65536\n".repeat(1000);
    let sending = async {
        while deaf.0.get_mut().write_all(&request).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(Duration::from_millis(500), sending).await.is_err(), "it is not taken");
    assert_eq!(all[0].ask("get 1 hr 0").await, "hr:0 = 0\n", "the others are served");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_nothing_is_let_go_and_one_that_asks_is_not() {
    let servers = start("[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\n").await;
    let console = open(&servers).await;
    let began = tokio::time::Instant::now();
    let mut operator = Operator::connect(console.local_addr()).await;
    for _ in 0..3 {
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        operator.send("\n").await;
        // Without a timer of its own: time stands still while it waits for the socket only when nothing else waits.
        let mut dot = [0; 2];
        operator.0.read_exact(&mut dot).await.unwrap();
        assert_eq!(&dot, b".\n");
    }
    let mut byte = [0];
    assert_eq!(operator.0.read(&mut byte).await.unwrap(), 0, "it is closed");
    assert!(began.elapsed() >= 4 * IDLE - Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn s002_13_a_reload_changes_what_the_console_sees_and_keeps_its_connections() {
    let text = |more: &str, value: u16| {
        format!(
            "[[server]]\nname = \"a\"\nlisten = \"tcp://127.0.0.1:0\"\nstore = {{ hr = {{ 0 = {value} }} }}\n{more}"
        )
    };
    let mut servers = start(&text("", 1)).await;
    let console = open(&servers).await;
    let mut operator = Operator::connect(console.local_addr()).await;
    assert_eq!(operator.ask("set 1 hr 1 7").await, "hr:1 = 7\n");
    servers.change(plan(&text("rate = 1000\n", 1))).await.unwrap();
    assert_eq!(operator.ask("get 1 hr 0 2").await, "hr:0 = 1 7\n", "restarted, with the same data");
    let two = text("", 2) + "[[server]]\nname = \"b\"\nlisten = \"tcp://127.0.0.1:0\"\n";
    servers.change(plan(&two)).await.unwrap();
    assert!(operator.ask("get 1 hr 0").await.contains("there are a, b"));
    operator.ask("use a").await;
    assert_eq!(operator.ask("get 1 hr 0 2").await, "hr:0 = 2 0\n", "other data");
    let listed = operator.ask("servers").await;
    assert!(listed.starts_with("* a  tcp://") && listed.contains("\n  b  tcp://"), "{listed}");
    assert_eq!(client(&servers, "a").await.read_holding_registers(0, 1).await.unwrap(), [2]);
    operator.ask("set 1 hr 0 3").await;
    assert_eq!(client(&servers, "a").await.read_holding_registers(0, 1).await.unwrap(), [3]);
    let only_b = "[[server]]\nname = \"b\"\nlisten = \"tcp://127.0.0.1:0\"\n";
    servers.change(plan(only_b)).await.unwrap();
    let gone = operator.ask("get 1 hr 0").await;
    assert_eq!(gone, "error: the server \"a\" is gone: choose another with use NAME; there is b\n");
    let address = console.local_addr();
    console.stop().await;
    assert_eq!(operator.rest().await, "");
    std::net::TcpListener::bind(address).expect("the port is free");
}

#[tokio::test]
async fn s002_13_what_was_set_and_cannot_be_read_is_said_to_be_set() {
    let write_only = || {
        callbacks(
            |_: Read| Err::<Vec<u16>, _>(ExceptionCode::IllegalDataAddress.into()),
            |_: Write| Ok::<(), Failure>(()),
        )
    };
    let manager = Arc::new(Manager::new());
    manager.add("a", Server::tcp("127.0.0.1:0", write_only())).unwrap();
    let desk = Desk::new(&manager);
    desk.put("a", Station::new(write_only()));
    let console = Console::start(Listen::loopback("127.0.0.1:0").unwrap(), desk).await.unwrap();
    let said = Operator::connect(console.local_addr()).await.ask("set 1 hr 7 1").await;
    assert_eq!(said, "error: it was set; but hr:7 cannot be read: exception 0x02 (illegal data address)\n");
}
