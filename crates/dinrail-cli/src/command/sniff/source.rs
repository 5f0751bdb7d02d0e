//! Where to listen: a serial port, a file, or standard input.

use std::path::PathBuf;
use std::str::FromStr;

use dinrail::transport::{DataBits, Parity, Serial, StopBits};

#[derive(Clone, Debug)]
pub(super) enum Source {
    Port(Serial),
    File(PathBuf),
    Input,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            _ if text == "-" => Ok(Self::Input),
            Some(("rtu", port)) => parse_port(port, Serial::rtu).map(Self::Port),
            Some(("ascii", port)) => parse_port(port, Serial::ascii).map(Self::Port),
            Some((scheme, _)) => Err(format!(
                "{scheme}:// cannot be listened to: take rtu:// or ascii:// with a serial port, or a capture file; \
                 others' traffic on a network is captured with tcpdump -U -w - | dinrail sniff -"
            )),
            None if text.starts_with("/dev/") => {
                Err(format!("write rtu://{text} or ascii://{text}, with ?baud=9600 behind it if need be"))
            }
            None => Ok(Self::File(text.into())),
        }
    }
}

/// `PATH[?SETTING=VALUE&...]`.
fn parse_port(text: &str, make: impl Fn(String) -> Serial) -> Result<Serial, String> {
    let (path, settings) = text.split_once('?').unwrap_or((text, ""));
    if path.is_empty() {
        return Err("this names no port: write rtu:///dev/ttyUSB0".to_owned());
    }
    settings.split('&').filter(|setting| !setting.is_empty()).try_fold(make(path.to_owned()), |port, setting| {
        let wrong =
            || format!("{setting:?} is no setting: baud=9600, parity=none, even or odd, data=7 or 8, stop=1 or 2");
        Ok(match setting.split_once('=').ok_or_else(wrong)? {
            ("baud", baud) => port.with_baud(baud.parse().ok().filter(|baud| *baud > 0).ok_or_else(wrong)?),
            ("parity", "none") => port.with_parity(Parity::None),
            ("parity", "even") => port.with_parity(Parity::Even),
            ("parity", "odd") => port.with_parity(Parity::Odd),
            ("data", "7") => port.with_data_bits(DataBits::Seven),
            ("data", "8") => port.with_data_bits(DataBits::Eight),
            ("stop", "1") => port.with_stop_bits(StopBits::One),
            ("stop", "2") => port.with_stop_bits(StopBits::Two),
            _ => return Err(wrong()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        let port = "rtu:///dev/ttyUSB0?baud=9600&parity=none&stop=2";
        assert!(matches!(port.parse(), Ok(Source::Port(serial)) if serial.to_string() == port));
        assert!(matches!("ascii://COM3".parse(), Ok(Source::Port(serial)) if serial.to_string() == "ascii://COM3"));
        assert!(matches!("a.pcap".parse(), Ok(Source::File(_))));
        assert!(matches!("-".parse(), Ok(Source::Input)));
        for wrong in ["tcp://plc", "/dev/ttyUSB0", "rtu://", "rtu:///dev/x?baud=0", "rtu:///dev/x?bad"] {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
    }
}
