//! Row S000-15: what is written by HTTP is read by Modbus within 100 ms, while others read and write all they can, and
//! nobody sees half of it.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dinrail::{Client, Server};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../src/bin/http_host.rs"]
mod http_host;

type Failed = Box<dyn Error + Send + Sync>;

const SOON: Duration = Duration::from_millis(100);

/// The example's two sides, and where they are.
async fn host() -> Result<(SocketAddr, SocketAddr), Failed> {
    let plant = http_host::Plant::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let http = listener.local_addr()?;
    let server = Server::tcp("127.0.0.1:0", http_host::registers(plant.clone()));
    let modbus = server.start().await?;
    tokio::spawn(async move {
        let _server = server; // for as long as the web is served
        axum::serve(listener, http_host::app(plant)).await
    });
    Ok((http, modbus))
}

/// Everybody writes two values that belong together, so that half a write would be seen.
fn partner(setpoint: u16) -> u16 {
    if setpoint == 0 { 0 } else { !setpoint }
}

fn belong(values: &[u16]) -> bool {
    matches!(values, &[setpoint, flow] if flow == partner(setpoint))
}

fn values(shown: &str) -> Vec<u16> {
    shown.split_whitespace().flat_map(str::parse).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s000_15_an_http_write_is_seen_by_modbus_within_100_ms_under_load() -> Result<(), Failed> {
    let (http, modbus) = host().await?;
    let (over, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (over, reads) = (over.clone(), reads.clone());
        load.spawn(async move {
            let client = Client::connect(modbus).await?;
            while !over.load(Relaxed) {
                let read = client.read_holding_registers(0, 2).await?;
                assert!(belong(&read), "Modbus has seen half a write: {read:?}");
                reads.fetch_add(1, Relaxed);
            }
            Ok::<_, Failed>(())
        });
    }
    for _ in 0..4 {
        let over = over.clone();
        load.spawn(async move {
            let mut web = Web::connect(http).await?;
            while !over.load(Relaxed) {
                let shown = web.ask("GET", "").await?;
                assert!(belong(&values(&shown)), "HTTP has seen half a write: {shown}");
            }
            Ok(())
        });
    }

    let (client, mut web) = (Client::connect(modbus).await?, Web::connect(http).await?);
    let before = reads.load(Relaxed);
    for number in 1..=200 {
        // It begins before the write, so that an early look cannot hide how long it took.
        let began = Instant::now();
        web.ask("PUT", &format!("{number} {}", partner(number))).await?;
        while client.read_holding_registers(0, 1).await? != [number] {
            assert!(began.elapsed() < SOON, "write {number} is not seen after {:?}", began.elapsed());
        }
        assert!(began.elapsed() < SOON, "write {number} was seen after {:?}", began.elapsed());
    }
    assert!(reads.load(Relaxed) - before > 500, "the others read all the while");

    // The other way round: a master writes, the web page shows it.
    client.write_registers(0, &[4711, partner(4711)]).await?;
    assert_eq!(values(&web.ask("GET", "").await?), [4711, partner(4711)]);
    over.store(true, Relaxed);
    while let Some(done) = load.join_next().await {
        done??;
    }
    assert_eq!(
        client.read_holding_registers(2, 1).await.unwrap_err().to_string(),
        "the device refused: exception 0x02 (illegal data address)"
    );
    Ok(())
}

/// Just enough of an HTTP client.
struct Web(BufReader<TcpStream>);

impl Web {
    async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    async fn ask(&mut self, method: &str, body: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        let length = body.len();
        let request = format!("{method} /plant HTTP/1.1\r\nhost: plant\r\ncontent-length: {length}\r\n\r\n{body}");
        self.0.write_all(request.as_bytes()).await?;
        let (mut line, mut status, mut length) = (String::new(), None, 0);
        loop {
            line.clear();
            if self.0.read_line(&mut line).await? == 0 {
                return Err("the HTTP server has closed the connection".into());
            }
            let text = line.trim_end().to_ascii_lowercase();
            match (&status, text.split_once(": ")) {
                (None, _) => status = text.split(' ').nth(1).map(str::to_owned),
                (_, Some(("content-length", number))) => length = number.parse()?,
                _ if text.is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        match status.as_deref() {
            Some("200" | "204") => Ok(String::from_utf8(body)?),
            other => Err(format!("HTTP status {other:?}").into()),
        }
    }
}
