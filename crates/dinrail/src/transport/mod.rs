//! What carries frames: any byte stream, a framing, and how a burst ends.
//!
//! [`Connect`] makes the client's end of a stream, [`Listener`] the server's. Implement them to run over a transport of
//! your own.

#[macro_use]
mod forward;

mod address;
pub(crate) mod direct;
mod endpoint;
mod fault;
mod faulty;
mod forget;
mod interface;
mod listener;
mod query;
mod rewrite;
#[cfg(feature = "serial")]
mod serial;
mod shaped;
mod tap;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
pub(crate) mod udp;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use self::endpoint::{BadUrl, Endpoint};
pub(crate) use self::fault::{fault, says_all};
pub use self::faulty::{Faults, Faulty, FaultyStream};
pub(crate) use self::forget::forget_unsent;
pub(crate) use self::interface::bind_to;
pub use self::listener::{Listener, TcpListener};
pub use self::rewrite::{Rewrite, Rewritten};
#[cfg(feature = "serial")]
pub use self::serial::{DataBits, Parity, Rts, Serial, SerialPort, StopBits};
#[cfg(feature = "capture")]
pub use self::tap::{Captured, Pcapng};
pub use self::tap::{Frame, Garbage, Kind, Link, Passed, Role, Sink, Tap, Tapped, Trace};
pub use self::tcp::Tcp;
#[cfg(feature = "tls")]
pub(crate) use self::tls::part;
#[cfg(feature = "tls")]
pub use self::tls::{ClientAuth, ServerTls, Tls, TlsOptions, TlsStream, TlsVersion};
pub use self::udp::{Udp, UdpStream};
use crate::proto::Framing;
/// The TLS that is built on, for configurations of your own.
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;

/// How one tells that no more bytes of a frame will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Burst {
    /// One does not: a frame may come in any pieces (TCP). A server gives a part of a frame half a second more (ASCII: a
    /// second). It waits for the rest where nothing but the length says where a frame ends: Modbus TCP, bare PDUs, framings of one's own.
    Never,
    /// By a silence of this length: serial lines, t3.5 (SL 2.5.1.1). Frames that are sent keep the same distance. What
    /// is whole by then is taken; a part of a frame is given 50 ms more (ASCII: a second, SL 2.5.2.1), since USB adapters
    /// hand out a frame in pieces with pauses of up to 16 ms.
    Silence(Duration),
    /// Each read brings whole frames (datagrams).
    EachRead,
}

/// How long the rest of a frame may be in coming, on a line where silence ends one.
pub(crate) fn patience(framing: Framing) -> Duration {
    Duration::from_millis(if framing == Framing::Ascii { 1000 } else { 50 })
}

/// What is said when a connect timeout has passed.
fn nobody_answered(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("nobody answered within {limit:?}"))
}

/// Which way bytes go, as seen from the program that has the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the peer.
    Sent,
    /// From the peer.
    Received,
}

/// A bidirectional byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Any + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Where a client connects to, and how frames travel there. Its `Display` names the peer in errors.
pub trait Connect: fmt::Display + Send + Sync + 'static {
    /// What a connection is.
    type Stream: Stream;

    /// Makes a connection. It is dropped when the client's connect timeout has passed.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Makes a connection within this time, or fails. This is what a client calls. Where there are several ways to try,
    /// each is to have its share of the time; unless that is so there is no need to implement it.
    fn connect_within(&self, limit: Duration) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        async move { tokio::time::timeout(limit, self.connect()).await.unwrap_or_else(|_| Err(nobody_answered(limit))) }
    }

    /// How frames are laid on the stream.
    fn framing(&self) -> Framing {
        Framing::Tcp
    }

    /// How a burst ends.
    fn burst(&self) -> Burst {
        Burst::Never
    }

    /// How long one byte takes on a serial line; zero where that does not matter.
    fn byte_time(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether silences are to be kept in real time and as exactly as the system can, which a real line is worth. A
    /// runtime's clock, which tests can stop, is up to 1.4 ms late.
    fn is_real_time(&self) -> bool {
        false
    }

    /// Whether the line repeats what is sent.
    fn has_local_echo(&self) -> bool {
        false
    }
}
