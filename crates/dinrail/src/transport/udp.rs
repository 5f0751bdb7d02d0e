//! UDP: each datagram holds whole frames.
//!
//! There is no standard for Modbus over UDP; what devices understand is the frame of Modbus TCP in a datagram, and a
//! reply in a datagram to whoever asked. Nothing is repeated and nothing is confirmed: a request or a reply that is lost is
//! a timeout.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::UdpSocket;

use super::address::Address;
use super::tcp::PORT;
use super::{Burst, Connect, bind_to};
use crate::proto::Framing;

/// A UDP server to ask: `host:port`, or `host` alone for port 502. IPv6 addresses with a port stand in brackets.
///
/// Nothing is sent to connect, so connecting works though nobody listens. A call finds out: where the server's machine
/// answers with an ICMP "port unreachable" the call ends at once with [`Error::Lost`](crate::Error::Lost), otherwise by its
/// timeout. The client then takes a new socket, after the first wait of
/// [`Options::reconnect`](crate::client::Options::reconnect) and never a longer one: so a server that is back is found by
/// the next call, and one that is away is asked ten times a second at most. A write that ended so has an outcome that is
/// unknown, since such a message does not say which datagram it is about.
///
/// With the framing of Modbus TCP, which is the default, every reply is matched by its transaction, so replies that come
/// late, twice, or from an earlier call disturb nobody. RTU and ASCII frames have none: a reply that the network doubles
/// can then be taken for the answer to the next call of the same kind.
#[derive(Clone, Debug)]
pub struct Udp {
    address: Address,
    source: Option<IpAddr>,
    interface: Option<Arc<str>>,
    framing: Framing,
    /// How often a socket was made: each takes the next address of the host.
    turn: Arc<AtomicUsize>,
}

impl Udp {
    /// The server at this address.
    pub fn new(address: impl Into<Self>) -> Self {
        address.into()
    }

    /// Sends from this address of the machine.
    #[must_use]
    pub fn from_source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Sends over the network interface of this name, such as `eth1`, whatever the routes say, and hears nobody on others. On
    /// Linux and Android; elsewhere connecting fails and says so. Linux before 5.7 wants CAP_NET_RAW for it.
    #[must_use]
    pub fn via_interface(mut self, interface: impl Into<Arc<str>>) -> Self {
        self.interface = Some(interface.into());
        self
    }

    /// Speaks another framing: RTU or ASCII frames in datagrams.
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.source
    }

    pub(crate) fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<UdpStream> {
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(self.source.unwrap_or(any), 0)).await?;
        if let Some(interface) = &self.interface {
            bind_to(&SockRef::from(&socket), interface)?;
        }
        // From now on the system drops what others send.
        socket.connect(address).await?;
        Ok(UdpStream::new(socket))
    }
}

impl Connect for Udp {
    type Stream = UdpStream;

    async fn connect(&self) -> io::Result<UdpStream> {
        let mut addresses: Vec<_> = self.address.resolve().await?.collect();
        addresses.retain(|address| self.source.is_none_or(|source| source.is_ipv4() == address.is_ipv4()));
        // Nobody refuses a UDP connection, so which of a host's addresses is served shows only when one is asked. When it
        // was the wrong one (localhost is often both ::1 and 127.0.0.1), the next socket is for the next address.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
        addresses.rotate_left(turn);
        let mut failure = None;
        for address in addresses {
            match self.connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address of that kind")))
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn burst(&self) -> Burst {
        Burst::EachRead
    }
}

impl fmt::Display for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl From<Address> for Udp {
    fn from(address: Address) -> Self {
        Self { address, source: None, interface: None, framing: Framing::Tcp, turn: Arc::default() }
    }
}

impl From<&str> for Udp {
    fn from(address: &str) -> Self {
        Address::parse(address, "udp", PORT).into()
    }
}

impl From<String> for Udp {
    fn from(address: String) -> Self {
        address.as_str().into()
    }
}

impl From<SocketAddr> for Udp {
    fn from(address: SocketAddr) -> Self {
        Address::from(address).into()
    }
}

impl<H: Into<String>> From<(H, u16)> for Udp {
    fn from((host, port): (H, u16)) -> Self {
        Address::new(host, port).into()
    }
}

/// The addresses that a server listens on.
pub(crate) async fn resolve(address: &str) -> io::Result<impl Iterator<Item = SocketAddr> + use<>> {
    Address::parse(address, "udp", PORT).resolve().await
}

/// A connected UDP socket as a stream: a read is a datagram, and so is a write.
///
/// A datagram that is longer than the place for it fills that place, and the rest is lost.
pub struct UdpStream {
    socket: Arc<UdpSocket>,
    /// Ready when the socket has an error to tell. The runtime wakes nobody who only waits for datagrams.
    error: Pin<Box<dyn Future<Output = io::Result<Ready>> + Send + Sync>>,
}

impl UdpStream {
    /// A stream over a socket of your own, which must be connected.
    pub fn new(socket: UdpSocket) -> Self {
        let socket = Arc::new(socket);
        Self { error: Self::until_error(&socket), socket }
    }

    fn until_error(socket: &Arc<UdpSocket>) -> Pin<Box<dyn Future<Output = io::Result<Ready>> + Send + Sync>> {
        let socket = socket.clone();
        Box::pin(async move { socket.ready(Interest::ERROR).await })
    }

    /// An error of the socket that no call of it has brought yet.
    fn poll_error(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let ready = ready!(self.error.as_mut().poll(cx));
            self.error = Self::until_error(&self.socket);
            match ready.and_then(|_| self.socket.take_error()) {
                Ok(Some(error)) | Err(error) => return Poll::Ready(error),
                // It was brought already: wait for the next one.
                Ok(None) => {
                    let _ = self.socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                }
            }
        }
    }
}

impl fmt::Debug for UdpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncRead for UdpStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            let Poll::Ready(received) = self.socket.poll_recv(cx, buffer) else {
                return self.poll_error(cx).map(|error| Err(told(error)));
            };
            match received {
                // An empty datagram is not the end of anything.
                Ok(()) if buffer.filled().len() == before => {}
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if is_too_long(&error) => {
                    buffer.initialize_unfilled();
                    buffer.advance(buffer.remaining());
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(told(error))),
            }
        }
    }
}

impl AsyncWrite for UdpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(self.socket.poll_send(cx, bytes)) {
            // That was about a datagram before this one, which was not sent yet.
            Err(error) if is_about_an_earlier_one(&error) => self.socket.poll_send(cx, bytes).map_err(told),
            sent => Poll::Ready(sent.map_err(told)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Whether an error of a socket is what ICMP has said about a datagram that was sent before.
pub(crate) fn is_about_an_earlier_one(error: &io::Error) -> bool {
    // Windows says "reset" (WSAECONNRESET).
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// Whether an error says that a datagram was longer than the place for it. Only Windows says so (WSAEMSGSIZE); elsewhere
/// the datagram is cut.
pub(crate) fn is_too_long(error: &io::Error) -> bool {
    cfg!(windows) && error.raw_os_error() == Some(10_040)
}

/// What the system says, in other words where those are no help.
fn told(error: io::Error) -> io::Error {
    if is_about_an_earlier_one(&error) {
        return io::Error::new(
            io::ErrorKind::ConnectionRefused,
            "nobody listens on that UDP port; is the device on, and are host and port right?",
        );
    }
    error
}
