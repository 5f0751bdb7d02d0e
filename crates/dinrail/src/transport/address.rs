//! Where a server is on a network, as people write it.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::lookup_host;

use super::fault::fault;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    /// What is wrong with it: then the host is what was written, whole.
    fault: Option<Arc<str>>,
}

impl Address {
    pub(super) fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, fault: None }
    }

    /// As [`read`](Self::read), with the `scheme` of a URL in front or without. What is no address fails when it is
    /// connected to.
    pub(super) fn parse(address: &str, scheme: &str, default_port: u16) -> Self {
        let read = match address.split_once("://") {
            Some((found, rest)) if found == scheme => Self::read(rest, default_port),
            Some(_) => {
                Err("this is the URL of another transport: parse it as a transport::Endpoint, and connect to that \
                            with Client::connect_with"
                    .to_owned())
            }
            None => Self::read(address, default_port),
        };
        read.unwrap_or_else(|fault| Self { host: address.to_owned(), port: default_port, fault: Some(fault.into()) })
    }

    /// `host:port`, or `host` alone for `default_port`. IPv6 addresses with a port stand in brackets.
    ///
    /// # Errors
    /// A sentence that names what is wrong and says what to write.
    pub(super) fn read(address: &str, default_port: u16) -> Result<Self, String> {
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = split(address, default_port)?;
        if is_ipv6(host) {
            return Ok(Self::new(host, port));
        }
        if host.contains(':') || address.starts_with('[') {
            return Err(format!(
                "{host:?} is no IPv6 address; one with a port is written [2001:db8::7]:{default_port}"
            ));
        }
        if host.is_empty() || host.contains(['/', '@', '?', '#', '[', ']']) || host.contains(char::is_whitespace) {
            return Err(format!("{host:?} is no host: write HOST or HOST:PORT, an IPv6 address in brackets"));
        }
        Ok(Self::new(host, port))
    }

    /// The addresses of the host.
    pub(super) async fn resolve(&self) -> io::Result<impl Iterator<Item = SocketAddr> + use<>> {
        if let Some(what) = &self.fault {
            return Err(fault(io::ErrorKind::InvalidInput, what.as_ref()));
        }
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
        Self::new(host, address.port())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fault.is_some() {
            f.write_str(&self.host)
        } else if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The host without brackets, and the port behind the last colon, if there is one.
fn split(address: &str, default_port: u16) -> Result<(&str, u16), String> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("the bracket of the IPv6 address is not closed")?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((host, parse_port(port)?)),
            None if port.is_empty() => Ok((host, default_port)),
            None => Err("only a colon and a port may stand behind the bracket".to_owned()),
        };
    }
    match address.rsplit_once(':') {
        None => Ok((address, default_port)),
        Some(_) if is_ipv6(address) => Ok((address, default_port)),
        // As much of it as looks like one is to be told of as an IPv6 address.
        Some((host, _)) if host.contains(':') => Ok((address, default_port)),
        Some((host, port)) => Ok((host, parse_port(port)?)),
    }
}

/// Whether it is an IPv6 address, with or without the interface of a link-local one.
fn is_ipv6(host: &str) -> bool {
    let (address, interface) = host.split_once('%').unwrap_or((host, "any"));
    !interface.is_empty() && address.parse::<Ipv6Addr>().is_ok()
}

fn parse_port(port: &str) -> Result<u16, String> {
    port.parse().map_err(|_| format!("{port:?} is no port: take a number from 0 to 65535"))
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
            ("fe80::1%eth0", "[fe80::1%eth0]:502"),
            ("[fe80::1%7]:1502", "[fe80::1%7]:1502"),
            ("tcp://plc:1502", "plc:1502"),
        ] {
            let parsed = Address::parse(address, "tcp", 502);
            assert_eq!((parsed.to_string().as_str(), parsed.fault), (name, None));
        }
        let address: SocketAddr = "[::1]:1502".parse().expect("an address");
        assert_eq!(Address::from(address).to_string(), "[::1]:1502");
    }

    #[tokio::test]
    async fn what_is_no_address_says_which_part_is_wrong() {
        for (address, what) in [
            ("plc:abc", "\"abc\" is no port: take a number from 0 to 65535"),
            ("plc:99999", "\"99999\" is no port: take a number from 0 to 65535"),
            ("tcp://plc:99999", "\"99999\" is no port: take a number from 0 to 65535"),
            ("plc:", "\"\" is no port: take a number from 0 to 65535"),
            ("[::1]:x", "\"x\" is no port: take a number from 0 to 65535"),
            ("[::1", "the bracket of the IPv6 address is not closed"),
            (
                "2001:db8:1:502:x",
                "\"2001:db8:1:502:x\" is no IPv6 address; one with a port is written [2001:db8::7]:502",
            ),
            ("[plc]:502", "\"plc\" is no IPv6 address; one with a port is written [2001:db8::7]:502"),
            ("", "\"\" is no host: write HOST or HOST:PORT, an IPv6 address in brackets"),
            ("my plc", "\"my plc\" is no host: write HOST or HOST:PORT, an IPv6 address in brackets"),
            ("udp://plc", "this is the URL of another transport"),
        ] {
            let parsed = Address::parse(address, "tcp", 502);
            assert_eq!(parsed.to_string(), address, "it is shown as it was written");
            let error = parsed.resolve().await.map(drop).expect_err(address);
            assert!(error.to_string().starts_with(what), "{address}: {error}");
        }
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
