//! A serial port that is open.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::{ClearBuffer, SerialPort as _, SerialPortBuilderExt as _, SerialStream};

use super::direction::{Direction, Owner, Wires};
use super::fault::{LIST, cannot_open};
use super::{DataBits, Parity, Serial, StopBits};
use crate::timer::Timer;
use crate::transport::fault::fault;

/// How far a port's speed may be from what was asked for: receivers lose a character's last bit at 4 to 5 %.
const BAUD_TOLERANCE: u64 = 3;

/// An open serial port: what [`Serial`] connects to. It is closed, and free for others, when it is dropped.
pub struct SerialPort {
    stream: SerialStream,
    direction: Option<Direction>,
}

impl SerialPort {
    /// Opens a port; nobody else can open it meanwhile.
    pub(super) fn open(settings: &Serial, server: Option<&str>) -> io::Result<Self> {
        settings.check()?;
        #[cfg(unix)]
        refuse_what_is_no_port(settings)?;
        let builder = tokio_serial::new(settings.path(), settings.baud)
            .data_bits(match settings.data_bits {
                DataBits::Seven => tokio_serial::DataBits::Seven,
                DataBits::Eight => tokio_serial::DataBits::Eight,
            })
            .parity(match settings.parity {
                Parity::None => tokio_serial::Parity::None,
                Parity::Even => tokio_serial::Parity::Even,
                Parity::Odd => tokio_serial::Parity::Odd,
            })
            .stop_bits(match settings.stop_bits {
                StopBits::One => tokio_serial::StopBits::One,
                StopBits::Two => tokio_serial::StopBits::Two,
            });
        let stream = builder.open_native_async().map_err(|error| cannot_open(settings, &error))?;
        // What came before was for nobody, and perhaps at another speed. A port that cannot forget it is none the worse.
        let _ = stream.clear(ClearBuffer::Input);
        if !is_pseudo_terminal(settings.path()) {
            let told = (stream.baud_rate(), stream.data_bits(), stream.parity(), stream.stop_bits());
            verify(settings, told.0.ok(), told.1.ok(), told.2.ok(), told.3.ok())?;
        }
        let direction = settings.rts.map(|rts| {
            let owner = Owner { server: server.map(Into::into), port: settings.to_string().into() };
            Direction::new(rts, settings.turnaround, settings.character(), Timer::exact(), owner)
        });
        let mut port = Self { stream, direction };
        if let Some(direction) = &mut port.direction {
            direction.listen(&mut port.stream);
        }
        Ok(port)
    }
}

#[cfg(unix)]
fn refuse_what_is_no_port(settings: &Serial) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::metadata(settings.path()) {
        Ok(found) if !found.file_type().is_char_device() => {
            Err(fault(io::ErrorKind::InvalidInput, format!("{} is no serial port. {LIST}", settings.path())))
        }
        // Whatever is wrong, opening it says so.
        _ => Ok(()),
    }
}

/// A pseudo terminal takes every setting and has none of them. Linux knows them by their device number.
fn is_pseudo_terminal(path: &str) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(path).is_ok_and(|found| (136..144).contains(&(found.rdev() >> 8 & 0xFFF)))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

/// Holds what the port says of itself against what it was told: many take a setting that they cannot do, and go on with
/// another. What it does not say (`None`) is not held against it.
fn verify(
    settings: &Serial,
    baud: Option<u32>,
    data_bits: Option<tokio_serial::DataBits>,
    parity: Option<tokio_serial::Parity>,
    stop_bits: Option<tokio_serial::StopBits>,
) -> io::Result<()> {
    let refused = |setting: &str, wanted: &dyn fmt::Display, instead: &dyn fmt::Display| {
        let path = settings.path();
        let what = format!("{path} does not do {setting}={wanted}: it took {setting}={instead}; choose another");
        Err(fault(io::ErrorKind::InvalidInput, what))
    };
    if let Some(baud) = baud
        && u64::from(baud.abs_diff(settings.baud)) * 100 > u64::from(settings.baud) * BAUD_TOLERANCE
    {
        return refused("baud", &settings.baud, &baud);
    }
    if let Some(bits) = data_bits
        && u8::from(bits) != settings.data_bits.bits()
    {
        return refused("data", &settings.data_bits.bits(), &u8::from(bits));
    }
    let parity = parity.map(|parity| match parity {
        tokio_serial::Parity::None => Parity::None,
        tokio_serial::Parity::Even => Parity::Even,
        tokio_serial::Parity::Odd => Parity::Odd,
    });
    if let Some(parity) = parity
        && parity != settings.parity
    {
        return refused("parity", &settings.parity.name(), &parity.name());
    }
    if let Some(bits) = stop_bits
        && u8::from(bits) != settings.stop_bits.bits()
    {
        return refused("stop", &settings.stop_bits.bits(), &u8::from(bits));
    }
    Ok(())
}

impl AsyncRead for SerialPort {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for SerialPort {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, direction } = self.get_mut();
        if let Some(direction) = direction {
            ready!(direction.poll_turn(cx, stream));
        }
        let written = ready!(Pin::new(stream).poll_write(cx, buf))?;
        if let Some(direction) = direction {
            direction.wrote(written);
        }
        Poll::Ready(Ok(written))
    }

    /// The system sends what it was given; only who turns the line must wait for that. The stream's own flush would wait
    /// in a system call, and hold up everything else on its thread.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, direction } = self.get_mut();
        if let Some(direction) = direction {
            ready!(direction.poll_finish(cx, stream));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl Wires for SerialStream {
    fn set_rts(&mut self, on: bool) -> io::Result<()> {
        Ok(self.write_request_to_send(on)?)
    }

    fn queued(&self) -> io::Result<u32> {
        Ok(self.bytes_to_write()?)
    }

    fn drain(&mut self) -> io::Result<()> {
        // It has sent all but what the UART holds, so this returns at once, or soon.
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(self).poll_flush(&mut context) {
            Poll::Ready(drained) => drained,
            Poll::Pending => Ok(()),
        }
    }
}

impl Drop for SerialPort {
    /// A line must not be left turned to sending: nobody else could speak on it.
    fn drop(&mut self) {
        if let Some(direction) = &mut self.direction {
            direction.listen(&mut self.stream);
        }
    }
}

impl fmt::Debug for SerialPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerialPort").field("name", &self.stream.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_takes_another_setting_is_refused_by_its_name() {
        let port = Serial::rtu("/dev/ttyUSB0").with_baud(115_200);
        let verify = |baud, bits, parity, stop| verify(&port, Some(baud), Some(bits), Some(parity), Some(stop));
        let (eight, even, one) =
            (tokio_serial::DataBits::Eight, tokio_serial::Parity::Even, tokio_serial::StopBits::One);
        verify(115_200, eight, even, one).expect("as asked for");
        verify(113_636, eight, even, one).expect("1.4 % off, as many a divider");
        let refused = |result: io::Result<()>, setting: &str| {
            let error = result.expect_err("not as asked for");
            let text = error.to_string();
            assert!(text.starts_with(&format!("/dev/ttyUSB0 does not do {setting}: it took ")), "{text}");
        };
        refused(verify(9600, eight, even, one), "baud=115200");
        refused(verify(115_200, tokio_serial::DataBits::Seven, even, one), "data=8");
        refused(verify(115_200, eight, tokio_serial::Parity::None, one), "parity=even");
        refused(verify(115_200, eight, even, tokio_serial::StopBits::Two), "stop=1");
    }

    #[test]
    fn what_cannot_be_is_refused_before_a_port_is_opened() {
        let no_speed = Serial::rtu("/dev/ttyUSB0").with_baud(0).check().expect_err("no speed");
        assert!(no_speed.to_string().contains("baud=0"), "{no_speed}");
        let no_gap = Serial::rtu("/dev/ttyUSB0").with_gap(std::time::Duration::ZERO).check().expect_err("no silence");
        assert!(no_gap.to_string().contains("gap=0"), "{no_gap}");
        Serial::ascii("/dev/ttyUSB0").with_gap(std::time::Duration::ZERO).check().expect("ASCII needs no silence");
    }
}
