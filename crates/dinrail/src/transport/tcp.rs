//! TCP connections.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::{Burst, Connect};
use crate::proto::Framing;

/// The port that IANA has given to Modbus TCP.
const PORT: u16 = 502;

/// A TCP server to connect to: `host:port`, or `host` alone for port 502. IPv6 addresses with a port stand in brackets.
#[derive(Clone, Debug)]
pub struct Tcp {
    host: String,
    port: u16,
    source: Option<IpAddr>,
    framing: Framing,
}

impl Tcp {
    /// The server at this address.
    pub fn new(address: impl Into<Self>) -> Self {
        address.into()
    }

    /// Connects from this address of the machine.
    #[must_use]
    pub fn from_source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Speaks another framing over the stream: RTU or ASCII frames, as serial device servers expect them.
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = match self.source {
            None => TcpStream::connect(address).await?,
            Some(source) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.bind(SocketAddr::new(source, 0))?;
                socket.connect(address).await?
            }
        };
        // Nagle's algorithm and delayed acknowledgements together cost 40 ms an exchange.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Connect for Tcp {
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut failure = None;
        for address in lookup_host((self.host.as_str(), self.port)).await? {
            if self.source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
                continue;
            }
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
        Burst::Never
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<&str> for Tcp {
    fn from(address: &str) -> Self {
        let (host, port) = split(address);
        Self { host: host.to_owned(), port, source: None, framing: Framing::Tcp }
    }
}

impl From<String> for Tcp {
    fn from(address: String) -> Self {
        address.as_str().into()
    }
}

impl From<SocketAddr> for Tcp {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            // A link-local address is one only together with its interface.
            SocketAddr::V6(address) if address.scope_id() != 0 => format!("{}%{}", address.ip(), address.scope_id()),
            address => address.ip().to_string(),
        };
        (host, address.port()).into()
    }
}

impl<H: Into<String>> From<(H, u16)> for Tcp {
    fn from((host, port): (H, u16)) -> Self {
        Self { host: host.into(), port, source: None, framing: Framing::Tcp }
    }
}

/// What has no valid port is taken as a host whole, and fails as one when it is connected to: the error names it.
fn split(address: &str) -> (&str, u16) {
    if let Some(bracketed) = address.strip_prefix('[') {
        return match bracketed.split_once(']') {
            Some((host, "")) => (host, PORT),
            Some((host, rest)) => match rest.strip_prefix(':').and_then(|port| port.parse().ok()) {
                Some(port) => (host, port),
                None => (address, PORT),
            },
            None => (address, PORT),
        };
    }
    match address.split_once(':') {
        Some((host, port)) => port.parse().map_or((address, PORT), |port| (host, port)),
        None => (address, PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (address, name) in [
            ("plc", "plc:502"),
            ("10.0.0.1:1502", "10.0.0.1:1502"),
            ("::1", "[::1]:502"),
            ("[::1]:1502", "[::1]:1502"),
            ("[fe80::1]", "[fe80::1]:502"),
        ] {
            assert_eq!(Tcp::from(address).to_string(), name);
        }
        let address: SocketAddr = "[::1]:1502".parse().expect("an address");
        assert_eq!(Tcp::from(address).to_string(), "[::1]:1502");
        assert_eq!(Tcp::from(("plc", 1502)).to_string(), "plc:1502");
    }

    #[tokio::test]
    async fn a_link_local_address_keeps_its_interface() {
        let link_local =
            SocketAddr::V6(std::net::SocketAddrV6::new("fe80::1".parse().expect("an address"), 1502, 0, 7));
        let tcp = Tcp::from(link_local);
        assert_eq!(tcp.to_string(), "[fe80::1%7]:1502");
        let found: Vec<_> = lookup_host((tcp.host.as_str(), tcp.port)).await.expect("an address").collect();
        assert_eq!(found, [link_local]);
    }
}
