//! Servers whose line is bad on purpose, on any medium: to see what a client makes of it.
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
use crate::transport::{Burst, Endpoint, Faulty, Listener, Tap, Tcp, TcpListener, Trace, Udp};

/// How long a peer of UDP is remembered that asks nothing, unless an idle timeout is set.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How many datagrams of a peer wait to be read; more are dropped.
const WAITING: usize = 64;
/// The longest datagram that is taken.
const DATAGRAM: usize = 16 * 1024;

/// A server whose connections are bad lines; what really passes is told as [`Trace`] tells it. It serves as tasks of the
/// runtime that starts it, whatever [`Options::threads`] says; a serial port aside, which may have its thread.
///
/// Over TLS the faults are below it, as on a real line: what is lost or changed ends a connection. Over UDP a fault
/// concerns a datagram, and a peer counts as a connection.
impl Medium for Faulty<Endpoint> {}

impl Start for Faulty<Endpoint> {
    type Local = Endpoint;

    fn prepare(&self, options: &mut Options) {
        self.inner().prepare(options);
        match self.inner() {
            #[cfg(feature = "serial")]
            Endpoint::Serial(_) => return,
            Endpoint::Udp(_) => options.idle_timeout = options.idle_timeout.or(Some(FORGOTTEN)),
            _ => {}
        }
        options.threads = None;
    }

    #[allow(private_interfaces)]
    async fn start<S: Service>(&self, service: &Arc<S>, shared: &Arc<Shared>) -> Result<Endpoint, Error> {
        super::medium::refuse_source(self.inner())?;
        let framing = self.inner().framing();
        let trace = || Trace::new().with_hex();
        let listening = Listening::new(shared);
        match self.inner() {
            Endpoint::Tcp(tcp) => {
                let listener = TcpListener::bind(&tcp.to_string(), &shared.options).await?;
                let local = Tcp::from(listener.local_addr()?).with_framing(framing);
                let listener = self.around(Tap::new(listener, trace()).with_framing(framing));
                let tasks = Tasks { service: service.clone(), wire: Wire::new(&shared.options, Burst::Never) };
                tokio::spawn(accept::run(listener, tasks, listening));
                Ok(Endpoint::Tcp(local))
            }
            Endpoint::Udp(udp) => {
                let socket = udp::listen(&udp.to_string(), &shared.options).await?;
                let local = Udp::from(socket.local_addr()?).with_framing(framing);
                let listener = self.around(Tap::new(Datagrams::new(socket)?, trace()).with_framing(framing));
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
                let handshakes = Handshakes { service: service.clone(), tls: config.clone(), wire };
                tokio::spawn(accept::run(self.around(listener), handshakes, listening));
                Ok(Endpoint::Tls(crate::transport::Tls::over(local), Some(config)))
            }
            #[cfg(feature = "serial")]
            Endpoint::Serial(port) => {
                super::serial::start(port, Some(self.around(())), service, shared)?;
                Ok(self.inner().clone())
            }
        }
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
