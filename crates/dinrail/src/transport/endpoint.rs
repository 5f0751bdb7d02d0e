//! Addresses of every transport, as one type with one way to write them: URLs.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

#[cfg(feature = "serial")]
use super::Serial;
use super::address::Address;
use super::query::{self, Query};
use super::tcp::PORT;
#[cfg(feature = "tls")]
use super::tls::PORT as TLS_PORT;
use super::{Burst, Connect, Stream, Tcp, Udp};
#[cfg(feature = "tls")]
use super::{ServerTls, Tls};
use crate::proto::Framing;

/// Where a client connects to, or a server listens: an address of any transport. It is written as a URL:
///
/// | URL | what it is | default port |
/// |---|---|---|
/// | `tcp://HOST[:PORT]`, or only `HOST[:PORT]` | Modbus TCP | 502 |
/// | `tls://HOST[:PORT]` | Modbus TCP within TLS | 802 |
/// | `udp://HOST[:PORT]` | Modbus TCP frames in datagrams | 502 |
/// | `rtu:///dev/ttyUSB0`, `ascii:///dev/ttyUSB0` | a serial port | |
/// | `rtu+tcp://`, `ascii+tcp://`, `rtu+udp://`, `rtu+tls://` and the like | those frames over that transport | as above |
/// | `binary+tcp://`, `pdu+tls://` and the like | framings of older pymodbus | as above |
///
/// Settings stand behind a question mark. Those of a serial port: `rtu:///dev/ttyUSB0?baud=9600&parity=none&data=8&stop=2`,
/// and `gap=5ms`, `strict=true`, `echo=true`, `rts=on`, `turnaround=1ms`, as the methods of [`Serial`] have them. Those of a
/// socket: `tcp://plc?source=10.0.0.7&interface=eth1&keepalive=30s`, as the methods of [`Tcp`] and [`Udp`] have them; a
/// server takes `interface` and `keepalive`.
///
/// ```
/// use dinrail::transport::Endpoint;
///
/// let plc: Endpoint = "rtu+tcp://plc:4001".parse()?;
/// assert_eq!(plc.to_string(), "rtu+tcp://plc:4001");
/// # Ok::<(), dinrail::transport::BadUrl>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// TCP.
    Tcp(Tcp),
    /// UDP.
    Udp(Udp),
    /// TLS over TCP. What a server shows, and whom it trusts, is not part of a URL:
    /// [`with_server_tls`](Self::with_server_tls).
    #[cfg(feature = "tls")]
    Tls(Tls, Option<ServerTls>),
    /// A serial port.
    #[cfg(feature = "serial")]
    Serial(Serial),
}

/// Why a text is no [`Endpoint`]; a sentence that says what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUrl(String);

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUrl {}

/// Asks the transport that it is.
macro_rules! each {
    ($endpoint:expr, $transport:ident => $answer:expr) => {
        match $endpoint {
            Endpoint::Tcp($transport) => $answer,
            Endpoint::Udp($transport) => $answer,
            #[cfg(feature = "tls")]
            Endpoint::Tls($transport, _) => $answer,
            #[cfg(feature = "serial")]
            Endpoint::Serial($transport) => $answer,
        }
    };
}

impl Endpoint {
    /// How frames are laid on it.
    pub fn framing(&self) -> Framing {
        each!(self, transport => Connect::framing(transport))
    }

    /// With this certificate and these rules, for a server on TLS. Nothing changes for other transports.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_server_tls(self, tls: ServerTls) -> Self {
        match self {
            Self::Tls(client, _) => Self::Tls(client, Some(tls)),
            other => other,
        }
    }

    /// With the client's side of TLS changed like this. Nothing changes for other transports.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn map_tls(self, change: impl FnOnce(Tls) -> Tls) -> Self {
        match self {
            Self::Tls(client, server) => Self::Tls(change(client), server),
            other => other,
        }
    }
}

/// A stream of any transport.
type AnyStream = Box<dyn Stream>;

impl Endpoint {
    /// The TCP connection that it is, or that is below it.
    pub(crate) fn tcp(&self) -> Option<&Tcp> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            #[cfg(feature = "tls")]
            Self::Tls(tls, _) => Some(tls.tcp()),
            _ => None,
        }
    }

    /// From where it connects, for transports that can be told to.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        match self {
            Self::Udp(udp) => udp.source(),
            _ => self.tcp()?.source(),
        }
    }

    /// The network interface that it is to use.
    pub(crate) fn interface(&self) -> Option<&str> {
        match self {
            Self::Udp(udp) => udp.interface(),
            _ => self.tcp()?.interface(),
        }
    }
}

impl Connect for Endpoint {
    type Stream = AnyStream;

    async fn connect(&self) -> io::Result<AnyStream> {
        Ok(each!(self, transport => Box::new(transport.connect().await?)))
    }

    async fn connect_within(&self, limit: Duration) -> io::Result<AnyStream> {
        Ok(each!(self, transport => Box::new(transport.connect_within(limit).await?)))
    }

    fn framing(&self) -> Framing {
        self.framing()
    }

    fn burst(&self) -> Burst {
        each!(self, transport => transport.burst())
    }

    fn byte_time(&self) -> Duration {
        each!(self, transport => transport.byte_time())
    }

    fn is_real_time(&self) -> bool {
        each!(self, transport => transport.is_real_time())
    }

    fn has_local_echo(&self) -> bool {
        each!(self, transport => transport.has_local_echo())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, address): (_, &dyn fmt::Display) = match self {
            Self::Tcp(tcp) => ("tcp", tcp),
            Self::Udp(udp) => ("udp", udp),
            #[cfg(feature = "tls")]
            Self::Tls(tls, _) => ("tls", tls),
            #[cfg(feature = "serial")]
            Self::Serial(serial) => return fmt::Display::fmt(serial, f),
        };
        match framing_name(self.framing()) {
            None => write!(f, "{transport}://{address}")?,
            Some(framing) => write!(f, "{framing}+{transport}://{address}")?,
        }
        let mut query = Query::new(f);
        match self {
            Self::Udp(udp) => query::show_socket(&mut query, udp.source(), udp.interface(), None),
            _ => self.tcp().map_or(Ok(()), |tcp| {
                query::show_socket(&mut query, tcp.source(), tcp.interface(), tcp.own_keep_alive())
            }),
        }
    }
}

/// The name of a framing in a URL; Modbus TCP's is never named.
pub(super) fn framing_name(framing: Framing) -> Option<&'static str> {
    match framing {
        Framing::Rtu => Some("rtu"),
        Framing::Ascii => Some("ascii"),
        Framing::Binary => Some("binary"),
        Framing::Pdu => Some("pdu"),
        _ => None,
    }
}

fn framing_named(name: &str) -> Option<Framing> {
    [Framing::Rtu, Framing::Ascii, Framing::Binary, Framing::Pdu]
        .into_iter()
        .find(|framing| framing_name(*framing) == Some(name))
}

impl FromStr for Endpoint {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let Some((scheme, address)) = text.split_once("://") else {
            if text.starts_with('/') || text.starts_with("COM") {
                return Err(BadUrl(format!("{text:?} looks like a serial port: write rtu://{text} or ascii://{text}")));
            }
            return Ok(Self::Tcp(parse_tcp(text, PORT)?));
        };
        let (framing, transport) = match scheme.split_once('+') {
            None if framing_named(scheme).is_some() => (scheme, "serial"),
            None => ("", scheme),
            Some(parts) => parts,
        };
        let framing = match framing {
            "" => Framing::Tcp,
            name => framing_named(name).ok_or_else(|| unknown(scheme))?,
        };
        Ok(match transport {
            "tcp" => Self::Tcp(parse_tcp(address, PORT)?.with_framing(framing)),
            "udp" => Self::Udp(parse_udp(address)?.with_framing(framing)),
            #[cfg(feature = "tls")]
            "tls" => {
                let tcp = parse_tcp(address, TLS_PORT)?;
                Self::Tls(Tls::over(tcp).with_framing(framing), None)
            }
            #[cfg(feature = "serial")]
            "serial" => Self::Serial(query::serial(framing, address).map_err(BadUrl)?),
            #[cfg(not(feature = "tls"))]
            "tls" => return Err(BadUrl("this dinrail was built without TLS".to_owned())),
            #[cfg(not(feature = "serial"))]
            "serial" => return Err(BadUrl("this dinrail was built without serial ports".to_owned())),
            _ => return Err(unknown(scheme)),
        })
    }
}

fn unknown(scheme: &str) -> BadUrl {
    BadUrl(format!(
        "{scheme}:// is nothing that dinrail knows: take tcp://, tls:// or udp:// with HOST[:PORT], rtu+tcp:// or ascii+tcp:// \
         for serial frames over TCP, or rtu:// or ascii:// with a serial port"
    ))
}

/// `HOST[:PORT]`, an IPv6 address in brackets, and what stands behind a question mark.
fn parse_network(address: &str, default_port: u16) -> Result<(Address, &str), BadUrl> {
    let (address, query) = address.split_once('?').unwrap_or((address, ""));
    Ok((Address::read(address, default_port).map_err(BadUrl)?, query))
}

fn parse_tcp(address: &str, default_port: u16) -> Result<Tcp, BadUrl> {
    let (address, query) = parse_network(address, default_port)?;
    query::tcp(query, address.into()).map_err(BadUrl)
}

fn parse_udp(address: &str) -> Result<Udp, BadUrl> {
    let (address, query) = parse_network(address, PORT)?;
    query::udp(query, address.into()).map_err(BadUrl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_and_what_it_means() {
        let table = [
            ("tcp://plc:1502", "tcp://plc:1502"),
            ("tcp://plc", "tcp://plc:502"),
            ("tcp://plc/", "tcp://plc:502"),
            ("plc", "tcp://plc:502"),
            ("192.168.1.10:5020", "tcp://192.168.1.10:5020"),
            ("[::1]:5020", "tcp://[::1]:5020"),
            ("tcp://[fe80::1]", "tcp://[fe80::1]:502"),
            ("::1", "tcp://[::1]:502"),
            ("127.0.0.1:0", "tcp://127.0.0.1:0"),
            ("udp://plc", "udp://plc:502"),
            ("rtu+tcp://plc:4001", "rtu+tcp://plc:4001"),
            ("ascii+udp://plc", "ascii+udp://plc:502"),
            ("binary+tcp://plc", "binary+tcp://plc:502"),
            #[cfg(feature = "tls")]
            ("tls://plc", "tls://plc:802"),
            #[cfg(feature = "tls")]
            ("pdu+tls://plc:5020", "pdu+tls://plc:5020"),
            #[cfg(feature = "serial")]
            ("rtu:///dev/ttyUSB0", "rtu:///dev/ttyUSB0"),
            #[cfg(feature = "serial")]
            ("ascii://COM3?baud=9600&parity=n&stop=2", "ascii://COM3?baud=9600&parity=none&stop=2"),
            #[cfg(feature = "serial")]
            (
                "rtu:///dev/ttyUSB0?gap=1.75ms&strict&echo=true&data=8",
                "rtu:///dev/ttyUSB0?gap=1.75ms&strict=true&echo=true",
            ),
            #[cfg(feature = "serial")]
            ("rtu:///dev/ttyUSB0?rts=off&turnaround=500us", "rtu:///dev/ttyUSB0?rts=off&turnaround=500µs"),
            #[cfg(feature = "serial")]
            ("binary:///dev/ttyUSB0?rts=on", "binary:///dev/ttyUSB0?rts=on"),
            #[cfg(feature = "serial")]
            ("rtu://COM3?turnaround=1500us&rts=off", "rtu://COM3?rts=off&turnaround=1.5ms"),
            #[cfg(feature = "serial")]
            ("binary:///dev/ttyS0?stop=1", "binary:///dev/ttyS0"),
            ("tcp://plc?keepalive=off", "tcp://plc:502?keepalive=off"),
            ("plc?interface=eth1", "tcp://plc:502?interface=eth1"),
            ("rtu+tcp://plc?keepalive=60s&source=::1", "rtu+tcp://plc:502?source=::1"),
            ("udp://plc?interface=eth1&source=10.0.0.7", "udp://plc:502?source=10.0.0.7&interface=eth1"),
            #[cfg(feature = "tls")]
            ("tls://plc?keepalive=5m", "tls://plc:802?keepalive=300s"),
        ];
        for (input, meant) in table {
            let endpoint: Endpoint = input.parse().expect(input);
            assert_eq!(endpoint.to_string(), meant);
            assert_eq!(meant.parse::<Endpoint>().expect("what is shown can be typed").to_string(), meant);
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let table = [
            ("http://plc", "http:// is nothing that dinrail knows: take tcp://"),
            ("rtu+http://plc", "rtu+http:// is nothing that dinrail knows: take tcp://"),
            ("x+tcp://plc", "x+tcp:// is nothing that dinrail knows: take tcp://"),
            ("plc:modbus", "\"modbus\" is no port: take a number from 0 to 65535"),
            ("plc:65536", "\"65536\" is no port: take a number from 0 to 65535"),
            ("plc:", "\"\" is no port: take a number from 0 to 65535"),
            ("", "\"\" is no host: write HOST or HOST:PORT, an IPv6 address in brackets"),
            ("tcp://:502", "\"\" is no host: write HOST or HOST:PORT, an IPv6 address in brackets"),
            ("plc/path", "\"plc/path\" is no host: write HOST or HOST:PORT, an IPv6 address in brackets"),
            ("1:2:3", "\"1:2:3\" is no IPv6 address; one with a port is written [2001:db8::7]:502"),
            ("tcp://plc?keepalive=1ms", "\"keepalive=1ms\" is no setting of a TCP connection: take a time of a second"),
            (
                "tcp://plc?baud=9600",
                "\"baud\" is no setting of a TCP connection: there are source, interface, keepalive",
            ),
            ("udp://plc?source=eth0", "\"source=eth0\" is no setting of UDP: take an address of this machine"),
            ("udp://plc?interface=", "\"interface=\" is no setting of UDP: take the name of a network interface"),
            ("tcp://plc?source=::1&source=::2", "\"source\" is given twice, the second time as \"::2\""),
            ("[::1", "the bracket of the IPv6 address is not closed"),
            ("[::1]502", "only a colon and a port may stand behind the bracket"),
            ("/dev/ttyUSB0", "\"/dev/ttyUSB0\" looks like a serial port: write rtu:///dev/ttyUSB0"),
            #[cfg(feature = "serial")]
            ("rtu://", "the serial port is missing: write rtu:///dev/ttyUSB0, or rtu://COM3"),
            #[cfg(feature = "serial")]
            ("rtu://x?baud=fast", "\"baud=fast\" is no setting of a serial port: take a speed in bits a second"),
            #[cfg(feature = "serial")]
            ("rtu://x?bits=8", "\"bits\" is no setting of a serial port: there are baud, data"),
            #[cfg(feature = "serial")]
            ("rtu://x?baud=9600&baud=19200", "\"baud\" is given twice, the second time as \"19200\": keep one of them"),
            #[cfg(feature = "serial")]
            ("rtu://x?rts", "\"rts\" is no setting of a serial port: take rts=on or rts=off"),
            #[cfg(feature = "serial")]
            ("rtu://x?gap=5", "\"gap=5\" is no setting of a serial port: take a time such as 5ms"),
        ];
        for (input, message) in table {
            let error = input.parse::<Endpoint>().expect_err(input).to_string();
            assert!(error.starts_with(message), "{input}: {error}");
        }
    }
}
