//! `dinrail ws-bridge`, by a real WebSocket client.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::{Background, DEADLINE, Server, failure, fake, reserve};

/// A bridge on a port of its own.
struct Bridge {
    process: Background,
    /// `ws://127.0.0.1:PORT`.
    url: String,
}

impl Bridge {
    async fn start(modbus: &str, args: &[&str]) -> Self {
        let mut process =
            Background::start(&[&["ws-bridge", "--modbus", modbus, "--listen", "127.0.0.1:0"], args].concat());
        let line = process.line().await;
        let url = line.strip_prefix("listening on ").expect("the first line says where").to_owned();
        Self { process, url }
    }

    /// One that sends answers only.
    async fn quiet(modbus: &str, args: &[&str]) -> Self {
        Self::start(modbus, &[&["--no-watch"], args].concat()).await
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("ws://").expect("a URL")
    }

    async fn peer(&self) -> Peer {
        self.connect_from(None).await.expect("a handshake")
    }

    async fn connect_from(&self, origin: Option<&str>) -> Result<Peer, Error> {
        let mut request = self.url.as_str().into_client_request().expect("a URL");
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().expect("a header"));
        }
        let stream = TcpStream::connect(self.address()).await.expect("it listens");
        let (socket, _) = timeout(DEADLINE, client_async(request, stream)).await.expect("in time")?;
        Ok(Peer(socket))
    }

    /// Ends it as a service manager does; what it said on standard error.
    async fn stop(self) -> String {
        self.process.signal("TERM").await;
        let (status, _, stderr) = self.process.end().await;
        assert_eq!(status.code(), Some(0), "{stderr}");
        stderr
    }
}

struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    async fn message(&mut self) -> Option<Result<Message, Error>> {
        timeout(DEADLINE, self.0.next()).await.expect("a message in time")
    }

    async fn json(&mut self) -> Json {
        match self.message().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?} is no JSON"),
        }
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("it reads");
    }

    async fn ask(&mut self, question: Json) -> Json {
        self.say(&question.to_string()).await;
        self.json().await
    }

    /// The code with which it is sent away.
    async fn dismissal(&mut self) -> CloseCode {
        loop {
            match self.message().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code,
                Some(Ok(_)) => {}
                other => panic!("{other:?} is no goodbye"),
            }
        }
    }
}

#[tokio::test]
async fn s003_10_reads_are_answered_and_updates_come_each_second() {
    let server = Server::start(&["--set", "hr:0=1,2,3,4,5,6,7,8,9,10", "--set", "co:1=on"]).await;
    let bridge = Bridge::start(&server.url, &["--watch", "hr:0:3", "--watch", "co:0:2"]).await;
    let mut peer = bridge.peer().await;
    // Exactly what the document's page sends.
    peer.say(r#"{"action": "read", "address": 0, "count": 10}"#).await;
    let answer = loop {
        let answer = peer.json().await;
        if answer["type"] != "update" {
            break answer;
        }
    };
    assert_eq!(
        answer,
        json!({"type": "data", "area": "hr", "address": 0, "unit": 1, "values": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]})
    );
    let mut other = bridge.peer().await;
    for peer in [&mut peer, &mut other] {
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let mut update = peer.json().await;
            assert_eq!(update["type"], "update", "{update}");
            assert!(update.as_object_mut().expect("an object").remove("time").is_some());
            seen.push(update);
        }
        let hr = json!({"type": "update", "area": "hr", "address": 0, "unit": 1, "values": [1, 2, 3]});
        let co = json!({"type": "update", "area": "co", "address": 0, "unit": 1, "values": [false, true]});
        seen.sort_by_key(|update| update["area"].to_string()); // it may have come in between two
        assert_eq!(seen, [co.clone(), co, hr.clone(), hr]);
    }
    bridge.stop().await;
    server.stop().await;
}

/// The time of day in an update, in ms.
fn time_of_day(update: &Json) -> i64 {
    let (_, time) = update["time"].as_str().and_then(|time| time.split_once('T')).expect("a date and a time");
    let digits: Vec<i64> = time.split(['Z', ':', '.']).filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds, millis] = digits[..] else { panic!("{time} is no time to the millisecond") };
    ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis
}

#[tokio::test]
async fn s003_10_without_a_word_about_it_ten_registers_come_each_second() {
    let server = Server::start(&["--set", "hr:0=1,2,3,4,5,6,7,8,9,10"]).await;
    let bridge = Bridge::start(&server.url, &[]).await;
    let mut peer = bridge.peer().await;
    let mut times = Vec::new();
    while times.len() < 4 {
        let mut update = peer.json().await;
        times.push(time_of_day(&update));
        update.as_object_mut().expect("an object").remove("time");
        let expected =
            json!({"type": "update", "area": "hr", "address": 0, "unit": 1, "values": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]});
        assert_eq!(update, expected);
    }
    // The first of them may be late, and midnight may have passed.
    let day = 24 * 60 * 60 * 1000;
    let gaps: Vec<i64> = times.windows(2).map(|pair| (pair[1] - pair[0]).rem_euclid(day)).collect();
    assert!(gaps.iter().sum::<i64>() >= 3 * 700, "{gaps:?} ms: they come too often");
    assert!(gaps.iter().any(|gap| *gap < 3000), "{gaps:?} ms: they come too seldom");
    bridge.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_device_without_those_ten_registers_is_no_error_that_anybody_is_told() {
    let (refusals, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let device = fake(move |pdu| {
        let is_standard = pdu == [3, 0, 0, 0, 10];
        is_standard.then(|| refusals.send(()));
        Some(if is_standard { vec![0x83, 2] } else { vec![3, 2, 0, 7] })
    });
    let device = device.await;
    let bridge = Bridge::start(&device, &["--every", "20ms"]).await;
    let mut peer = bridge.peer().await;
    for _ in 0..5 {
        timeout(DEADLINE, refused.recv()).await.expect("it is asked").expect("the device lives");
    }
    let answer = peer.ask(json!({"action": "read", "address": 0})).await;
    assert_eq!((&answer["type"], &answer["values"]), (&json!("data"), &json!([7])), "{answer}");
    bridge.stop().await;

    let bridge = Bridge::start(&device, &["--every", "20ms", "--watch", "hr:0:10"]).await;
    let told = bridge.peer().await.json().await;
    assert_eq!((&told["type"], &told["exception"]), (&json!("error"), &json!(2)), "{told}");
    bridge.stop().await;
}

#[tokio::test]
async fn s003_10_one_lost_call_ends_nothing() {
    let reserved = reserve();
    let bridge = Bridge::start(&reserved.url, &["--timeout", "200ms", "--watch", "hr:0", "--every", "50ms"]).await;
    let mut peer = bridge.peer().await;
    let lost = peer.json().await;
    assert_eq!((&lost["type"], &lost["address"]), (&json!("error"), &json!(0)), "{lost}");
    assert!(lost["error"].as_str().expect("a sentence").contains("cannot connect to"), "{lost}");

    let server = Server::start_at(&reserved.url, &["--set", "hr:0=7"]).await;
    let mut update = peer.json().await;
    while update["type"] == "error" {
        update = peer.json().await;
    }
    assert_eq!((&update["type"], &update["values"]), (&json!("update"), &json!([7])));
    server.stop().await;
    while update["type"] != "error" {
        update = peer.json().await;
    }
    peer.say("{\"action\":\"read\",\"address\":0,\"id\":\"mine\"}").await;
    let answer = loop {
        let answer = peer.json().await;
        if answer["id"] == "mine" {
            break answer;
        }
    };
    assert_eq!(answer["type"], "error", "{answer}");
    assert_eq!(bridge.stop().await, "");
}

#[tokio::test]
async fn s003_10_peers_that_go_are_forgotten() {
    let server = Server::start(&[]).await;
    let bridge = Bridge::start(&server.url, &["--max-peers", "1", "--watch", "hr:0", "--every", "10ms"]).await;
    for how in ["with a goodbye", "without one", "with a goodbye"] {
        // Whoever comes is let in once the one before has gone; until then it is told to wait.
        let mut peer = loop {
            match bridge.connect_from(None).await {
                Ok(peer) => break peer,
                Err(Error::Http(response)) => assert_eq!(response.status(), 503),
                Err(other) => panic!("{other}"),
            }
        };
        peer.json().await;
        match bridge.connect_from(None).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 503),
            other => panic!("two peers at a time, {how}: {:?}", other.map(drop)),
        }
        if how == "with a goodbye" {
            peer.0.close(None).await.expect("it listens");
            while let Some(Ok(_)) = peer.message().await {}
        }
    }
    bridge.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn everything_can_be_read_as_it_is_meant() {
    let server = Server::start(&["--set", "40011:f32=21.5", "--set", "ir:0:str:6=pump", "--set", "di:3=on"]).await;
    let bridge = Bridge::quiet(&server.url, &["--unit", "9"]).await;
    let mut peer = bridge.peer().await;
    for (question, values) in [
        (json!({"action": "read", "address": 10, "type": "f32"}), json!([21.5])),
        (json!({"action": "read", "area": "holding_register", "address": 10, "count": 2}), json!([0x41AC, 0])),
        (json!({"action": "read", "area": "ir", "address": 0, "type": "str:6"}), json!(["pump"])),
        (json!({"action": "read", "area": "input_register", "address": 0, "type": "bit:4"}), json!([true])),
        (json!({"action": "read", "address": 9, "type": "f32", "order": "CDAB"}), json!([21.5])),
        (json!({"action": "read", "area": "di", "address": 2, "count": 3}), json!([false, true, false])),
    ] {
        let answer = peer.ask(question.clone()).await;
        assert_eq!((&answer["type"], &answer["unit"]), (&json!("data"), &json!(9)), "{question}: {answer}");
        assert_eq!(answer["values"], values, "{question}");
    }
    let answer = peer.ask(json!({"action": "read", "address": 0, "unit": 3, "id": {"any": [1]}})).await;
    assert_eq!((&answer["unit"], &answer["id"]), (&json!(3), &json!({"any": [1]})));
    bridge.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_write_is_answered_with_what_really_happened() {
    let server = Server::start(&[]).await;
    let bridge = Bridge::quiet(&server.url, &["--allow-writes"]).await;
    let mut peer = bridge.peer().await;
    for (question, count) in [
        (json!({"action": "write", "address": 5, "value": 42, "id": 1}), 1),
        (json!({"action": "write", "address": 6, "values": [1, "0x10"]}), 2),
        (json!({"action": "write", "address": 8, "value": 21.5, "type": "f32"}), 1),
        (json!({"action": "write", "address": 5, "value": true, "type": "bit:15"}), 1),
        (json!({"action": "write", "area": "co", "address": 0, "values": [true, false, 1]}), 3),
        (json!({"action": "write", "area": "co", "address": 7, "value": true}), 1),
    ] {
        let answer = peer.ask(question.clone()).await;
        assert_eq!((&answer["type"], &answer["count"]), (&json!("written"), &json!(count)), "{question}: {answer}");
        assert_eq!(answer["id"], question["id"]);
    }
    let registers = peer.ask(json!({"action": "read", "address": 5, "count": 5})).await;
    assert_eq!(registers["values"], json!([42 + 0x8000, 1, 16, 0x41AC, 0]));
    let coils = peer.ask(json!({"action": "read", "area": "co", "address": 0, "count": 8})).await;
    assert_eq!(coils["values"], json!([true, false, true, false, false, false, false, true]));
    bridge.stop().await;
    server.stop().await;

    // Address 1 is refused, everything else is lost on its way.
    let device = fake(|pdu| (pdu[2] == 1).then(|| vec![pdu[0] | 0x80, 4])).await;
    let bridge = Bridge::quiet(&device, &["--allow-writes", "--timeout", "100ms"]).await;
    let mut peer = bridge.peer().await;
    let refused = peer.ask(json!({"action": "write", "address": 1, "value": 1})).await;
    assert_eq!((&refused["exception"], &refused["outcome"]), (&json!(4), &json!("not done")), "{refused}");
    let lost = peer.ask(json!({"action": "write", "address": 2, "value": 1})).await;
    assert_eq!((&lost["type"], &lost["outcome"]), (&json!("error"), &json!("unknown")), "{lost}");
    bridge.stop().await;
}

#[tokio::test]
async fn whoever_may_not_write_is_told_so_and_nothing_is_sent() {
    let server = Server::start(&[]).await;
    let bridge = Bridge::quiet(&server.url, &[]).await;
    let mut peer = bridge.peer().await;
    let answer = peer.ask(json!({"action": "write", "address": 0, "value": 1, "id": 5})).await;
    assert_eq!(
        answer,
        json!({"type": "error", "error": "writing is not allowed: start the bridge with --allow-writes", "id": 5})
    );
    assert_eq!(peer.ask(json!({"action": "read", "address": 0})).await["values"], json!([0]));
    bridge.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_question_is_answered_with_an_error_and_the_connection_goes_on() {
    let server = Server::start(&[]).await;
    let bridge = Bridge::quiet(&server.url, &["--allow-writes"]).await;
    let mut peer = bridge.peer().await;
    for (message, part) in [
        ("{", "the message is no JSON"),
        ("", "the message is no JSON"),
        ("[]", "the message is no question"),
        ("7", "the message is no question"),
        (r#"{"action":"read"}"#, "missing field `address`"),
        (r#"{"action":"erase","address":0}"#, "unknown variant `erase`, expected `read` or `write`"),
        (r#"{"action":"read","address":0,"cuont":2}"#, "unknown field `cuont`"),
        (r#"{"action":"read","address":65536}"#, "65536"),
        (r#"{"action":"read","address":-1}"#, "-1"),
        (r#"{"action":"read","address":0,"count":0}"#, "a count of 0"),
        (r#"{"action":"read","address":0,"count":126}"#, "up to 125 registers"),
        (r#"{"action":"read","address":65535,"count":2}"#, "behind the last address"),
        (r#"{"action":"read","address":0,"area":"xx"}"#, "there is no area \"xx\""),
        (r#"{"action":"read","address":0,"type":"float"}"#, "no such type"),
        (r#"{"action":"read","address":0,"area":"co","type":"u16"}"#, "leave the type out"),
        (r#"{"action":"read","address":0,"value":1}"#, "a read has no values"),
        (r#"{"action":"read","address":0,"unit":256}"#, "256"),
        (r#"{"action":"write","address":0}"#, "a write needs a value"),
        (r#"{"action":"write","address":0,"values":[]}"#, "a count of 0"),
        (r#"{"action":"write","address":0,"value":65536}"#, "out of range: u16 takes 0 to 65535"),
        (r#"{"action":"write","address":0,"values":[null]}"#, "null is no value"),
        (r#"{"action":"write","address":0,"area":"ir","value":1}"#, "input registers cannot be written"),
        (r#"{"action":"write","address":0,"area":"co","value":2}"#, "neither on nor off"),
        (r#"{"action":"write","address":0,"value":1,"count":1}"#, "leave the count out"),
        (r#"{"action":"write","address":0,"values":[true,false],"type":"bit:1"}"#, "one is written at a time"),
    ] {
        peer.say(message).await;
        let answer = peer.json().await;
        let sentence = answer["error"].as_str().unwrap_or_default();
        assert!(answer["type"] == "error" && sentence.contains(part), "{message}: {part:?} is missing in {answer}");
    }
    peer.0.send(Message::binary(vec![1, 2])).await.expect("it reads");
    assert!(peer.json().await["error"].as_str().expect("a sentence").contains("binary"));
    assert_eq!(peer.ask(json!({"action": "read", "address": 0})).await["type"], "data");
    bridge.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn pages_of_strangers_may_not_connect() {
    let bridge = Bridge::quiet("127.0.0.1:9", &["--allow-origin", "https://hmi.example"]).await;
    let own = format!("http://{}", bridge.address());
    for origin in ["https://evil.example", "null", "http://hmi.example"] {
        match bridge.connect_from(Some(origin)).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 403, "{origin}"),
            other => panic!("{origin}: {:?}", other.map(drop)),
        }
    }
    for origin in ["https://hmi.example", &own] {
        assert!(bridge.connect_from(Some(origin)).await.is_ok(), "{origin}");
    }
    bridge.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_one_connection_only() {
    let server = Server::start(&[]).await;
    let bridge = Bridge::quiet(&server.url, &["--max-message", "256"]).await;
    let (mut loud, mut other) = (bridge.peer().await, bridge.peer().await);
    loud.say(&" ".repeat(257)).await;
    assert_eq!(loud.dismissal().await, CloseCode::Size);
    assert_eq!(other.ask(json!({"action": "read", "address": 0})).await["type"], "data");
    bridge.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped() {
    let server = Server::start(&[]).await;
    let bridge = Bridge::quiet(&server.url, &["--patience", "200ms", "--max-peers", "1"]).await;
    let mut peer = bridge.peer().await;
    // Each answer is some 12 kB, and none is ever read: one day sending them fails, since nobody is there any more.
    let question = json!({"action": "read", "area": "co", "address": 0, "count": 2000}).to_string();
    let flood = async { while peer.0.send(Message::text(question.as_str())).await.is_ok() {} };
    timeout(DEADLINE, flood).await.expect("it is dropped");
    let mut next = bridge.peer().await;
    assert_eq!(next.ask(json!({"action": "read", "address": 0})).await["type"], "data");
    bridge.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn who_speaks_no_websocket_harms_nobody_and_peers_are_told_when_it_ends() {
    let server = Server::start(&[]).await;
    let bridge = Bridge::quiet(&server.url, &[]).await;
    let mut peer = bridge.peer().await;
    let mut stranger = TcpStream::connect(bridge.address()).await.expect("it listens");
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
    let mut reply = Vec::new();
    let _ = timeout(DEADLINE, stranger.read_to_end(&mut reply)).await.expect("it ends");
    let _silent = TcpStream::connect(bridge.address()).await.expect("it listens");
    assert_eq!(peer.ask(json!({"action": "read", "address": 0})).await["type"], "data");
    bridge.process.signal("INT").await;
    assert_eq!(peer.dismissal().await, CloseCode::Away);
    let (status, _, stderr) = bridge.process.end().await;
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_command_line_is_a_sentence() {
    for (code, args, part) in [
        (2, &["--watch", "hr:0:126"][..], "up to 125 registers"),
        (2, &["--no-watch", "--watch", "hr:0"], "cannot be used with"),
        (2, &["--allow-origin", "hmi.example"], "is no origin: write https://HOST[:PORT], null or *"),
        (3, &["--listen", "192.0.2.1:0"], "cannot listen on 192.0.2.1:0"),
    ] {
        let complaint = failure(code, &[&["ws-bridge", "--modbus", "plc"], args].concat()).await;
        assert!(complaint.contains(part), "{args:?}: {complaint}");
    }
    let complaint = failure(2, &["ws-bridge"]).await;
    assert!(complaint.contains("--modbus"), "{complaint}");
}
