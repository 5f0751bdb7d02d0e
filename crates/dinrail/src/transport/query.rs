//! What stands behind the question mark of a URL: how settings are written, read, and told of when they are none.

#[cfg(feature = "serial")]
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

#[cfg(feature = "serial")]
use super::{DataBits, Parity, Rts, Serial, StopBits};
use super::{Tcp, Udp};
#[cfg(feature = "serial")]
use crate::proto::Framing;

/// The longest time that can be written.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Writes settings.
pub(super) struct Query<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    separator: char,
}

impl<'a, 'f> Query<'a, 'f> {
    pub(super) fn new(out: &'a mut fmt::Formatter<'f>) -> Self {
        Self { out, separator: '?' }
    }

    pub(super) fn add(&mut self, name: &str, value: &dyn fmt::Display) -> fmt::Result {
        write!(self.out, "{}{name}={value}", std::mem::replace(&mut self.separator, '&'))
    }
}

/// Applies each setting of a query to `to`, of which `what` is the name and `known` the settings.
fn apply<T>(
    query: &str,
    what: &str,
    known: &[&str],
    to: T,
    set: impl Fn(T, &str, &str) -> Result<T, &'static str>,
) -> Result<T, String> {
    let mut seen: Vec<&str> = Vec::new();
    query.split('&').filter(|setting| !setting.is_empty()).try_fold(to, |to, setting| {
        let (name, value) = setting.split_once('=').unwrap_or((setting, "true"));
        if !known.contains(&name) {
            let known = known.join(", ");
            return Err(format!("{name:?} is no setting of {what}: there are {known}"));
        }
        if seen.contains(&name) {
            return Err(format!("{name:?} is given twice, the second time as {value:?}: keep one of them"));
        }
        seen.push(name);
        set(to, name, value).map_err(|expected| format!("{setting:?} is no setting of {what}: {expected}"))
    })
}

const NO_ADDRESS: &str = "take an address of this machine, such as source=10.0.0.7";
const NO_INTERFACE: &str = "take the name of a network interface, such as interface=eth1";
#[cfg(feature = "serial")]
const NO_TIME: &str = "take a time such as 5ms, 1750us or 30s, of a day at most";
#[cfg(feature = "serial")]
const NO_ANSWER: &str = "take true or false";

pub(super) fn tcp(query: &str, to: Tcp) -> Result<Tcp, String> {
    apply(query, "a TCP connection", &["source", "interface", "keepalive"], to, |tcp, name, value| {
        Ok(match name {
            "source" => tcp.from_source(value.parse().map_err(|_| NO_ADDRESS)?),
            "interface" if value.is_empty() => return Err(NO_INTERFACE),
            "interface" => tcp.via_interface(value),
            "keepalive" if value == "off" => tcp.with_keep_alive(None),
            "keepalive" => match time(value) {
                Some(time) if time >= Duration::from_secs(1) => tcp.with_keep_alive(time),
                _ => return Err("take a time of a second or more, such as keepalive=30s, or keepalive=off"),
            },
            _ => return Err("it is not known"),
        })
    })
}

pub(super) fn udp(query: &str, to: Udp) -> Result<Udp, String> {
    apply(query, "UDP", &["source", "interface"], to, |udp, name, value| {
        Ok(match name {
            "source" => udp.from_source(value.parse().map_err(|_| NO_ADDRESS)?),
            "interface" if value.is_empty() => return Err(NO_INTERFACE),
            "interface" => udp.via_interface(value),
            _ => return Err("it is not known"),
        })
    })
}

/// What of a socket's settings differs from the default.
pub(super) fn show_socket(
    query: &mut Query<'_, '_>,
    source: Option<IpAddr>,
    interface: Option<&str>,
    keep_alive: Option<Option<Duration>>,
) -> fmt::Result {
    if let Some(source) = source {
        query.add("source", &source)?;
    }
    if let Some(interface) = interface {
        query.add("interface", &interface)?;
    }
    match keep_alive {
        None => Ok(()),
        Some(None) => query.add("keepalive", &"off"),
        Some(Some(time)) => query.add("keepalive", &format_args!("{time:?}")),
    }
}

#[cfg(feature = "serial")]
const SERIAL: &[&str] = &["baud", "data", "parity", "stop", "gap", "strict", "echo", "rts", "turnaround"];

/// A port from what stands behind `rtu://` and the like.
#[cfg(feature = "serial")]
pub(super) fn serial(framing: Framing, address: &str) -> Result<Serial, String> {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    if path.is_empty() {
        return Err("the serial port is missing: write rtu:///dev/ttyUSB0, or rtu://COM3".to_owned());
    }
    let path = path.replace("%3F", "?").replace("%25", "%");
    let port = if framing == Framing::Ascii { Serial::ascii(path) } else { Serial::rtu(path).with_framing(framing) };
    apply(query, "a serial port", SERIAL, port, |port, name, value| {
        let yes_or_no = || value.parse().map_err(|_| NO_ANSWER);
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
            ("gap", _) => port.with_gap(time(value).ok_or(NO_TIME)?),
            ("strict", _) => port.with_strict_timing(yes_or_no()?),
            ("echo", _) => port.with_local_echo(yes_or_no()?),
            ("rts", "on") => port.with_rts(Rts::On),
            ("rts", "off") => port.with_rts(Rts::Off),
            ("rts", _) => return Err("take rts=on or rts=off: what RTS does while a frame is sent"),
            ("turnaround", _) => port.with_turnaround(time(value).ok_or(NO_TIME)?),
            _ => return Err("it is not known"),
        })
    })
}

/// A port's name as it stands in a URL: a question mark would end it.
#[cfg(feature = "serial")]
pub(super) fn show_path(path: &str) -> Cow<'_, str> {
    if path.contains(['%', '?']) { path.replace('%', "%25").replace('?', "%3F").into() } else { path.into() }
}

/// A time with its unit, as [`Duration`] shows itself.
fn time(text: &str) -> Option<Duration> {
    let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let seconds = number.parse::<f64>().ok()? * unit;
    (0.0..=LONGEST.as_secs_f64()).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::Endpoint;

    fn reparsed(shown: &str) -> Endpoint {
        shown.parse().unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    fn times() -> impl Strategy<Value = Duration> {
        prop_oneof![
            (0_u64..100_000_000_000).prop_map(Duration::from_nanos),
            (0_u64..5_000_000).prop_map(Duration::from_micros),
            (0_u64..=86_400).prop_map(Duration::from_secs),
        ]
    }

    #[cfg(feature = "serial")]
    fn ports() -> impl Strategy<Value = Serial> {
        let framings = prop::sample::select(vec![Framing::Rtu, Framing::Ascii, Framing::Binary, Framing::Pdu]);
        let bits = (any::<bool>(), 0_usize..3, any::<bool>());
        let rts = prop::sample::select(vec![None, Some(Rts::On), Some(Rts::Off)]);
        let flags = (any::<bool>(), any::<bool>());
        (
            "(/dev/[a-zA-Z0-9%?&=_-]{1,12}|COM[1-9])",
            framings,
            1_u32..,
            bits,
            prop::option::of(times()),
            flags,
            rts,
            times(),
        )
            .prop_map(|(path, framing, baud, (seven, parity, two), gap, (strict, echo), rts, turnaround)| {
                let port = if framing == Framing::Ascii {
                    Serial::ascii(path)
                } else {
                    Serial::rtu(path).with_framing(framing)
                };
                port.with_baud(baud)
                    .with_data_bits(if seven { DataBits::Seven } else { DataBits::Eight })
                    .with_parity([Parity::None, Parity::Even, Parity::Odd][parity])
                    .with_stop_bits(if two { StopBits::Two } else { StopBits::One })
                    .with_gap(gap)
                    .with_strict_timing(strict)
                    .with_local_echo(echo)
                    .with_rts(rts)
                    .with_turnaround(turnaround)
            })
    }

    /// Every setting that there is stands in the guide, in a row of its own with an example that can be read.
    #[cfg(feature = "serial")]
    #[test]
    fn the_guide_has_every_setting() {
        let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/transports.md"));
        let guide = guide.expect("the guide is there");
        let rows = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let examples: Vec<(&str, &str)> = rows.filter(|(example, _)| example.contains('=')).collect();
        for (scheme, of) in [("tcp://plc", "TCP"), ("udp://plc", "UDP"), ("rtu:///dev/ttyUSB0", "serial ports")] {
            let examples =
                examples.iter().filter(|(_, whose)| whose.split(" | ").next().is_some_and(|w| w.contains(of)));
            let examples: Vec<&str> = examples.map(|(example, _)| *example).collect();
            let url = format!("{scheme}?{}", examples.join("&"));
            reparsed(&url);
            let unknown = format!("{scheme}?x=1").parse::<Endpoint>().expect_err("no setting").to_string();
            let (_, known) = unknown.split_once("there are ").expect("they are listed");
            let named: Vec<&str> = examples.iter().filter_map(|example| Some(example.split_once('=')?.0)).collect();
            assert_eq!(named.join(", "), known, "{scheme}");
        }
    }

    proptest! {
        #[cfg(feature = "serial")]
        #[test]
        fn a_serial_port_is_what_its_url_says(port in ports()) {
            let shown = port.to_string();
            let Endpoint::Serial(read) = reparsed(&shown) else { panic!("{shown} is a serial port") };
            prop_assert_eq!(read, port, "{}", shown);
        }

        #[test]
        fn a_connection_is_what_its_url_says(
            source in any::<Option<IpAddr>>(),
            interface in prop::option::of("[a-z][a-z0-9.-]{0,14}"),
            keep_alive in prop::option::of(1_u64..=86_400),
        ) {
            let mut tcp = Tcp::new("plc:1502").with_keep_alive(keep_alive.map(Duration::from_secs));
            let mut udp = Udp::new("plc:1502");
            if let Some(source) = source {
                (tcp, udp) = (tcp.from_source(source), udp.from_source(source));
            }
            if let Some(interface) = interface {
                (tcp, udp) = (tcp.via_interface(interface.clone()), udp.via_interface(interface));
            }
            let shown = Endpoint::Tcp(tcp.clone()).to_string();
            let Endpoint::Tcp(read) = reparsed(&shown) else { panic!("{shown} is TCP") };
            prop_assert_eq!(format!("{read:?}"), format!("{tcp:?}"));
            let shown = Endpoint::Udp(udp.clone()).to_string();
            let Endpoint::Udp(read) = reparsed(&shown) else { panic!("{shown} is UDP") };
            prop_assert_eq!(format!("{read:?}"), format!("{udp:?}"));
        }
    }
}
