//! Where a console may listen: on this machine, unless somebody has said that others may come.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An address for a [`Console`](super::Console), of this machine only unless it was [made public](Self::public).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    address: SocketAddr,
}

/// Why a text is no address for a console. Its `Display` says that without how others are allowed, which is another
/// setting wherever this comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadListen {
    /// It is no IP address with a port.
    NoAddress(String),
    /// Other machines can reach it.
    Public(SocketAddr),
}

impl fmt::Display for BadListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress(text) => {
                write!(f, "{text:?} is no place for a console: write an IP address and a port, such as 127.0.0.1:7020")
            }
            Self::Public(address) => {
                let port = address.port();
                write!(
                    f,
                    "other machines can reach {address}, and the console has no passwords: whoever connects can read \
                     and set every value; take 127.0.0.1:{port}"
                )
            }
        }
    }
}

impl std::error::Error for BadListen {}

impl Listen {
    /// `127.0.0.1:7020`, `[::1]:7020` or `localhost:7020`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the text is no address, or one that other machines can reach.
    pub fn loopback(text: &str) -> Result<Self, BadListen> {
        let listen = Self::public(text)?;
        if listen.address.ip().to_canonical().is_loopback() {
            Ok(listen)
        } else {
            Err(BadListen::Public(listen.address))
        }
    }

    /// The same for any address of this machine; `0.0.0.0` and `[::]` are all of them.
    ///
    /// # Errors
    /// When the text is no address.
    pub fn public(text: &str) -> Result<Self, BadListen> {
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let address = match local {
            Some(port) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            None => text.parse().ok(),
        };
        address.map(|address| Self { address }).ok_or_else(|| BadListen::NoAddress(text.to_owned()))
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s002_13_a_console_is_for_this_machine() {
        let own = [
            ("127.0.0.1:7020", "127.0.0.1:7020"),
            ("127.1.2.3:0", "127.1.2.3:0"),
            ("localhost:7", "127.0.0.1:7"),
            ("[::1]:7", "[::1]:7"),
            ("[::ffff:127.0.0.1]:7", "[::ffff:127.0.0.1]:7"),
        ];
        for (text, meant) in own {
            assert_eq!(Listen::loopback(text).expect(text).to_string(), meant);
        }
        for text in ["0.0.0.0:7", "[::]:7", "192.168.1.5:7", "[::ffff:10.0.0.1]:7"] {
            let refused = Listen::loopback(text).expect_err(text).to_string();
            assert!(refused.contains("no passwords") && refused.ends_with("take 127.0.0.1:7"), "{refused}");
            assert_eq!(Listen::public(text).expect(text).address().port(), 7);
        }
        for text in ["", "7020", "127.0.0.1", "plc:7020", "tcp://127.0.0.1:7020", "localhost:70000"] {
            let refused = Listen::public(text).expect_err(text).to_string();
            assert!(refused.contains("such as 127.0.0.1:7020"), "{refused}");
        }
    }
}
