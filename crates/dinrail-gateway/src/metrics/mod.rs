//! The figures of servers, for Prometheus and whatever else reads its text format: `GET /metrics` over HTTP.
//!
//! The servers count ([`dinrail::server::Metrics`]); here the figures are only read and shown, so that the library needs
//! neither HTTP nor a format. HTTP is hyper's: its `http1` server alone is a few small crates (MIT), and for one path a
//! router such as axum's would be more than the rest. The text is written by the `prometheus` crate (Apache-2.0) without
//! its default features. Its format, 0.0.4, has not changed for years, and everything reads it; `prometheus-client`
//! writes OpenMetrics only, which older scrapers do not know.
//!
//! Whoever reaches the address may read: there is no authentication. A scraper can do no more than that: each connection
//! is answered once, within a time limit, and only so many are there at once: the oldest makes room for a new one, so that
//! those who connect and say nothing keep nobody out.

mod text;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dinrail::Error;
use dinrail::server::Metrics;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tracing::{debug, warn};

/// Where the figures are.
const PATH: &str = "/metrics";
/// Scrapers that are there at once. One more takes the place of the oldest, which had the most time.
const AT_ONCE: usize = 16;
/// The longest head of a request, in bytes: those of scrapers have some hundred.
const HEAD: usize = 16 * 1024;
/// How long a scraper may take for its request and for reading the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The wait after an error that only time can mend.
const PAUSE: Duration = Duration::from_millis(100);

/// Servers whose figures are shown, each by its name. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Watched(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    servers: Vec<(Arc<str>, Metrics)>,
    /// Whether servers that are new count.
    counting: bool,
}

impl Watched {
    /// No server yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows a server under this name, instead of one that has it.
    pub fn insert(&self, name: impl Into<Arc<str>>, metrics: Metrics) {
        let name = name.into();
        let mut inside = self.inside();
        match inside.servers.iter_mut().find(|(there, _)| *there == name) {
            Some(place) => place.1 = metrics,
            None => inside.servers.push((name, metrics)),
        }
    }

    /// The figures of the server of this name; new ones if there is none.
    pub(crate) fn of(&self, name: &Arc<str>) -> Metrics {
        let mut inside = self.inside();
        if let Some((_, metrics)) = inside.servers.iter().find(|(there, _)| there == name) {
            return metrics.clone();
        }
        let metrics = Metrics::new();
        metrics.set_counting(inside.counting);
        inside.servers.push((name.clone(), metrics.clone()));
        metrics
    }

    /// Shows only servers of these names.
    pub(crate) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.inside().servers.retain(|(name, _)| is_there(name));
    }

    /// Says whether all of them count, and those to come.
    pub(crate) fn set_counting(&self, counting: bool) {
        let mut inside = self.inside();
        inside.counting = counting;
        inside.servers.iter().for_each(|(_, metrics)| metrics.set_counting(counting));
    }

    /// All figures, in the text format of Prometheus.
    pub fn text(&self) -> String {
        let measured: Vec<_> =
            self.inside().servers.iter().map(|(name, metrics)| (name.clone(), metrics.measured())).collect();
        text::write(&measured)
    }

    /// Nothing panics while this is held.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An HTTP server that shows figures, until it is dropped. Its `Display` is the URL.
#[derive(Debug)]
pub struct Endpoint {
    local: SocketAddr,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Listens on `address`, as "host:port"; port 0 takes a free one. It runs on the runtime that this is called on.
    ///
    /// # Errors
    /// [`Error::Bind`] when the address cannot be listened on.
    pub async fn listen(address: &str, watched: Watched) -> Result<Self, Error> {
        let failed = |source| Error::Bind { address: address.into(), source: Arc::new(source) };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        Ok(Self { local, task: tokio::spawn(run(listener, watched)) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Stops listening; the port is free when this returns.
    pub(crate) async fn close(mut self) {
        self.task.abort();
        // It ends by being cut off, which is no error here.
        let _ = (&mut self.task).await;
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{PATH}", self.local)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Says what is wrong with an address as "host:port", if it cannot be one.
pub fn check_address(address: &str) -> Result<(), String> {
    let good = match address.rsplit_once(':') {
        Some((host, port)) => {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            let is_host = !host.is_empty() && !host.contains(['/', ' ', '@']) && (bracketed || !host.contains(':'));
            is_host && port.parse::<u16>().is_ok()
        }
        None => false,
    };
    good.then_some(()).ok_or_else(|| format!("{address:?} is no address with a port: write it as \"127.0.0.1:9100\""))
}

/// Answers scrapers. No error ends it.
async fn run(listener: TcpListener, watched: Watched) {
    let mut scrapers = JoinSet::new();
    let mut oldest = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = scrapers.join_next() => continue, // gone, and forgotten
        };
        match accepted {
            Ok((io, peer)) => {
                oldest.retain(|scraper: &AbortHandle| !scraper.is_finished());
                if oldest.len() >= AT_ONCE
                    && let Some(scraper) = oldest.pop_front()
                {
                    scraper.abort();
                }
                oldest.push_back(scrapers.spawn(serve(io, peer, watched.clone())));
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

/// Answers a scraper once.
async fn serve(io: TcpStream, peer: SocketAddr, watched: Watched) {
    let answered = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD)
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(io), service_fn(|request| answer(request, &watched)));
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(target: "dinrail::metrics", %peer, %error, "no good request"),
        Err(_) => debug!(target: "dinrail::metrics", %peer, "closed: it took longer than {PATIENCE:?}"),
    }
}

async fn accept_failed(error: &io::Error) {
    warn!(target: "dinrail::metrics", %error, "cannot accept a connection, trying again in {PAUSE:?}");
    tokio::time::sleep(PAUSE).await;
}

async fn answer(request: Request<Incoming>, watched: &Watched) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, content, body) = match (request.uri().path(), request.method()) {
        (PATH, &Method::GET | &Method::HEAD) => (StatusCode::OK, prometheus::TEXT_FORMAT, watched.text()),
        (PATH, _) => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", format!("only GET {PATH}\n")),
        _ => (StatusCode::NOT_FOUND, "text/plain", format!("there is only {PATH}\n")),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content.parse().expect("a constant that is a header"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, "GET, HEAD".parse().expect("a constant that is a header"));
    }
    Ok(response)
}
