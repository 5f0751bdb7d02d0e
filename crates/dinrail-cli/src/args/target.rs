//! The other end of a connection, as people type it: `tcp://HOST[:PORT]`, or only `HOST[:PORT]`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The port that Modbus TCP has from IANA.
const DEFAULT_PORT: u16 = 502;

/// A host and a port, for connecting to or for listening on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// A name or an address; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// `HOST:PORT`, an IPv6 address in brackets.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.split_once("://") {
            Some(("tcp", address)) => address,
            Some((scheme, _)) => return Err(unknown_scheme(scheme)),
            None => text,
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = split_port(address)?;
        if host.is_empty() || host.contains(['/', ' ', '@', '?', '#', ':']) && host.parse::<Ipv6Addr>().is_err() {
            return Err("this is no host: write tcp://HOST[:PORT], an IPv6 address in brackets".to_owned());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

fn unknown_scheme(scheme: &str) -> String {
    match scheme {
        "rtu" | "ascii" | "serial" | "tls" | "udp" | "rtu+tcp" | "ascii+tcp" | "unix" => {
            format!("{scheme}:// is not there yet: take tcp://HOST[:PORT]")
        }
        _ => format!("{scheme}:// is nothing that dinrail knows: take tcp://HOST[:PORT]"),
    }
}

/// The host without brackets, and the port behind the last colon, if there is one.
fn split_port(address: &str) -> Result<(&str, u16), String> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("the bracket of the IPv6 address is not closed")?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((host, parse_port(port)?)),
            None if port.is_empty() => Ok((host, DEFAULT_PORT)),
            None => Err("only a colon and a port may stand behind the bracket".to_owned()),
        };
    }
    if address.parse::<Ipv6Addr>().is_ok() {
        return Ok((address, DEFAULT_PORT));
    }
    match address.rsplit_once(':') {
        Some((host, port)) => Ok((host, parse_port(port)?)),
        None => Ok((address, DEFAULT_PORT)),
    }
}

fn parse_port(port: &str) -> Result<u16, String> {
    port.parse().map_err(|_| format!("{port:?} is no port: take a number from 0 to 65535"))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
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
        ];
        for (input, meant) in table {
            let target: Target = input.parse().expect(input);
            assert_eq!(target.to_string(), meant);
            assert_eq!(meant.parse(), Ok(target), "what is shown can be typed again");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let table = [
            ("rtu:///dev/ttyUSB0", "rtu:// is not there yet: take tcp://HOST[:PORT]"),
            ("http://plc", "http:// is nothing that dinrail knows: take tcp://HOST[:PORT]"),
            ("plc:modbus", "\"modbus\" is no port: take a number from 0 to 65535"),
            ("plc:65536", "\"65536\" is no port: take a number from 0 to 65535"),
            ("plc:", "\"\" is no port: take a number from 0 to 65535"),
            ("", "this is no host: write tcp://HOST[:PORT], an IPv6 address in brackets"),
            ("tcp://:502", "this is no host: write tcp://HOST[:PORT], an IPv6 address in brackets"),
            ("plc/path", "this is no host: write tcp://HOST[:PORT], an IPv6 address in brackets"),
            ("1:2:3", "this is no host: write tcp://HOST[:PORT], an IPv6 address in brackets"),
            ("[::1", "the bracket of the IPv6 address is not closed"),
            ("[::1]502", "only a colon and a port may stand behind the bracket"),
        ];
        for (input, message) in table {
            assert_eq!(input.parse::<Target>().expect_err(input), message);
        }
    }
}
