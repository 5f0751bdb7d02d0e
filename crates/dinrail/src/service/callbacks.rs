//! Servers from plain closures: one that reads, one that writes, each sync or async.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Range;

use super::{DataModel, Failure, IntoValues, Peer, Target, Values};
use crate::proto::pdu::{Bits, BitsMut, Registers, RegistersMut};
use crate::proto::{Area, ExceptionCode, UnitId};

/// What a client wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Read {
    /// Coils, discrete inputs, holding or input registers.
    pub area: Area,
    /// The first address, 0-based, as on the wire.
    pub address: u16,
    /// How many items, at least 1; `address + count` is at most 65536.
    pub count: u16,
    /// The unit that is asked.
    pub unit: UnitId,
    /// Who asks.
    pub peer: Peer,
}

impl Read {
    /// The addresses as indices, for slices.
    pub fn range(&self) -> Range<usize> {
        let start = usize::from(self.address);
        start..start + usize::from(self.count)
    }
}

impl From<Target<'_>> for Read {
    fn from(target: Target<'_>) -> Self {
        let Target { area, address, count, unit, peer } = target;
        Self { area, address, count, unit, peer: peer.clone() }
    }
}

/// What a client wants to write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// Coils or holding registers.
    pub area: Area,
    /// The first address, 0-based, as on the wire.
    pub address: u16,
    /// Bits for coils, registers for holding registers; at least one.
    pub values: Values,
    /// The unit that is asked.
    pub unit: UnitId,
    /// Who asks.
    pub peer: Peer,
}

impl Write {
    /// The addresses as indices, for slices.
    pub fn range(&self) -> Range<usize> {
        let start = usize::from(self.address);
        start..start + self.values.len()
    }
}

/// A server from two closures.
///
/// `on_read` is given a [`Read`] and returns as many values as it asks for: a `Vec<u16>` or `Vec<bool>`, an array, or
/// [`Values`], which need no heap. `on_write` is given a [`Write`]; the client is told "done" when it has returned `Ok`,
/// and not before. Each may be a plain closure or one that returns a future. Both return `Result<_, Failure>`: `?` turns
/// any error into a [`Failure`], and an [`ExceptionCode`] into that exception.
///
/// A plain closure runs on the thread that serves the connection and must not block: wrap one that does in [`blocking`].
///
/// ```
/// use dinrail::service::{Failure, Read, Write, callbacks};
///
/// let sync = callbacks(|read: Read| Ok(vec![0u16; read.count.into()]), |_: Write| Ok(()));
/// let waiting = callbacks(
///     |read: Read| async move { Ok(vec![0u16; read.count.into()]) },
///     |write: Write| async move { Err(Failure::message(format!("cannot write to {}", write.address))) },
/// );
/// # fn service(_: impl dinrail::Service) {}
/// # service(sync);
/// # service(waiting);
/// ```
pub fn callbacks<R, W, RM, WM>(on_read: R, on_write: W) -> Callbacks<R, W, (RM, WM)>
where
    R: OnRead<RM>,
    W: OnWrite<WM>,
{
    Callbacks { on_read, on_write, kinds: PhantomData }
}

/// A server from one closure that reads; every write is refused with exception 0x01. See [`callbacks`].
pub fn read_only<R, RM>(on_read: R) -> Callbacks<R, NoWrites, (RM, Sync)>
where
    R: OnRead<RM>,
{
    callbacks(on_read, NoWrites)
}

/// Makes a closure that blocks (a database driver, a file) into one for [`callbacks`]: it runs on tokio's threads for
/// blocking work, and the server goes on with other connections meanwhile.
///
/// ```
/// use dinrail::service::{Read, Write, blocking, callbacks};
///
/// let service = callbacks(
///     blocking(|read: Read| {
///         let text = std::fs::read_to_string("/proc/loadavg")?;
///         Ok(vec![text.len() as u16; read.count.into()])
///     }),
///     blocking(|_: Write| Ok(())),
/// );
/// # fn check(_: impl dinrail::Service) {}
/// # check(service);
/// ```
pub fn blocking<A, T, F>(callback: F) -> impl Fn(A) -> Blocking<T> + Send + std::marker::Sync + 'static
where
    A: Send + 'static,
    T: Send + 'static,
    F: Fn(A) -> Result<T, Failure> + Send + std::marker::Sync + 'static,
{
    let callback = std::sync::Arc::new(callback);
    move |argument| {
        let callback = callback.clone();
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || callback(argument)).await {
                Ok(result) => result,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => Err(Failure::from(error)),
                },
            }
        })
    }
}

/// The future of a [`blocking`] callback.
pub type Blocking<T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// The service that [`callbacks`] makes.
#[derive(Clone, Debug)]
pub struct Callbacks<R, W, K> {
    on_read: R,
    on_write: W,
    kinds: PhantomData<fn() -> K>,
}

/// Marks a plain closure.
#[derive(Debug)]
pub enum Sync {}
/// Marks a closure that returns a future.
#[derive(Debug)]
pub enum Async {}

/// A closure that can answer reads; see [`callbacks`]. `K` tells plain closures from those that return a future.
pub trait OnRead<K>: Send + std::marker::Sync + 'static {
    /// Whether the answer is there at once.
    const IMMEDIATE: bool;
    /// What the closure gives.
    type Values: IntoValues;
    /// Asks the closure.
    fn read(&self, read: Read) -> impl Future<Output = Result<Self::Values, Failure>> + Send;
}

impl<F, V> OnRead<Sync> for F
where
    F: Fn(Read) -> Result<V, Failure> + Send + std::marker::Sync + 'static,
    V: IntoValues + Send,
{
    const IMMEDIATE: bool = true;
    type Values = V;

    fn read(&self, read: Read) -> impl Future<Output = Result<V, Failure>> + Send {
        std::future::ready(self(read))
    }
}

impl<F, T, V> OnRead<Async> for F
where
    F: Fn(Read) -> T + Send + std::marker::Sync + 'static,
    T: Future<Output = Result<V, Failure>> + Send,
    V: IntoValues + Send,
{
    const IMMEDIATE: bool = false;
    type Values = V;

    fn read(&self, read: Read) -> impl Future<Output = Result<V, Failure>> + Send {
        self(read)
    }
}

/// A closure that can take writes; see [`callbacks`]. `K` tells plain closures from those that return a future.
pub trait OnWrite<K>: Send + std::marker::Sync + 'static {
    /// Whether the answer is there at once.
    const IMMEDIATE: bool;
    /// Tells the closure.
    fn write(&self, write: Write) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl<F> OnWrite<Sync> for F
where
    F: Fn(Write) -> Result<(), Failure> + Send + std::marker::Sync + 'static,
{
    const IMMEDIATE: bool = true;

    fn write(&self, write: Write) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(self(write))
    }
}

impl<F, T> OnWrite<Async> for F
where
    F: Fn(Write) -> T + Send + std::marker::Sync + 'static,
    T: Future<Output = Result<(), Failure>> + Send,
{
    const IMMEDIATE: bool = false;

    fn write(&self, write: Write) -> impl Future<Output = Result<(), Failure>> + Send {
        self(write)
    }
}

/// Refuses every write with exception 0x01.
#[derive(Clone, Copy, Debug)]
pub struct NoWrites;

impl OnWrite<Sync> for NoWrites {
    const IMMEDIATE: bool = true;

    fn write(&self, _: Write) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Err(ExceptionCode::IllegalFunction.into()))
    }
}

impl<R, W, RM, WM> DataModel for Callbacks<R, W, (RM, WM)>
where
    R: OnRead<RM>,
    W: OnWrite<WM>,
    RM: 'static,
    WM: 'static,
{
    async fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> Result<(), Failure> {
        self.on_read.read(target.into()).await?.write_bits(out).map_err(|found| wrong_shape(&target, found))
    }

    async fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> Result<(), Failure> {
        self.on_read.read(target.into()).await?.write_registers(out).map_err(|found| wrong_shape(&target, found))
    }

    fn write_bits(&self, target: Target<'_>, values: Bits<'_>) -> impl Future<Output = Result<(), Failure>> + Send {
        self.on_write.write(write_of(target, values.into()))
    }

    fn write_registers(
        &self,
        target: Target<'_>,
        values: Registers<'_>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        self.on_write.write(write_of(target, values.into()))
    }

    fn is_immediate(&self) -> bool {
        R::IMMEDIATE && W::IMMEDIATE
    }
}

fn write_of(target: Target<'_>, values: Values) -> Write {
    let Target { area, address, unit, peer, .. } = target;
    Write { area, address, values, unit, peer: peer.clone() }
}

/// A callback that returns the wrong number or kind of values must not make a malformed frame.
fn wrong_shape(target: &Target<'_>, found: Option<usize>) -> Failure {
    let Target { area, address, count, .. } = target;
    let kind = if area.is_bits() { "bits" } else { "registers" };
    Failure::message(match found {
        Some(found) => format!("the read callback returned {found} {kind} for {count} from {area} {address}"),
        None => format!("the read callback returned values that are no {kind} for {count} from {area} {address}"),
    })
}
