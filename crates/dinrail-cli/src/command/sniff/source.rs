//! Where to listen: a serial port, a file, or standard input.

use std::path::PathBuf;
use std::str::FromStr;

use dinrail::transport::{Endpoint, Serial};

#[derive(Clone, Debug)]
pub(super) enum Source {
    Port(Serial),
    File(PathBuf),
    Input,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Input);
        }
        if !text.contains("://") && !text.starts_with("/dev/") {
            return Ok(Self::File(text.into()));
        }
        match text.parse() {
            Ok(Endpoint::Serial(port)) => Ok(Self::Port(port)),
            Ok(_) => {
                Err("only serial ports and captures can be listened to: rtu:// or ascii:// with a port, or a file; \
                          others' traffic on a network is captured with tcpdump -U -w - | dinrail sniff -"
                    .to_owned())
            }
            Err(wrong) => Err(wrong.to_string()),
        }
    }
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
