//! Sockets that speak over one network interface alone, whatever the routes say: for machines that have the plant's network
//! on one and the office's on another.

use std::io;

use super::fault::fault;

/// Binds a socket to the interface of this name.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
pub(crate) fn bind_to(socket: &socket2::SockRef<'_>, interface: &str) -> io::Result<()> {
    // The system would cut what is longer.
    const LONGEST: usize = 15;
    let missing = || {
        let what = format!("there is no network interface {interface:?}; `ip link` lists those there are");
        Err(fault(io::ErrorKind::InvalidInput, what))
    };
    if interface.is_empty() || interface.len() > LONGEST || interface.contains(char::is_whitespace) {
        return missing();
    }
    match socket.bind_device(Some(interface.as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(fault(
            io::ErrorKind::PermissionDenied,
            format!(
                "this user may not bind a socket to the network interface {interface}; grant CAP_NET_RAW, or name the \
                 interface's address instead (Linux 5.7 and later need no grant)"
            ),
        )),
        Err(error) if error.raw_os_error() == Some(ENODEV) => missing(),
        bound => bound,
    }
}

/// "No such device", on every architecture of Linux.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const ENODEV: i32 = 19;

/// Binding to an interface by its name is Linux's; elsewhere its address does as well, nearly.
#[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
pub(crate) fn bind_to(_: &socket2::SockRef<'_>, interface: &str) -> io::Result<()> {
    let what = format!(
        "sockets can be bound to a network interface on Linux and Android only; name an address of {interface} instead"
    );
    Err(fault(io::ErrorKind::Unsupported, what))
}
