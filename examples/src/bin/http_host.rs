//! A Modbus server inside an HTTP application: `cargo run --bin http_host serve`, or without `serve` to see it under load.
//!
//! Both sides share the application's state behind one lock, which nobody holds while waiting. A batch of values that came by
//! HTTP is seen by Modbus as a whole or not at all.
//!
//! ```text
//! curl -X PUT -d '21 450' http://127.0.0.1:8080/plant      # setpoint and flow
//! dinrail read 127.0.0.1:5020 hr:0 -n 2
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use dinrail::service::{Failure, Read, Write, callbacks};
use dinrail::{Area, Client, ExceptionCode, Server, Service};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the application is about: setpoint and flow.
type Plant = Arc<RwLock<[u16; 2]>>;

/// The application's HTTP side.
fn app(plant: Plant) -> Router {
    Router::new().route("/plant", get(show).put(change)).with_state(plant)
}

async fn show(State(plant): State<Plant>) -> String {
    let [setpoint, flow] = *plant.read().expect("no holder panics");
    format!("{setpoint} {flow}")
}

async fn change(State(plant): State<Plant>, body: String) -> StatusCode {
    let values: Vec<u16> = body.split_whitespace().flat_map(str::parse).collect();
    let [setpoint, flow] = values[..] else { return StatusCode::BAD_REQUEST };
    *plant.write().expect("no holder panics") = [setpoint, flow];
    StatusCode::NO_CONTENT
}

/// The same by Modbus: holding registers 0 and 1.
fn registers(plant: Plant) -> impl Service {
    let writing = plant.clone();
    callbacks(
        move |read: Read| match plant.read().expect("no holder panics").get(read.range()) {
            Some(values) if read.area == Area::HoldingRegister => Ok(values.to_vec()),
            _ => Err(Failure::from(ExceptionCode::IllegalDataAddress)),
        },
        move |write: Write| match writing.write().expect("no holder panics").get_mut(write.range()) {
            Some(values) if write.area == Area::HoldingRegister => {
                values.copy_from_slice(&write.values.to_vec());
                Ok(())
            }
            _ => Err(ExceptionCode::IllegalDataAddress.into()),
        },
    )
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let serve = std::env::args().nth(1).is_some_and(|argument| argument == "serve");
    let (http, modbus) = if serve { ("127.0.0.1:8080", "127.0.0.1:5020") } else { ("127.0.0.1:0", "127.0.0.1:0") };
    let plant = Plant::default();
    let listener = TcpListener::bind(http).await?;
    let http = listener.local_addr()?;
    let server = Server::tcp(modbus, registers(plant.clone()));
    let modbus = server.start().await?;
    let web = tokio::spawn(async move { axum::serve(listener, app(plant)).await });
    if serve {
        println!("http://{http}/plant and {modbus} are the same; Ctrl-C ends both");
        tokio::signal::ctrl_c().await?;
    } else {
        see_under_load(http, modbus).await?;
    }
    server.stop().await;
    web.abort();
    Ok(())
}

/// Writes by HTTP and looks for each by Modbus, while others read and write whatever they can. Everybody writes two values
/// that belong together, so that half a write would be seen.
async fn see_under_load(http: SocketAddr, modbus: SocketAddr) -> Result<(), Box<dyn Error + Send + Sync>> {
    const WRITES: u16 = 200;
    let (over, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (over, reads) = (over.clone(), reads.clone());
        load.spawn(async move {
            let (mut torn, client) = (0u32, Client::connect(modbus).await?);
            while !over.load(Relaxed) {
                torn += u32::from(!belong(&client.read_holding_registers(0, 2).await?));
                reads.fetch_add(1, Relaxed);
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(torn)
        });
    }
    for _ in 0..4 {
        let over = over.clone();
        load.spawn(async move {
            let (mut torn, mut web) = (0, Web::connect(http).await?);
            while !over.load(Relaxed) {
                let shown = web.ask("GET", "").await?;
                let values: Vec<u16> = shown.split_whitespace().flat_map(str::parse).collect();
                torn += u32::from(!belong(&values));
            }
            Ok(torn)
        });
    }

    let (client, mut web) = (Client::connect(modbus).await?, Web::connect(http).await?);
    let mut seen = 0;
    for number in 1..=WRITES {
        web.ask("PUT", &format!("{number} {}", partner(number))).await?;
        let began = Instant::now();
        while client.read_holding_registers(0, 1).await? != [number] {
            if began.elapsed() > Duration::from_millis(100) {
                break;
            }
        }
        seen += u16::from(began.elapsed() <= Duration::from_millis(100));
    }
    // The other way round: a master writes, the web page shows it.
    client.write_registers(0, &[4711, partner(4711)]).await?;
    let shown = web.ask("GET", "").await?;

    over.store(true, Relaxed);
    let mut torn = 0;
    while let Some(done) = load.join_next().await {
        torn += done??;
    }
    println!("{seen} of {WRITES} HTTP writes were seen by Modbus within 100 ms");
    println!("a Modbus write was shown by HTTP: {}", shown == format!("4711 {}", partner(4711)));
    println!("values that did not belong together: {torn}");
    println!("others read more than 500 times meanwhile: {}", reads.load(Relaxed) > 500);
    Ok(())
}

fn partner(setpoint: u16) -> u16 {
    if setpoint == 0 { 0 } else { !setpoint }
}

fn belong(values: &[u16]) -> bool {
    matches!(values, &[setpoint, flow] if flow == partner(setpoint))
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
