//! Servers between which and their clients something stands, on any medium: a line that is bad on purpose, or a closure
//! that changes what passes; to see what a client makes of it.
//!
//! It is no place for speed. Everything is a task of the runtime, and on UDP each peer is a line of its own.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::accept::{self, Listening, Tasks};
use super::line::Wire;
use super::medium::{Medium, Start};
use super::options::Options;
use super::shared::Shared;
#[cfg(feature = "tls")]
use super::tls::Handshakes;
use super::udp;
use crate::Error;
use crate::service::{Peer, Service};
use crate::transport::{
    Burst, Endpoint, Faulty, FaultyStream, Listener, Rewrite, Rewritten, Stream, Tap, Tcp, TcpListener, Trace, Udp,
};

/// How long a peer of UDP is remembered that asks nothing, unless an idle timeout is set.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How many datagrams of a peer wait to be read; more are dropped.
const WAITING: usize = 64;
/// The longest datagram that is taken.
const DATAGRAM: usize = 16 * 1024;

/// What is put around the connections of a server. `()` is nothing.
pub(super) trait Around: Clone + Send + Sync + 'static {
    /// Whether over TLS it is about the bytes of the network, and not about frames.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "there is no TLS"))]
    const BELOW_TLS: bool;
    type Listener<L: Listener>: Listener;
    type Stream<S: Stream>: Stream;

    fn listener<L: Listener>(&self, inner: L) -> Self::Listener<L>;
    #[cfg_attr(not(any(feature = "serial", feature = "tls")), allow(dead_code, reason = "TCP and UDP have listeners"))]
    fn stream<S: Stream>(&self, inner: S) -> Self::Stream<S>;
}

impl Around for () {
    const BELOW_TLS: bool = true;
    type Listener<L: Listener> = L;
    type Stream<S: Stream> = S;

    fn listener<L: Listener>(&self, inner: L) -> L {
        inner
    }

    fn stream<S: Stream>(&self, inner: S) -> S {
        inner
    }
}

impl Around for Faulty<()> {
    const BELOW_TLS: bool = true;
    type Listener<L: Listener> = Faulty<L>;
    type Stream<S: Stream> = FaultyStream<S>;

    fn listener<L: Listener>(&self, inner: L) -> Faulty<L> {
        self.around(inner)
    }

    fn stream<S: Stream>(&self, inner: S) -> FaultyStream<S> {
        self.spoil(inner)
    }
}

impl Around for Rewrite<()> {
    const BELOW_TLS: bool = false;
    type Listener<L: Listener> = Rewrite<L>;
    type Stream<S: Stream> = Rewritten<S>;

    fn listener<L: Listener>(&self, inner: L) -> Rewrite<L> {
        self.around(inner)
    }

    fn stream<S: Stream>(&self, inner: S) -> Rewritten<S> {
        self.wrap(inner)
    }
}

/// A server whose connections are bad lines; what really passes is told as [`Trace`] tells it. It serves as tasks of the
/// runtime that starts it, whatever [`Options::threads`] says; a serial port aside, which may have its thread.
///
/// Over TLS the faults are below it, as on a real line: what is lost or changed ends a connection. Over UDP a fault
/// concerns a datagram, and a peer counts as a connection.
impl Medium for Faulty<Endpoint> {}

/// A server with a closure between it and its clients, which sees, changes or drops the bytes of requests and replies. It
/// serves as that of a [`Faulty`] does; what really passes is told likewise, but over TLS.
///
/// Over TLS the closure is given what is within it. Over UDP it is given a datagram, and a peer counts as a connection.
impl Medium for Rewrite<Endpoint> {}

macro_rules! start_around {
    ($around:ident) => {
        impl Start for $around<Endpoint> {
            type Local = Endpoint;

            fn prepare(&self, options: &mut Options) {
                prepare(self.inner(), options);
            }

            #[allow(private_interfaces)]
            async fn start<S: Service>(&self, service: &Arc<S>, shared: &Arc<Shared>) -> Result<Endpoint, Error> {
                start(self.inner(), self.around(()), service, shared).await
            }
        }
    };
}

start_around!(Faulty);
start_around!(Rewrite);

fn prepare(endpoint: &Endpoint, options: &mut Options) {
    endpoint.prepare(options);
    match endpoint {
        #[cfg(feature = "serial")]
        Endpoint::Serial(_) => return,
        Endpoint::Udp(_) => options.idle_timeout = options.idle_timeout.or(Some(FORGOTTEN)),
        _ => {}
    }
    options.threads = None;
}

async fn start<S: Service>(
    endpoint: &Endpoint,
    around: impl Around,
    service: &Arc<S>,
    shared: &Arc<Shared>,
) -> Result<Endpoint, Error> {
    super::medium::refuse_source(endpoint)?;
    let framing = endpoint.framing();
    let trace = || Trace::new().with_hex();
    let listening = Listening::new(shared);
    match endpoint {
        Endpoint::Tcp(tcp) => {
            let listener = TcpListener::bind(&tcp.to_string(), &shared.options).await?;
            let local = Tcp::from(listener.local_addr()?).with_framing(framing);
            let listener = around.listener(Tap::new(listener, trace()).with_framing(framing));
            let tasks = Tasks { service: service.clone(), wire: Wire::new(&shared.options, Burst::Never) };
            tokio::spawn(accept::run(listener, tasks, listening));
            Ok(Endpoint::Tcp(local))
        }
        Endpoint::Udp(udp) => {
            let socket = udp::listen(&udp.to_string(), &shared.options).await?;
            let local = Udp::from(socket.local_addr()?).with_framing(framing);
            let listener = around.listener(Tap::new(Datagrams::new(socket)?, trace()).with_framing(framing));
            let tasks = Tasks { service: service.clone(), wire: Wire::new(&shared.options, Burst::EachRead) };
            tokio::spawn(accept::run(listener, tasks, listening));
            Ok(Endpoint::Udp(local))
        }
        #[cfg(feature = "tls")]
        Endpoint::Tls(tls, config) => {
            let config = super::medium::shown(config)?;
            let listener = TcpListener::bind(&tls.to_string(), &shared.options).await?;
            let local = Tcp::from(listener.local_addr()?).with_framing(framing);
            let wire = Wire::new(&shared.options, super::medium::tls_burst(framing));
            start_tls(listener, around, Handshakes::new(service, &config, wire), listening);
            Ok(Endpoint::Tls(crate::transport::Tls::over(local), Some(config)))
        }
        #[cfg(feature = "serial")]
        Endpoint::Serial(port) => {
            super::serial::start(port, Some(around), service, shared)?;
            Ok(endpoint.clone())
        }
    }
}

#[cfg(feature = "tls")]
fn start_tls<A: Around, S: Service>(listener: TcpListener, around: A, how: Handshakes<S>, listening: Listening) {
    if A::BELOW_TLS {
        tokio::spawn(accept::run(around.listener(listener), how, listening));
    } else {
        tokio::spawn(accept::run(listener, how.with_inside(around), listening));
    }
}

/// The peers of a UDP socket, each as if it had connected.
struct Datagrams {
    socket: Arc<UdpSocket>,
    peers: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>,
    input: Vec<u8>,
}

impl Datagrams {
    fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self { socket: Arc::new(UdpSocket::from_std(socket)?), peers: HashMap::new(), input: vec![0; DATAGRAM] })
    }
}

impl Listener for Datagrams {
    type Stream = DatagramStream;

    async fn accept(&mut self) -> io::Result<(DatagramStream, Peer)> {
        loop {
            let (length, peer) = self.socket.recv_from(&mut self.input).await?;
            let datagram = self.input[..length].to_vec();
            let datagram = match self.peers.get(&peer).map(|known| known.try_send(datagram)) {
                Some(Ok(()) | Err(TrySendError::Full(_))) => continue,
                Some(Err(TrySendError::Closed(datagram))) => datagram,
                None => self.input[..length].to_vec(),
            };
            // Those that were forgotten, or not let in.
            self.peers.retain(|_, known| !known.is_closed());
            let (sender, datagrams) = mpsc::channel(WAITING);
            let _ = sender.try_send(datagram); // there is room
            self.peers.insert(peer, sender);
            return Ok((DatagramStream { socket: self.socket.clone(), peer, datagrams }, Peer::at(peer)));
        }
    }

    fn burst(&self) -> Burst {
        Burst::EachRead
    }
}

/// What one peer sends, and what is sent to it: a datagram each.
struct DatagramStream {
    socket: Arc<UdpSocket>,
    peer: SocketAddr,
    datagrams: mpsc::Receiver<Vec<u8>>,
}

impl AsyncRead for DatagramStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // One that is longer than the buffer is cut, as a socket cuts it.
        if let Some(datagram) = ready!(self.datagrams.poll_recv(cx)) {
            buffer.put_slice(&datagram[..datagram.len().min(buffer.remaining())]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for DatagramStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_send_to(cx, bytes, self.peer)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for DatagramStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}
