//! TCP connections.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

use super::address::Address;
use super::{Burst, Connect};
use crate::proto::Framing;

/// The port that IANA has given to Modbus, on TCP and on UDP.
pub(super) const PORT: u16 = 502;

/// A TCP server to connect to: `host:port`, or `host` alone for port 502. IPv6 addresses with a port stand in brackets.
#[derive(Clone, Debug)]
pub struct Tcp {
    address: Address,
    source: Option<IpAddr>,
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
        for address in self.address.resolve().await? {
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
        self.address.fmt(f)
    }
}

impl From<Address> for Tcp {
    fn from(address: Address) -> Self {
        Self { address, source: None, framing: Framing::Tcp }
    }
}

impl From<&str> for Tcp {
    fn from(address: &str) -> Self {
        Address::parse(address, PORT).into()
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
        Address { host: host.into(), port }.into()
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
}
