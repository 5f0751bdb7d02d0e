//! Ending a connection whose peer is silent. A system goes on sending what it was given long after the socket was closed:
//! a write that everybody believes to be lost could still be done when the cable is put back.

use std::any::Any;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use super::Stream;
#[cfg(feature = "tls")]
use super::TlsStream;

/// Has the system throw away, when the stream is dropped, what it has not delivered yet. For TCP, alone or below TLS; other
/// streams are left as they are.
pub(crate) fn forget_unsent(stream: &dyn Stream) {
    let any: &dyn Any = stream;
    if let Some(boxed) = any.downcast_ref::<Box<dyn Stream>>() {
        return forget_unsent(&**boxed);
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = any.downcast_ref::<TlsStream<TcpStream>>() {
        return forget_unsent(tls.below());
    }
    if let Some(socket) = any.downcast_ref::<TcpStream>() {
        // A socket that cannot do that has ended already.
        let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }
}
