//! Serial ports: how one is set up and opened, and the silences of its line.

mod direction;
mod fault;
mod port;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use self::direction::Rts;
pub use self::port::SerialPort;

use super::endpoint::framing_name;
use super::fault::fault as refusal;
use super::query::{Query, show_path};
use super::{Burst, Connect};
use crate::proto::Framing;

/// A serial port, and how it is set up: 19200 baud, even parity, one stop bit, as the specification has it (SL 2.5.1),
/// unless set.
///
/// ```
/// use dinrail::transport::{Parity, Serial};
///
/// let port = Serial::rtu("/dev/ttyUSB0").with_baud(9600).with_parity(Parity::None);
/// assert_eq!(port.to_string(), "rtu:///dev/ttyUSB0?baud=9600&parity=none");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial {
    path: Arc<str>,
    framing: Framing,
    baud: u32,
    data_bits: DataBits,
    parity: Parity,
    stop_bits: StopBits,
    gap: Option<Duration>,
    strict: bool,
    local_echo: bool,
    rts: Option<Rts>,
    turnaround: Duration,
}

/// How many bits of a character are data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataBits {
    /// ASCII's (SL 2.5.2).
    Seven,
    /// RTU's (SL 2.5.1).
    Eight,
}

/// The bit that checks a character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Parity {
    /// There is none. The specification then wants two stop bits.
    None,
    /// The specification's choice.
    #[default]
    Even,
    /// Odd.
    Odd,
}

/// How long a character ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StopBits {
    /// One bit.
    #[default]
    One,
    /// Two bits.
    Two,
}

/// Up to this speed the silences follow from it; beyond it they are fixed (SL 2.5.1.1).
const FAST: u32 = 19_200;

impl Serial {
    /// RTU frames over the port of this name: `/dev/ttyUSB0`, `COM3`.
    pub fn rtu(path: impl Into<String>) -> Self {
        Self::new(path.into(), Framing::Rtu, DataBits::Eight)
    }

    /// ASCII frames over the port of this name, with seven data bits.
    pub fn ascii(path: impl Into<String>) -> Self {
        Self::new(path.into(), Framing::Ascii, DataBits::Seven)
    }

    fn new(path: String, framing: Framing, data_bits: DataBits) -> Self {
        Self {
            path: path.into(),
            framing,
            baud: 19_200,
            data_bits,
            parity: Parity::default(),
            stop_bits: StopBits::default(),
            gap: None,
            strict: false,
            local_echo: false,
            rts: None,
            turnaround: Duration::ZERO,
        }
    }

    /// Another framing over the same port.
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Sets the speed, in bits a second; 19200 unless set.
    #[must_use]
    pub fn with_baud(mut self, baud: u32) -> Self {
        self.baud = baud;
        self
    }

    /// Sets the data bits; eight for RTU and seven for ASCII unless set.
    #[must_use]
    pub fn with_data_bits(mut self, data_bits: DataBits) -> Self {
        self.data_bits = data_bits;
        self
    }

    /// Sets the parity; even unless set.
    #[must_use]
    pub fn with_parity(mut self, parity: Parity) -> Self {
        self.parity = parity;
        self
    }

    /// Sets the stop bits; one unless set.
    #[must_use]
    pub fn with_stop_bits(mut self, stop_bits: StopBits) -> Self {
        self.stop_bits = stop_bits;
        self
    }

    /// Sets the silence before each frame that is sent, in place of t3.5 of the speed (RTU) or of none (ASCII). A longer
    /// one gives RS-485 drivers and slow devices time to turn around.
    #[must_use]
    pub fn with_gap(mut self, gap: impl Into<Option<Duration>>) -> Self {
        self.gap = gap.into();
        self
    }

    /// Takes frames as the specification's timing has them and in no other way: whole between two silences of t3.5, and
    /// without a gap of t1.5 inside. Only for ports whose driver hands out characters when they come: USB adapters
    /// gather them, and then frames are lost. Off unless set. It is about what a server hears.
    #[must_use]
    pub fn with_strict_timing(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Says that the line repeats what is sent, as two-wire RS-485 adapters do that leave their receiver on: client and
    /// server then take no notice of that. Off unless set.
    #[must_use]
    pub fn with_local_echo(mut self, local_echo: bool) -> Self {
        self.local_echo = local_echo;
        self
    }

    /// Turns an RS-485 driver by RTS: on or off while a frame is sent, and the opposite while one listens. For converters
    /// that neither turn by themselves nor are turned by the system's driver. `None`, as it is unless set, leaves RTS
    /// alone. A port that has no RTS does without, and says so in the log.
    #[must_use]
    pub fn with_rts(mut self, rts: impl Into<Option<Rts>>) -> Self {
        self.rts = rts.into();
        self
    }

    /// Sets how long the driver takes to turn: waited after RTS has turned it to sending, and after the last byte before
    /// RTS turns it back. Zero unless set.
    #[must_use]
    pub fn with_turnaround(mut self, turnaround: Duration) -> Self {
        self.turnaround = turnaround;
        self
    }

    /// The port's name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How long one character takes: 11 bits, or as many as there are.
    fn character(&self) -> Duration {
        let bits = 1 + self.data_bits.bits() + u8::from(self.parity != Parity::None) + self.stop_bits.bits();
        self.bits(u64::from(bits))
    }

    fn bits(&self, bits: u64) -> Duration {
        Duration::from_nanos(bits * 1_000_000_000 / u64::from(self.baud.max(1)))
    }

    /// The silence that is longer than any within a frame, t1.5. A character has 11 bits here, whatever it has.
    pub(crate) fn tear(&self) -> Duration {
        if self.baud > FAST { Duration::from_micros(750) } else { self.bits(11) * 3 / 2 }
    }

    /// The silence before a frame is sent: t3.5, and none for ASCII.
    fn gap(&self) -> Duration {
        match self.gap {
            Some(gap) => gap,
            None if self.framing == Framing::Ascii => Duration::ZERO,
            None if self.baud > FAST => Duration::from_micros(1750),
            None => self.bits(11) * 7 / 2,
        }
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Refuses what cannot be.
    fn check(&self) -> io::Result<()> {
        let refuse = |what: &str| Err(refusal(io::ErrorKind::InvalidInput, what));
        if self.baud == 0 {
            return refuse("baud=0 is no speed: 9600 and 19200 are usual");
        }
        if self.gap == Some(Duration::ZERO) && self.framing == Framing::Rtu {
            return refuse("gap=0 leaves no silence between RTU frames: leave it out to have that of the speed");
        }
        Ok(())
    }

    /// Opens the port, for the server of this name if it is for one; nobody else can open it meanwhile.
    pub(crate) fn open(&self, server: Option<&str>) -> io::Result<SerialPort> {
        SerialPort::open(self, server)
    }
}

impl DataBits {
    const fn bits(self) -> u8 {
        match self {
            Self::Seven => 7,
            Self::Eight => 8,
        }
    }
}

impl Parity {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Even => "even",
            Self::Odd => "odd",
        }
    }
}

impl StopBits {
    const fn bits(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl Connect for Serial {
    type Stream = SerialPort;

    async fn connect(&self) -> io::Result<SerialPort> {
        self.open(None)
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn burst(&self) -> Burst {
        Burst::Silence(self.gap())
    }

    fn byte_time(&self) -> Duration {
        self.character()
    }

    fn is_real_time(&self) -> bool {
        true
    }

    fn has_local_echo(&self) -> bool {
        self.local_echo
    }
}

/// As a URL: what differs from the default stands behind the question mark.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", framing_name(self.framing).unwrap_or("rtu"), show_path(&self.path))?;
        let mut query = Query::new(f);
        let mut setting = |name: &str, value: &dyn fmt::Display| query.add(name, value);
        let default = Self::new(
            String::new(),
            self.framing,
            match self.framing {
                Framing::Ascii => DataBits::Seven,
                _ => DataBits::Eight,
            },
        );
        if self.baud != default.baud {
            setting("baud", &self.baud)?;
        }
        if self.data_bits != default.data_bits {
            setting("data", &self.data_bits.bits())?;
        }
        if self.parity != default.parity {
            setting("parity", &self.parity.name())?;
        }
        if self.stop_bits != default.stop_bits {
            setting("stop", &self.stop_bits.bits())?;
        }
        if let Some(gap) = self.gap {
            setting("gap", &format_args!("{gap:?}"))?;
        }
        if self.strict {
            setting("strict", &true)?;
        }
        if self.local_echo {
            setting("echo", &true)?;
        }
        if let Some(rts) = self.rts {
            setting("rts", if rts == Rts::On { &"on" } else { &"off" })?;
        }
        if !self.turnaround.is_zero() {
            setting("turnaround", &format_args!("{:?}", self.turnaround))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_are_the_specifications() {
        let at = |baud| Serial::rtu("x").with_baud(baud);
        assert_eq!(at(9600).character(), Duration::from_nanos(1_145_833));
        assert_eq!(at(9600).gap(), Duration::from_nanos(4_010_415));
        assert_eq!(at(19_200).tear(), Duration::from_nanos(859_374));
        assert_eq!(at(19_200).gap(), Duration::from_nanos(2_005_206));
        assert_eq!(at(115_200).tear(), Duration::from_micros(750));
        assert_eq!(at(115_200).gap(), Duration::from_micros(1750));
        assert_eq!(at(9600).with_parity(Parity::None).gap(), at(9600).gap(), "t3.5 is 38.5 bits in any case");
        assert_eq!(Serial::ascii("x").gap(), Duration::ZERO, "a colon begins an ASCII frame, not silence");
        assert_eq!(at(9600).with_gap(Duration::from_millis(20)).gap(), Duration::from_millis(20));
    }

    #[test]
    fn a_port_is_shown_as_a_url() {
        assert_eq!(Serial::rtu("/dev/ttyS0").to_string(), "rtu:///dev/ttyS0");
        let port = Serial::ascii("/dev/ttyS0").with_data_bits(DataBits::Eight).with_stop_bits(StopBits::Two);
        assert_eq!(port.to_string(), "ascii:///dev/ttyS0?data=8&stop=2");
        let port = Serial::rtu("COM3").with_gap(Duration::from_millis(5)).with_local_echo(true);
        assert_eq!(port.to_string(), "rtu://COM3?gap=5ms&echo=true");
        let port = Serial::rtu("COM3").with_rts(Rts::On).with_turnaround(Duration::from_millis(1));
        assert_eq!(port.to_string(), "rtu://COM3?rts=on&turnaround=1ms");
    }
}
