//! `dinrail ws-bridge`: a device for web pages and scripts, by JSON over WebSocket.

mod origin;
mod peer;
mod place;
mod question;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::builder::TypedValueParser as _;
use dinrail::client::Backoff;
use dinrail::{Client, Error};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_tungstenite::tungstenite::Message;
use tracing::{debug, warn};

use self::origin::Origins;
use self::peer::Shared;
use self::place::Place;
use self::question::Answer;
use super::signal::Stop;
use crate::args::{Device, parse_duration};
use crate::failure::Failure;
use crate::output;

/// Let web pages and scripts read and write a device by JSON over WebSocket
///
/// Prints "listening on ws://HOST:PORT" as its first line once peers may come. A device that does not answer
/// costs a peer one answer of type "error" and nothing else: the bridge connects again by itself. Ctrl-C and
/// SIGTERM end it with exit code 0.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, verbatim_doc_comment, mut_arg("endpoint", |url| url.long("modbus").display_order(0)))]
pub(crate) struct WsBridge {
    #[command(flatten)]
    device: Device,

    /// Where to listen; port 0 takes a free one
    ///
    /// The host 0.0.0.0 listens on every interface: anybody there can then read, and write where that is allowed.
    #[arg(long, verbatim_doc_comment, value_name = "HOST:PORT", default_value = "127.0.0.1:8765")]
    listen: String,

    /// Send these values to every peer, again and again; may be given several times
    ///
    /// Without it that is hr:0:10, and nothing is sent while the device refuses those.
    #[arg(long, verbatim_doc_comment, value_name = "AREA:ADDR[:COUNT[:TYPE]]")]
    watch: Vec<Place>,

    /// Send no updates: peers get answers only.
    #[arg(long, conflicts_with = "watch")]
    no_watch: bool,

    /// How often; the device is not asked while nobody listens.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    every: Duration,

    /// Let peers write; otherwise they are told that they may not.
    #[arg(long)]
    allow_writes: bool,

    /// Let pages of this origin connect, such as https://hmi.example, or * for any; may be given several times
    ///
    /// Browsers say which site a page comes from. Without this, only pages that the bridge's own host serves under an
    /// IP address or as localhost may connect, and programs, which say nothing: a page of a stranger that is open in
    /// a browser here cannot.
    #[arg(long, verbatim_doc_comment, value_name = "ORIGIN")]
    allow_origin: Vec<String>,

    /// The most peers at a time; others are answered 503.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=10000).map(usize::from))]
    max_peers: usize,

    /// The longest message that a peer may send; a longer one ends its connection with code 1009.
    #[arg(long, value_name = "BYTES", default_value = "65536", value_parser = clap::value_parser!(u32).range(128..=16_777_216).map(|bytes| bytes as usize))]
    max_message: usize,

    /// Drop a peer that does not take a message for so long.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    patience: Duration,
}

const HELP: &str = r#"Examples:
  dinrail ws-bridge --modbus plc                                   for programs and pages of this machine
  dinrail ws-bridge --modbus plc --listen 0.0.0.0:8765 --allow-origin https://hmi.example
  dinrail ws-bridge --modbus rtu:///dev/ttyUSB0 --unit 17 --allow-writes --watch ir:0:4:f32 --every 200ms

What a peer sends, one JSON object a message; area, count, unit, type, order and id may be left out:
  {"action":"read","address":0,"count":10}
  {"action":"read","area":"ir","address":8,"count":2,"unit":3,"type":"f32","order":"CDAB","id":7}
  {"action":"write","address":100,"value":42}
  {"action":"write","area":"co","address":0,"values":[true,false]}
The area is hr unless given, or co, di or ir; a type holds for registers and is u16 unless given, as for dinrail read.
Count is the number of values; one request of Modbus must carry them. An id comes back as it is.

What it is sent:
  {"type":"data","area":"hr","address":0,"unit":1,"values":[1,2,3]}
  {"type":"written","area":"hr","address":100,"unit":1,"count":1}       the device has done it
  {"type":"error","error":"...","exception":2}                          the device refused; a sentence says what
  {"type":"error","error":"...","outcome":"unknown"}                    a write was sent, and no answer came
  {"type":"update","time":"...","area":"hr","address":0,"unit":1,"values":[1,2,3]}     of each --watch, --every 1s
What is no such object is answered with an error as well. Answers keep the order of the questions."#;

impl WsBridge {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let connector = self.device.connector().map_err(|error| Failure::Usage(error.to_string()))?;
        let patience = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let client = Client::lazy(connector, self.device.options().with_reconnect(patience));
        let origins = Origins::new(&self.allow_origin).map_err(Failure::Usage)?;
        let listener = self.listen().await.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let address = listener.local_addr()?;
        if self.allow_writes && !address.ip().is_loopback() {
            warn!(%address, "anybody who can connect can write");
        }
        output::print(&format!("listening on ws://{address}\n"))?;

        let (updates, _) = broadcast::channel(UPDATES);
        let (stopping, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            client: client.clone(),
            unit: self.device.unit,
            allow_writes: self.allow_writes,
            origins,
            places: Semaphore::new(self.max_peers),
            max_message: self.max_message,
            patience: self.patience,
            updates: updates.clone(),
            stopped,
        });
        let mut peers = JoinSet::new();
        tokio::select! {
            () = accept(&listener, &shared, &mut peers, 2 * self.max_peers + 16) => {}
            () = self.update(&client, &updates) => {}
            () = stop.requested() => {}
        }
        drop(listener);
        let _ = stopping.send(true); // fails when there are no peers, and nobody is to be told
        tokio::select! {
            _ = timeout(GRACE, peers.join_all()) => Ok(()),
            () = stop.requested() => Err(Failure::Interrupted),
        }
    }

    async fn listen(&self) -> Result<TcpListener, Error> {
        let failed = |source| Error::Bind { address: self.listen.as_str().into(), source: Arc::new(source) };
        TcpListener::bind(&self.listen).await.map_err(failed)
    }

    /// Tells everybody what is watched. What fails is told, too, and tried again.
    async fn update(&self, client: &Client, updates: &broadcast::Sender<Message>) {
        let standard = [Place::first_registers(10)];
        let watched = if self.watch.is_empty() && !self.no_watch { &standard[..] } else { &self.watch };
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for place in watched {
                if updates.receiver_count() == 0 {
                    break;
                }
                let place = Place { unit: self.device.unit, ..*place };
                let answer = match place.read(client).await {
                    Ok(values) => Answer::update(place, values, SystemTime::now()),
                    // Nobody has said that the device has them.
                    Err(error @ Error::Exception(_)) if self.watch.is_empty() => {
                        debug!(%error, "nothing to tell");
                        continue;
                    }
                    Err(error) => {
                        debug!(%error, "nothing to tell");
                        Answer::failed(Some(place), &error, false, None)
                    }
                };
                let _ = updates.send(answer.message()); // the last peer may have gone
            }
        }
    }
}

/// How many updates wait for a peer that is slow, before it is given newer ones only.
const UPDATES: usize = 64;
/// How long peers may take to part when the bridge ends.
const GRACE: Duration = Duration::from_secs(2);

/// Takes peers; what goes wrong is waited out.
async fn accept(listener: &TcpListener, shared: &Arc<Shared>, peers: &mut JoinSet<()>, most: usize) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = peers.join_next() => continue, // gone, and forgotten
        };
        match accepted {
            // So many are there that not even a refusal can be said to more.
            Ok((_, address)) if peers.len() >= most => debug!(%address, "dropped: too many connections"),
            Ok((stream, address)) => {
                peers.spawn(peer::serve(stream, address, shared.clone()));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
