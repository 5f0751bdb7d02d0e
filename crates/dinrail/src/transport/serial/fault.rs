//! Why a port cannot be had, in words that say what to do.

use std::io;

use super::Serial;
use crate::transport::fault::fault;

/// What the system says when a port is opened.
pub(super) fn cannot_open(port: &Serial, error: &tokio_serial::Error) -> io::Error {
    use tokio_serial::ErrorKind;
    let path = port.path();
    match error.kind() {
        ErrorKind::Io(io::ErrorKind::NotFound) => fault(
            io::ErrorKind::NotFound,
            format!("there is no {path}; is the adapter plugged in, and is that its name? {LIST}"),
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

/// How to find the name of a port.
pub(super) const LIST: &str = if cfg!(target_os = "windows") {
    "The device manager lists ports"
} else if cfg!(target_os = "macos") {
    "`ls /dev/cu.*` lists ports"
} else {
    "`ls /dev/tty[AUS]*` lists ports"
};
