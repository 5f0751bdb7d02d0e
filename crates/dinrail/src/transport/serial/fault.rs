//! Why a port cannot be had, in words that say what to do.

use std::fmt;
use std::io;

use super::Serial;

/// What is said in place of the system's own words, which name neither the port nor the mend.
#[derive(Debug)]
struct PortFault(String);

impl fmt::Display for PortFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PortFault {}

/// Whether this is about a serial port, and says all there is to say.
pub(crate) fn is_port_fault(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<PortFault>())
}

pub(super) fn fault(kind: io::ErrorKind, what: impl Into<String>) -> io::Error {
    io::Error::new(kind, PortFault(what.into()))
}

/// What the system says when a port is opened.
pub(super) fn cannot_open(port: &Serial, error: &tokio_serial::Error) -> io::Error {
    use tokio_serial::ErrorKind;
    let path = port.path();
    match error.kind() {
        ErrorKind::Io(io::ErrorKind::NotFound) => fault(
            io::ErrorKind::NotFound,
            format!("there is no {path}; is the adapter plugged in, and is that its name?"),
        ),
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => fault(
            io::ErrorKind::PermissionDenied,
            format!(
                "{path} may not be opened by this user; join the group that owns it and log in again, as a rule: \
                 sudo usermod -aG dialout $USER"
            ),
        ),
        ErrorKind::NoDevice => fault(
            io::ErrorKind::ResourceBusy,
            format!("{path} is in use; stop the program that has it open, which `fuser {path}` names"),
        ),
        _ => fault(io::ErrorKind::Other, format!("{path} cannot be set up as {port}: {}", error.description)),
    }
}
