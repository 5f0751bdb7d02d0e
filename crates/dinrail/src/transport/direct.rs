//! Bytes out of a socket and into it, by the shortest way to the system.
//!
//! The C library lets a thread be cancelled while it reads or writes, and as soon as a process has a second thread pays two
//! locked instructions for that, each way: two per cent of a request. Nobody cancels threads here. On Linux the system is
//! asked directly; elsewhere by the standard library, which does the same.

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::AsFd;

    use rustix::net::{RecvFlags, SendFlags, recv, send};
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    #[inline]
    pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(socket, buffer, RecvFlags::empty())?.1)
    }

    #[inline]
    pub(crate) fn transmit(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(socket, bytes, SendFlags::NOSIGNAL)?)
    }

    #[inline]
    pub(crate) fn try_transmit(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        socket.try_io(Interest::WRITABLE, || transmit(socket, bytes))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io::{self, Read, Write};

    use tokio::net::TcpStream;

    pub(crate) fn receive(mut socket: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
        socket.read(buffer)
    }

    pub(crate) fn transmit(mut socket: impl Write, bytes: &[u8]) -> io::Result<usize> {
        socket.write(bytes)
    }

    pub(crate) fn try_transmit(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        socket.try_write(bytes)
    }
}

/// Takes what has come, at most as much as there is room for; 0 when the peer has closed.
pub(crate) use self::system::receive;
/// Sends as much as there is room for. A peer that has gone is an error, and no signal.
pub(crate) use self::system::transmit;
/// As [`transmit`], into a socket of the runtime, if that is known to take bytes just now.
pub(crate) use self::system::try_transmit;
