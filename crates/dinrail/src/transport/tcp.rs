//! TCP connections.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::address::Address;
use super::{Burst, Connect, bind_to, nobody_answered};
use crate::proto::Framing;

/// The port that IANA has given to Modbus, on TCP and on UDP.
pub(super) const PORT: u16 = 502;

/// After how long without traffic the system asks whether a peer still lives, unless set.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A TCP server to connect to: `host:port`, or `host` alone for port 502. IPv6 addresses with a port stand in brackets.
///
/// Of several addresses of a host the first that takes the connection is taken; each is given its share of the client's
/// connect timeout, so one that swallows everything does not keep the next from being tried.
#[derive(Clone, Debug)]
pub struct Tcp {
    address: Address,
    source: Option<IpAddr>,
    interface: Option<Arc<str>>,
    keep_alive: Option<Duration>,
    framing: Framing,
}

impl Tcp {
    /// The server at this address.
    pub fn new(address: impl Into<Self>) -> Self {
        address.into()
    }

    /// The host, without brackets.
    #[cfg(feature = "tls")]
    pub(super) fn host(&self) -> &str {
        &self.address.host
    }

    /// Connects from this address of the machine.
    #[must_use]
    pub fn from_source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Connects over the network interface of this name, such as `eth1`, whatever the routes say. On Linux and Android;
    /// elsewhere connecting fails and says so. Linux before 5.7 wants CAP_NET_RAW for it.
    #[must_use]
    pub fn via_interface(mut self, interface: impl Into<Arc<str>>) -> Self {
        self.interface = Some(interface.into());
        self
    }

    /// Has the system ask, after so long without traffic, whether the peer still lives, and end the connection if it does
    /// not; on Linux nine times, 75 s apart. It also keeps firewalls from forgetting a connection that is used seldom.
    /// 60 s unless set, as for servers; `None` never asks. A client that calls finds a dead peer sooner:
    /// [`Options::give_up_after`](crate::client::Options::give_up_after).
    #[must_use]
    pub fn with_keep_alive(mut self, keep_alive: impl Into<Option<Duration>>) -> Self {
        self.keep_alive = keep_alive.into();
        self
    }

    /// Speaks another framing over the stream: RTU or ASCII frames, as serial device servers expect them.
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// The network interface that it [goes over](Self::via_interface).
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// `None` when it is the default.
    pub(crate) fn own_keep_alive(&self) -> Option<Option<Duration>> {
        (self.keep_alive != Some(KEEP_ALIVE)).then_some(self.keep_alive)
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let found = self.address.resolve().await?;
        Ok(found.filter(|address| self.source.is_none_or(|source| source.is_ipv4() == address.is_ipv4())).collect())
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(interface) = &self.interface {
            bind_to(&SockRef::from(&socket), interface)?;
        }
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(address).await?;
        // Nagle's algorithm and delayed acknowledgements together cost 40 ms an exchange.
        stream.set_nodelay(true)?;
        if let Some(time) = self.keep_alive {
            SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(time))?;
        }
        Ok(stream)
    }
}

/// The first of these addresses that can be connected to; each has its share of the time until then. The last failure says
/// why there is none.
async fn first_of<F: Future<Output = io::Result<T>>, T>(
    addresses: Vec<SocketAddr>,
    until: Option<Instant>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut failure = None;
    for (tried, address) in addresses.iter().enumerate() {
        let connecting = connect(*address);
        let result = match until {
            None => connecting.await,
            Some(until) => {
                let now = Instant::now();
                let share = until.saturating_duration_since(now) / (addresses.len() - tried) as u32; // at least 1
                timeout_at(now + share, connecting).await.unwrap_or_else(|_| Err(nobody_answered(share)))
            }
        };
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address of that kind")))
}

impl Connect for Tcp {
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        first_of(self.addresses().await?, None, |address| self.connect_to(address)).await
    }

    async fn connect_within(&self, limit: Duration) -> io::Result<TcpStream> {
        // A limit that never comes is none.
        let Some(until) = Instant::now().checked_add(limit) else { return self.connect().await };
        let addresses = timeout_at(until, self.addresses()).await.unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no name server has told its address within {limit:?}"),
            ))
        })?;
        first_of(addresses, Some(until), |address| self.connect_to(address)).await
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn burst(&self) -> Burst {
        Burst::Never
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl From<Address> for Tcp {
    fn from(address: Address) -> Self {
        Self { address, source: None, interface: None, keep_alive: Some(KEEP_ALIVE), framing: Framing::Tcp }
    }
}

impl From<&str> for Tcp {
    fn from(address: &str) -> Self {
        Address::parse(address, "tcp", PORT).into()
    }
}

impl From<String> for Tcp {
    fn from(address: String) -> Self {
        address.as_str().into()
    }
}

impl From<SocketAddr> for Tcp {
    fn from(address: SocketAddr) -> Self {
        Address::from(address).into()
    }
}

impl<H: Into<String>> From<(H, u16)> for Tcp {
    fn from((host, port): (H, u16)) -> Self {
        Address::new(host, port).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_modbus_unless_it_is_given() {
        assert_eq!(Tcp::from("plc").to_string(), "plc:502");
        assert_eq!(Tcp::from(("plc", 1502)).to_string(), "plc:1502");
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_share_of_the_time() {
        let addresses: Vec<SocketAddr> = (1..=3).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect();
        let began = Instant::now();
        let answering = |answers: u16| {
            move |address: SocketAddr| async move {
                if address.port() == answers { Ok(answers) } else { std::future::pending().await }
            }
        };
        let until = Some(began + Duration::from_secs(3));
        assert_eq!(first_of(addresses.clone(), until, answering(3)).await.expect("the third"), 3);
        assert_eq!(began.elapsed().as_secs(), 2, "two black holes have had a second each");
        let until = Some(Instant::now() + Duration::from_secs(3));
        let error = first_of(addresses, until, answering(9)).await.expect_err("three black holes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 5, "and no more than the time there is");
    }

    #[tokio::test]
    async fn a_black_hole_is_passed_over() {
        // A listener that takes nobody in: when its queue is full the system drops what else comes.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        socket.listen(1).expect("a listener");
        let hole = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let mut queued = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&hole, Duration::from_millis(100)) {
            queued.push(stream);
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let open = listener.local_addr().expect("an address");
        let tcp = Tcp::new(open);
        let until = Some(Instant::now() + Duration::from_millis(400));
        let stream = first_of(vec![hole, open], until, |address| tcp.connect_to(address)).await.expect("the second");
        assert_eq!(stream.peer_addr().expect("an address"), open);
    }

    #[tokio::test]
    async fn keep_alive_is_on_unless_it_is_not_wanted() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let tcp = Tcp::new(listener.local_addr().expect("an address"));
        let on = tcp.connect().await.expect("a connection");
        assert!(SockRef::from(&on).keepalive().expect("an option"));
        #[cfg(target_os = "linux")]
        assert_eq!(SockRef::from(&on).tcp_keepalive_time().expect("an option"), KEEP_ALIVE);
        let off = tcp.with_keep_alive(None).connect().await.expect("a connection");
        assert!(!SockRef::from(&off).keepalive().expect("an option"));
    }
}
