//! One peer: its handshake, its questions, and what it is told.

use std::net::SocketAddr;
use std::time::Duration;

use dinrail::Client;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit, broadcast, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use tracing::{debug, info};

use super::origin::Origins;
use super::question::{Answer, answer};

/// What all peers have in common.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) unit: u8,
    pub(super) allow_writes: bool,
    pub(super) origins: Origins,
    pub(super) places: Semaphore,
    pub(super) max_message: usize,
    pub(super) patience: Duration,
    pub(super) updates: broadcast::Sender<Message>,
    pub(super) stopped: watch::Receiver<bool>,
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How often a peer that says nothing is asked whether it is there; twice without an answer, and it is gone.
const BEAT: Duration = Duration::from_secs(20);

/// Serves a peer until it goes or the bridge ends.
pub(super) async fn serve(stream: TcpStream, address: SocketAddr, shared: std::sync::Arc<Shared>) {
    let (socket, _place) = match timeout(HANDSHAKE, shake_hands(stream, &shared)).await {
        Ok(Ok(agreed)) => agreed,
        Ok(Err(error)) => return debug!(%address, %error, "no peer"),
        Err(_) => return debug!(%address, "no peer: it took too long"),
    };
    info!(%address, "connected");
    let mut peer = Peer { socket, patience: shared.patience };
    let why = match peer.converse(&shared).await {
        Ok(()) => String::new(),
        Err(gone) => gone.to_string(),
    };
    info!(%address, why, "disconnected");
}

#[expect(clippy::result_large_err, reason = "the handshake's own type")]
async fn shake_hands(
    stream: TcpStream,
    shared: &Shared,
) -> Result<(WebSocketStream<TcpStream>, SemaphorePermit<'_>), Error> {
    let _ = stream.set_nodelay(true); // slower without it, no worse
    let mut place = None;
    let check = |request: &Request, response: Response| {
        let header = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
        if !shared.origins.allow(header("origin"), header("host")) {
            return Err(refusal(StatusCode::FORBIDDEN, "pages of this origin may not connect: see --allow-origin"));
        }
        place = shared.places.try_acquire().ok();
        if place.is_some() { Ok(response) } else { Err(refusal(StatusCode::SERVICE_UNAVAILABLE, "too many peers")) }
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(shared.max_message))
        .max_frame_size(Some(shared.max_message))
        .read_buffer_size(4096);
    let socket = accept_hdr_async_with_config(stream, check, Some(config)).await?;
    match place {
        Some(place) => Ok((socket, place)),
        None => Err(Error::ConnectionClosed), // without a place there is no agreement
    }
}

fn refusal(status: StatusCode, sentence: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(format!("{sentence}\n")));
    *response.status_mut() = status;
    response
}

struct Peer {
    socket: WebSocketStream<TcpStream>,
    patience: Duration,
}

impl Peer {
    /// Answers questions one after the other, and passes updates on; `Ok` when both sides have parted well.
    async fn converse(&mut self, shared: &Shared) -> Result<(), Gone> {
        let mut updates = shared.updates.subscribe();
        let mut stopped = shared.stopped.clone();
        let mut beats = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => return self.part(CloseCode::Away, "the bridge ends").await,
                message = self.socket.next() => {
                    heard = Instant::now();
                    match message {
                        None => return Ok(()),
                        Some(Ok(Message::Text(text))) => {
                            let answer = answer(&shared.client, shared.unit, shared.allow_writes, &text).await;
                            self.send(answer.message()).await?;
                            // Nobody listened to it while the device was asked.
                            heard = Instant::now();
                        }
                        Some(Ok(Message::Binary(_))) => {
                            let complaint = Answer::complaint("the message is binary: send JSON as text", None);
                            self.send(complaint.message()).await?;
                        }
                        Some(Ok(_)) => {} // of the connection itself, and dealt with there
                        Some(Err(Error::Capacity(_))) => {
                            return self.part(CloseCode::Size, "the message is too long: see --max-message").await;
                        }
                        Some(Err(error)) => return Err(Gone::Failed(error)),
                    }
                }
                update = updates.recv() => match update {
                    Ok(update) => self.send(update).await?,
                    // It was busy; the newest are what counts.
                    Err(broadcast::error::RecvError::Lagged(missed)) => debug!(missed, "updates left out"),
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                _ = beats.tick() => {
                    if heard.elapsed() > 2 * BEAT {
                        return Err(Gone::Silent);
                    }
                    self.send(Message::Ping(Default::default())).await?;
                }
            }
        }
    }

    /// Whoever does not take what it is sent is dropped: others must not wait, and memory is bounded.
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(self.patience, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(Gone::Failed),
            Err(_) => Err(Gone::Slow),
        }
    }

    async fn part(&mut self, code: CloseCode, reason: &'static str) -> Result<(), Gone> {
        let goodbye = self.socket.close(Some(CloseFrame { code, reason: reason.into() }));
        let goodbye = timeout(self.patience, goodbye).await;
        // What it has sent meanwhile is read, so that our words are not lost with a reset.
        let rest = async { while let Some(Ok(_)) = self.socket.next().await {} };
        let _ = timeout(self.patience.min(Duration::from_secs(1)), rest).await;
        match goodbye {
            Ok(sent) => sent.map_err(Gone::Failed),
            Err(_) => Err(Gone::Slow),
        }
    }
}

/// Why a peer is no more.
enum Gone {
    Failed(Error),
    Slow,
    Silent,
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Slow => f.write_str("dropped: it did not take what it was sent"),
            Self::Silent => f.write_str("dropped: it does not answer"),
        }
    }
}
