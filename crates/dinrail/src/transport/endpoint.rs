//! Addresses of every transport, as one type with one way to write them: URLs.

use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::time::Duration;

use super::address::Address;
use super::tcp::PORT;
#[cfg(feature = "tls")]
use super::tls::PORT as TLS_PORT;
use super::{Burst, Connect, Stream, Tcp, Udp};
#[cfg(feature = "serial")]
use super::{DataBits, Parity, Rts, Serial, StopBits};
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
/// A serial port's settings stand behind a question mark: `rtu:///dev/ttyUSB0?baud=9600&parity=none&data=8&stop=2`, and
/// `gap=5ms`, `strict=true`, `echo=true`, `rts=on` and `turnaround=1ms`, as the methods of [`Serial`] have them.
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

impl Connect for Endpoint {
    type Stream = AnyStream;

    async fn connect(&self) -> io::Result<AnyStream> {
        Ok(each!(self, transport => Box::new(transport.connect().await?)))
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
            None => write!(f, "{transport}://{address}"),
            Some(framing) => write!(f, "{framing}+{transport}://{address}"),
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
            return Ok(Self::Tcp(parse_network(text, PORT)?.into()));
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
            "tcp" => Self::Tcp(Tcp::from(parse_network(address, PORT)?).with_framing(framing)),
            "udp" => Self::Udp(Udp::from(parse_network(address, PORT)?).with_framing(framing)),
            #[cfg(feature = "tls")]
            "tls" => {
                let tcp = Tcp::from(parse_network(address, TLS_PORT)?);
                Self::Tls(Tls::over(tcp).with_framing(framing), None)
            }
            #[cfg(feature = "serial")]
            "serial" => Self::Serial(parse_serial(framing, address)?),
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

/// `HOST[:PORT]`, an IPv6 address in brackets.
fn parse_network(address: &str, default_port: u16) -> Result<Address, BadUrl> {
    let address = address.strip_suffix('/').unwrap_or(address);
    let (host, port) = split_port(address, default_port).map_err(BadUrl)?;
    if host.is_empty() || host.contains(['/', ' ', '@', '?', '#', ':']) && host.parse::<Ipv6Addr>().is_err() {
        return Err(BadUrl("this is no host: write HOST or HOST:PORT, an IPv6 address in brackets".to_owned()));
    }
    Ok(Address { host: host.to_owned(), port })
}

/// The host without brackets, and the port behind the last colon, if there is one.
fn split_port(address: &str, default_port: u16) -> Result<(&str, u16), String> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("the bracket of the IPv6 address is not closed")?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((host, parse_port(port)?)),
            None if port.is_empty() => Ok((host, default_port)),
            None => Err("only a colon and a port may stand behind the bracket".to_owned()),
        };
    }
    if address.parse::<Ipv6Addr>().is_ok() {
        return Ok((address, default_port));
    }
    match address.rsplit_once(':') {
        Some((host, port)) => Ok((host, parse_port(port)?)),
        None => Ok((address, default_port)),
    }
}

fn parse_port(port: &str) -> Result<u16, String> {
    port.parse().map_err(|_| format!("{port:?} is no port: take a number from 0 to 65535"))
}

#[cfg(feature = "serial")]
fn parse_serial(framing: Framing, address: &str) -> Result<Serial, BadUrl> {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    if path.is_empty() {
        return Err(BadUrl("the serial port is missing: write rtu:///dev/ttyUSB0, or rtu://COM3".to_owned()));
    }
    let port = if framing == Framing::Ascii { Serial::ascii(path) } else { Serial::rtu(path).with_framing(framing) };
    query.split('&').filter(|setting| !setting.is_empty()).try_fold(port, |port, setting| {
        let (name, value) = setting.split_once('=').unwrap_or((setting, "true"));
        set(port, name, value)
            .map_err(|expected| BadUrl(format!("{setting:?} is no setting of a serial port: {expected}")))
    })
}

/// Sets one of a port's settings; the error says what may be written.
#[cfg(feature = "serial")]
fn set(port: Serial, name: &str, value: &str) -> Result<Serial, &'static str> {
    let yes_or_no = || value.parse().map_err(|_| "take true or false");
    Ok(match (name, value) {
        ("baud", _) => {
            let baud = value.parse().ok().filter(|baud| *baud > 0);
            port.with_baud(baud.ok_or("take a speed in bits a second, such as baud=9600")?)
        }
        ("data", "7") => port.with_data_bits(DataBits::Seven),
        ("data", "8") => port.with_data_bits(DataBits::Eight),
        ("data", _) => return Err("take data=7 or data=8"),
        ("parity", "none" | "n" | "N") => port.with_parity(Parity::None),
        ("parity", "even" | "e" | "E") => port.with_parity(Parity::Even),
        ("parity", "odd" | "o" | "O") => port.with_parity(Parity::Odd),
        ("parity", _) => return Err("take parity=none, parity=even or parity=odd"),
        ("stop", "1") => port.with_stop_bits(StopBits::One),
        ("stop", "2") => port.with_stop_bits(StopBits::Two),
        ("stop", _) => return Err("take stop=1 or stop=2"),
        ("gap", _) => port.with_gap(parse_time(value).ok_or("take a time such as gap=5ms or gap=1750us")?),
        ("strict", _) => port.with_strict_timing(yes_or_no()?),
        ("echo", _) => port.with_local_echo(yes_or_no()?),
        ("rts", "on") => port.with_rts(Rts::On),
        ("rts", "off") => port.with_rts(Rts::Off),
        ("rts", _) => return Err("take rts=on or rts=off: what the line is while this side sends"),
        ("turnaround", _) => {
            port.with_turnaround(parse_time(value).ok_or("take a time such as turnaround=1ms or turnaround=500us")?)
        }
        _ => return Err("there are baud, data, parity, stop, gap, strict, echo, rts and turnaround"),
    })
}

#[cfg(feature = "serial")]
fn parse_time(text: &str) -> Option<Duration> {
    let units = [("us", 1), ("µs", 1), ("ms", 1_000), ("s", 1_000_000)];
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let microseconds = number.parse::<f64>().ok()? * f64::from(*unit);
    (0.0..=10e6).contains(&microseconds).then(|| Duration::from_secs_f64(microseconds / 1e6))
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
            ("", "this is no host: write HOST or HOST:PORT, an IPv6 address in brackets"),
            ("tcp://:502", "this is no host: write HOST or HOST:PORT, an IPv6 address in brackets"),
            ("plc/path", "this is no host: write HOST or HOST:PORT, an IPv6 address in brackets"),
            ("1:2:3", "this is no host: write HOST or HOST:PORT, an IPv6 address in brackets"),
            ("[::1", "the bracket of the IPv6 address is not closed"),
            ("[::1]502", "only a colon and a port may stand behind the bracket"),
            ("/dev/ttyUSB0", "\"/dev/ttyUSB0\" looks like a serial port: write rtu:///dev/ttyUSB0"),
            #[cfg(feature = "serial")]
            ("rtu://", "the serial port is missing: write rtu:///dev/ttyUSB0, or rtu://COM3"),
            #[cfg(feature = "serial")]
            ("rtu://x?baud=fast", "\"baud=fast\" is no setting of a serial port: take a speed in bits a second"),
            #[cfg(feature = "serial")]
            ("rtu://x?bits=8", "\"bits=8\" is no setting of a serial port: there are baud, data"),
            #[cfg(feature = "serial")]
            ("rtu://x?gap=5", "\"gap=5\" is no setting of a serial port: take a time such as gap=5ms"),
        ];
        for (input, message) in table {
            let error = input.parse::<Endpoint>().expect_err(input).to_string();
            assert!(error.starts_with(message), "{input}: {error}");
        }
    }
}
