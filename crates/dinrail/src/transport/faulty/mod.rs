//! A bad line on purpose: to see what a client or a server does when bytes are late, lost, broken or doubled, and to
//! repeat it exactly.

mod faults;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use self::faults::Faults;
use super::shaped::{Piece, Shape, Shaped};
use super::{Connect, Direction, Listener, Stream};
use crate::service::Peer;

/// How far apart the pieces of a split write are.
const APART: Duration = Duration::from_millis(1);
/// How long a write waits for another one to merge with.
const PATIENCE: Duration = Duration::from_millis(20);

/// A [`Connect`] or a [`Listener`] whose connections are bad lines.
///
/// ```
/// # async fn run() -> Result<(), dinrail::Error> {
/// use dinrail::Client;
/// use dinrail::transport::{Faults, Faulty, Tcp};
///
/// let faults: Faults = "delay=5ms..20ms,drop=1%,seed=7".parse()?;
/// let client = Client::connect_with(Faulty::new(Tcp::from("127.0.0.1:5020"), faults), Default::default()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Faulty<T> {
    inner: T,
    faults: Faults,
    /// Connections made so far.
    made: AtomicU64,
}

impl<T> Faulty<T> {
    /// Connections of `inner`, with these faults.
    pub fn new(inner: T, faults: Faults) -> Self {
        Self { inner, faults, made: AtomicU64::new(0) }
    }

    /// What is wrapped.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    pub(crate) fn spoil<S: Stream>(&self, stream: S) -> FaultyStream<S> {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        let seed = Chance(self.faults.seed.wrapping_add(made)).next();
        FaultyStream::new(stream, self.faults.clone().with_seed(if made == 0 { self.faults.seed } else { seed }))
    }
}

impl<T> Faulty<T> {
    /// The same line around something else.
    pub(crate) fn around<U>(&self, inner: U) -> Faulty<U> {
        Faulty::new(inner, self.faults.clone())
    }
}

/// The same line, from its beginning.
impl<T: Clone> Clone for Faulty<T> {
    fn clone(&self) -> Self {
        self.around(self.inner.clone())
    }
}

impl<T: Connect> Connect for Faulty<T> {
    type Stream = FaultyStream<T::Stream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        Ok(self.spoil(self.inner.connect().await?))
    }

    async fn connect_within(&self, limit: Duration) -> io::Result<Self::Stream> {
        Ok(self.spoil(self.inner.connect_within(limit).await?))
    }

    forward_connect!(inner);
}

impl<T: fmt::Display> fmt::Display for Faulty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: Listener> Listener for Faulty<T> {
    type Stream = FaultyStream<T::Stream>;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, peer) = self.inner.accept().await?;
        Ok((self.spoil(stream), peer))
    }

    forward_listener!(inner);
}

/// A stream that is a bad line.
pub struct FaultyStream<S>(Shaped<S, Spoiler>);

impl<S: Stream> FaultyStream<S> {
    /// Spoils what passes through `stream`.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer: delays need one.
    pub fn new(stream: S, faults: Faults) -> Self {
        let chance = Chance(faults.seed);
        Self(Shaped::new(stream, Spoiler { faults, chance }))
    }
}

impl<S> fmt::Debug for FaultyStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStream").finish_non_exhaustive()
    }
}

impl<S: Stream> AsyncRead for FaultyStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: Stream> AsyncWrite for FaultyStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// Deals out the faults.
struct Spoiler {
    faults: Faults,
    chance: Chance,
}

impl Shape for Spoiler {
    fn pass(&mut self, _: Direction, bytes: &[u8], out: &mut Vec<Piece>) {
        let Self { faults, chance } = self;
        if chance.happens(faults.drop) {
            return;
        }
        let times = if chance.happens(faults.duplicate) { 2 } else { 1 };
        for _ in 0..times {
            let mut copy = Vec::with_capacity(bytes.len());
            for byte in bytes {
                if chance.happens(faults.lose) {
                    continue;
                }
                let flipped = if chance.happens(faults.flip) { 1 << chance.below(8) } else { 0 };
                copy.push(byte ^ flipped);
            }
            let delay = chance.between(faults.delay.start, faults.delay.end);
            if chance.happens(faults.split) {
                split(copy, delay, chance, out);
            } else {
                let joins = chance.happens(faults.merge);
                let delay = if joins { delay + PATIENCE } else { delay };
                out.push(Piece { delay, bytes: copy, joins });
            }
        }
    }

    fn echoes(&self) -> bool {
        self.faults.echo
    }
}

fn split(mut bytes: Vec<u8>, delay: Duration, chance: &mut Chance, out: &mut Vec<Piece>) {
    let cuts = 1 + chance.below(3);
    let mut delay = delay;
    for _ in 0..cuts {
        if bytes.len() < 2 {
            break;
        }
        let rest = bytes.split_off(1 + chance.below(bytes.len() as u64 - 1) as usize);
        out.push(Piece { delay, bytes, joins: false });
        bytes = rest;
        delay += APART;
    }
    out.push(Piece { delay, bytes, joins: false });
}

/// Chance that is the same for a seed in every version: a random number crate promises that for no generator it may
/// change, and a seed in a bug report must stay good. SplitMix64 (Steele, Lea and Flood 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to below 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.fraction() < probability
    }

    /// A number below `end`, which is small.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        if least >= most { least } else { least + (most - least).mul_f64(self.fraction()) }
    }
}
