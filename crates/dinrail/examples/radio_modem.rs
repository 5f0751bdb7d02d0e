//! A serial line over something of one's own: RTU frames through a radio modem, which takes at most 16 bytes a packet and
//! puts their number before them. `cargo run --example radio_modem`
//!
//! What is between the program and the air is a stream: bytes that are written become packets, packets become bytes again.
//! That is all there is to say; the RTU frames inside come in pieces, and are found by their lengths.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use dinrail::client::{self, Client};
use dinrail::proto::Framing;
use dinrail::proto::adu::{CustomLength, LengthRule};
use dinrail::server::{self, serve_listener};
use dinrail::service::{Memory, Peer, Service as _};
use dinrail::transport::{Burst, Connect, Listener};
use dinrail::{Error, FunctionCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The most bytes that one packet carries.
const PACKET: usize = 16;

/// A function of the modem's maker. RTU frames do not say how long they are, so this does: both ways there is a byte count
/// behind the function code.
const SIGNAL: FunctionCode = FunctionCode::new(0x42).expect("between 1 and 127");
static LENGTHS: &[CustomLength] = &[CustomLength::new(SIGNAL, LengthRule::ByteCountAt(1), LengthRule::ByteCountAt(1))];

/// A stream whose bytes travel in packets over another stream; here TCP plays the modem.
struct Packets<S> {
    modem: S,
    /// How many bytes of the packet that comes are still to come.
    coming: usize,
    /// What of the packet that goes is still to go.
    going: Vec<u8>,
}

impl<S> Packets<S> {
    fn over(modem: S) -> Self {
        Self { modem, coming: 0, going: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Packets<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.coming == 0 {
            let mut number = [0];
            let mut header = ReadBuf::new(&mut number);
            ready!(Pin::new(&mut this.modem).poll_read(cx, &mut header))?;
            if header.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.coming = number[0].into();
        }
        let room = this.coming.min(buffer.remaining());
        let mut payload = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.modem).poll_read(cx, &mut payload))?;
        let came = payload.filled().len();
        buffer.advance(came);
        this.coming -= came;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Packets<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.going.is_empty() {
            match ready!(Pin::new(&mut self.modem).poll_write(cx, &self.going))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                gone => drop(self.going.drain(..gone)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Packets<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let taken = &bytes[..bytes.len().min(PACKET)];
        self.going.push(taken.len() as u8);
        self.going.extend_from_slice(taken);
        // What the modem does not take now, it takes later: these bytes are ours.
        let _ = self.poll_send(cx)?;
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.modem).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.modem).poll_shutdown(cx)
    }
}

/// The client's end: calls the modem of a station.
struct Radio(String);

impl Connect for Radio {
    type Stream = Packets<TcpStream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        TcpStream::connect(&self.0).await.map(Packets::over)
    }

    fn framing(&self) -> Framing {
        Framing::Rtu
    }

    /// Packets come when the air lets them, so a silence means nothing.
    fn burst(&self) -> Burst {
        Burst::Never
    }
}

/// Names the peer in errors.
impl fmt::Display for Radio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the station behind the modem at {}", self.0)
    }
}

/// The server's end: stations that call. Its burst is the same, as it is unless implemented.
struct Calls(TcpListener);

impl Listener for Calls {
    type Stream = Packets<TcpStream>;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, address) = self.0.accept().await?;
        Ok((Packets::over(stream), Peer::at(address)))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (sum, signal) = converse().await?;
    println!("100 registers through packets of {PACKET} bytes, their sum is {sum}; the signal is {signal:?}");
    Ok(())
}

/// Writes and reads far more than a packet holds, and asks the maker's function.
pub async fn converse() -> Result<(u32, Vec<u8>), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let modem = listener.local_addr()?.to_string();
    let service = Memory::new().with_function(SIGNAL, async |_| Ok(vec![2, 0xD8, 0xFF])); // two bytes: -40 dBm
    let options = server::Options::default().with_framing(Framing::Rtu).with_custom_lengths(LENGTHS);
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { stopped.await.unwrap_or_default() };
    let server = tokio::spawn(serve_listener(Calls(listener), service, options, shutdown));

    let options = client::Options::default().with_custom_lengths(LENGTHS);
    let client = Client::connect_with(Radio(modem), options).await?;
    client.write_registers(0, &(1..=100).collect::<Vec<u16>>()).await?;
    let registers = client.read_holding_registers(0, 100).await?;
    let signal = client.custom(SIGNAL, &[0]).await?;

    let _ = stop.send(());
    server.await.map_err(io::Error::from)??;
    Ok((registers.into_iter().map(u32::from).sum(), signal))
}
