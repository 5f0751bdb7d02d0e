//! Where connections come from.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

use super::address::Address;
use super::tcp::PORT;
use super::{Burst, Stream, bind_to};
use crate::Error;
use crate::server::Options;
use crate::service::Peer;

/// Gives a server its connections. To serve over a transport of your own, implement this and use
/// [`serve_listener`](crate::server::serve_listener).
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: Stream;

    /// Waits for the next connection. An error never ends the listener: it is asked again, after a while.
    ///
    /// Dropping the future must lose no connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;

    /// How one tells that no more bytes of a frame will come.
    fn burst(&self) -> Burst {
        Burst::Never
    }
}

/// TCP, with TCP_NODELAY on every connection.
#[derive(Debug)]
pub struct TcpListener {
    inner: tokio::net::TcpListener,
    keep_alive: Option<TcpKeepalive>,
}

impl TcpListener {
    /// Listens on `address`, "host:port", or "host" alone for port 502; of several addresses of a host it takes the first that can be had.
    ///
    /// # Errors
    /// [`Error::Bind`], which names the address.
    pub async fn bind(address: &str, options: &Options) -> Result<Self, Error> {
        let failed = |source| Error::Bind { address: address.into(), source: std::sync::Arc::new(source) };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for candidate in Address::parse(address, "tcp", PORT).resolve().await.map_err(failed)? {
            match Self::bind_std(candidate, options).and_then(|socket| Self::from_std(socket, options)) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// A listening socket that no runtime knows yet. It has the address for itself, unless several servers are to share it.
    pub(crate) fn bind_std(address: SocketAddr, options: &Options) -> io::Result<std::net::TcpListener> {
        let socket = Self::listening(address, options, options.reuse_port)?;
        // Others of the same server come beside it only now: with the option from the beginning, so would another server's.
        #[cfg(unix)]
        if options.has_threads() {
            socket.set_reuse_port(true)?;
        }
        Ok(socket.into())
    }

    /// Another one on the address of one that [`bind_std`](Self::bind_std) made for the same server.
    pub(crate) fn bind_another(address: SocketAddr, options: &Options) -> io::Result<std::net::TcpListener> {
        Self::listening(address, options, true).map(Into::into)
    }

    fn listening(address: SocketAddr, options: &Options, shares: bool) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // On Windows SO_REUSEADDR lets two programs share a port; there it is never wanted.
        #[cfg(not(windows))]
        socket.set_reuse_address(options.reuse_address)?;
        #[cfg(unix)]
        socket.set_reuse_port(shares)?;
        #[cfg(not(unix))]
        let _ = shares;
        if let Some(interface) = &options.interface {
            bind_to(&SockRef::from(&socket), interface)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(options.backlog)?;
        Ok(socket)
    }

    /// Hands a listening socket to the runtime that this runs on.
    pub(crate) fn from_std(socket: std::net::TcpListener, options: &Options) -> io::Result<Self> {
        Ok(Self { inner: tokio::net::TcpListener::from_std(socket)?, keep_alive: Self::keep_alive(options) })
    }

    /// What its connections are set up with.
    pub(crate) fn keep_alive(options: &Options) -> Option<TcpKeepalive> {
        options.keep_alive.map(|time| TcpKeepalive::new().with_time(time))
    }

    /// Sets up a connection that has been accepted.
    pub(crate) fn set_up(socket: &SockRef<'_>, keep_alive: Option<&TcpKeepalive>) {
        // One that cannot be set up has ended already; its reads will tell.
        let _ = socket.set_tcp_nodelay(true);
        if let Some(keep_alive) = keep_alive {
            let _ = socket.set_tcp_keepalive(keep_alive);
        }
    }

    /// Takes the socket away from the runtime.
    pub(crate) fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.inner.into_std()
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = self.inner.accept().await?;
        Self::set_up(&SockRef::from(&stream), self.keep_alive.as_ref());
        Ok((stream, Peer::at(address)))
    }
}

/// Who may share a port, and how many connections a backlog is, differs from system to system: this is what Linux does.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    /// Any free port.
    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn s001_20_21_what_listens_has_the_options_that_were_asked_for() {
        // What the system says of the first socket: SO_REUSEADDR and SO_REUSEPORT.
        let table = [
            (Options::default(), (true, false)),
            (Options::default().with_reuse_address(false), (false, false)),
            (Options::default().with_reuse_port(true), (true, true)),
            (Options::default().with_reuse_address(false).with_reuse_port(true), (false, true)),
            (Options::default().with_threads(1), (true, false)),
            (Options::default().with_threads(2), (true, true)),
            (Options::default().with_threads(2).with_reuse_address(false), (false, true)),
        ];
        let says = |socket: &std::net::TcpListener| {
            let socket = SockRef::from(socket);
            (socket.reuse_address().expect("an option"), socket.reuse_port().expect("an option"))
        };
        for (options, expected) in table {
            let first = TcpListener::bind_std(ANY, &options).expect("a free port");
            assert_eq!(says(&first), expected, "{options:?}");
            let local = first.local_addr().expect("it is bound");
            match TcpListener::bind_another(local, &options) {
                Ok(another) => {
                    assert_eq!(says(&another), (expected.0, true), "{options:?}");
                    assert!(expected.1, "its port is shared: {options:?}");
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
                    assert!(!expected.1, "its port is its own: {options:?}");
                }
            }
        }
    }

    /// One connection more is kept than is asked for.
    #[test]
    fn s001_20_a_full_backlog_keeps_others_waiting_until_one_is_accepted() {
        const LONG: Duration = Duration::from_secs(60);
        let listening = |backlog| {
            let socket = TcpListener::bind_std(ANY, &Options::default().with_backlog(backlog)).expect("a free port");
            let address = socket.local_addr().expect("it is bound");
            (socket, move |limit| TcpStream::connect_timeout(&address, limit))
        };
        let (socket, connect) = listening(1);
        let _kept = [(); 2].map(|()| connect(LONG).expect("there is room"));
        let late = connect(Duration::from_millis(300)).expect_err("there is no room");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let _accepted = socket.accept().expect("one is there");
        connect(LONG).expect("there is room again");

        let (_socket, connect) = listening(16);
        let _kept = [(); 12].map(|()| connect(LONG).expect("there is more room"));
    }
}
