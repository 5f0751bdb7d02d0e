//! Where a server is on a network, as people write it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::lookup_host;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// `host:port`, or `host` alone for `default_port`. IPv6 addresses with a port stand in brackets. What has no valid
    /// port is taken as a host whole, and fails as one when it is connected to: the error names it.
    pub(super) fn parse(address: &str, default_port: u16) -> Self {
        let (host, port) = split(address, default_port);
        Self { host: host.to_owned(), port }
    }

    /// The addresses of the host.
    pub(super) async fn resolve(&self) -> io::Result<impl Iterator<Item = SocketAddr> + use<>> {
        Ok(lookup_host((self.host.as_str(), self.port)).await?.collect::<Vec<_>>().into_iter())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            // A link-local address is one only together with its interface.
            SocketAddr::V6(address) if address.scope_id() != 0 => format!("{}%{}", address.ip(), address.scope_id()),
            address => address.ip().to_string(),
        };
        Self { host, port: address.port() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn split(address: &str, default_port: u16) -> (&str, u16) {
    if let Some(bracketed) = address.strip_prefix('[') {
        return match bracketed.split_once(']') {
            Some((host, "")) => (host, default_port),
            Some((host, rest)) => match rest.strip_prefix(':').and_then(|port| port.parse().ok()) {
                Some(port) => (host, port),
                None => (address, default_port),
            },
            None => (address, default_port),
        };
    }
    match address.split_once(':') {
        Some((host, port)) => port.parse().map_or((address, default_port), |port| (host, port)),
        None => (address, default_port),
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
            assert_eq!(Address::parse(address, 502).to_string(), name);
        }
        let address: SocketAddr = "[::1]:1502".parse().expect("an address");
        assert_eq!(Address::from(address).to_string(), "[::1]:1502");
    }

    #[tokio::test]
    async fn a_link_local_address_keeps_its_interface() {
        let link_local =
            SocketAddr::V6(std::net::SocketAddrV6::new("fe80::1".parse().expect("an address"), 1502, 0, 7));
        let address = Address::from(link_local);
        assert_eq!(address.to_string(), "[fe80::1%7]:1502");
        let found: Vec<_> = address.resolve().await.expect("an address").collect();
        assert_eq!(found, [link_local]);
    }
}
