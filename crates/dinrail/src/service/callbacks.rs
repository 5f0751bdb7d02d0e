//! Servers from plain closures: one that reads, one that writes, each sync or async.

use std::future::{Future, ready};
use std::marker::PhantomData;
use std::ops::Range;

use super::{DataModel, Failure, IntoValues, Peer, Store, Target, Values, ValuesMut, model, store};
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
    #[inline]
    fn from(target: Target<'_>) -> Self {
        let Target { area, address, count, unit, peer } = target;
        Self { area, address, count, unit, peer: peer.alone() }
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
/// [`Values`], which need no heap; or it is given a [`ValuesMut`] as well and sets them in place, the cheapest way. `on_write` is given a [`Write`]; the client is told "done" when it has returned `Ok`,
/// and not before. Each may be a plain closure or one that returns a future. Both return `Result<_, Failure>`: `?` turns
/// any error into a [`Failure`], and an [`ExceptionCode`] into that exception.
///
/// A plain closure runs on the thread that serves the connection and must not block: wrap one that does in [`blocking`].
///
/// ```
/// use dinrail::service::{Failure, Read, ValuesMut, Write, callbacks};
///
/// let sync = callbacks(|read: Read| Ok(vec![0u16; read.count.into()]), |_: Write| Ok(()));
/// let table = [7u16; 0x1_0000];
/// let in_place = callbacks(
///     move |read: Read, out: &mut ValuesMut<'_>| out.set(&table[read.range()]),
///     |_: Write| Ok(()),
/// );
/// let waiting = callbacks(
///     |read: Read| async move { Ok(vec![0u16; read.count.into()]) },
///     |write: Write| async move { Err(Failure::message(format!("cannot write to {}", write.address))) },
/// );
/// # fn service(_: impl dinrail::Service) {}
/// # service(sync);
/// # service(in_place);
/// # service(waiting);
/// ```
pub fn callbacks<R, W, RM, WM>(on_read: R, on_write: W) -> Callbacks<R, W, (RM, WM)>
where
    R: OnRead<RM>,
    W: OnWrite<WM>,
{
    Callbacks { on_read, on_write, kinds: PhantomData }
}

/// A server from one closure that reads; every write is refused with exception 0x01, and the closure is not asked for it.
/// See [`callbacks`].
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

/// The service that [`callbacks`] makes; `K` says of what kinds the closures are.
#[derive(Clone, Debug)]
pub struct Callbacks<R, W, K> {
    on_read: R,
    on_write: W,
    kinds: PhantomData<fn() -> K>,
}

/// Marks a plain closure.
#[derive(Debug)]
pub enum Sync {}
/// Marks a plain closure that writes its values in place.
#[derive(Debug)]
pub enum InPlace {}
/// Marks a closure that returns a future.
#[derive(Debug)]
pub enum Async {}

type Done = Result<(), Failure>;

/// A closure that can answer reads; see [`callbacks`]. `K` tells the kinds apart.
pub trait OnRead<K>: Send + std::marker::Sync + 'static {
    /// Asks the closure, and gives what it returns to `out`.
    fn read(&self, read: Read, out: &mut ValuesMut<'_>) -> impl Future<Output = Done> + Send;
}

/// A closure that can answer reads at once.
pub trait ReadNow<K>: OnRead<K> {
    /// Asks the closure. The [`Read`] is made only here, next to the closure: what that does not look at is not made.
    fn read_now(&self, target: Target<'_>, out: &mut ValuesMut<'_>) -> Done;
}

impl<F, V> ReadNow<Sync> for F
where
    F: Fn(Read) -> Result<V, Failure> + Send + std::marker::Sync + 'static,
    V: IntoValues,
{
    #[inline]
    fn read_now(&self, target: Target<'_>, out: &mut ValuesMut<'_>) -> Done {
        // Looked at where they are: the values are too large to be moved about.
        let answer = self(target.into());
        if let Ok(values) = &answer {
            return out.set(values);
        }
        answer.map(drop)
    }
}

impl<F, V> OnRead<Sync> for F
where
    F: Fn(Read) -> Result<V, Failure> + Send + std::marker::Sync + 'static,
    V: IntoValues,
{
    fn read(&self, read: Read, out: &mut ValuesMut<'_>) -> impl Future<Output = Done> + Send {
        ready(self(read).and_then(|values| out.set(&values)))
    }
}

impl<F> ReadNow<InPlace> for F
where
    F: Fn(Read, &mut ValuesMut<'_>) -> Done + Send + std::marker::Sync + 'static,
{
    #[inline]
    fn read_now(&self, target: Target<'_>, out: &mut ValuesMut<'_>) -> Done {
        self(target.into(), out)
    }
}

impl<F> OnRead<InPlace> for F
where
    F: Fn(Read, &mut ValuesMut<'_>) -> Done + Send + std::marker::Sync + 'static,
{
    fn read(&self, read: Read, out: &mut ValuesMut<'_>) -> impl Future<Output = Done> + Send {
        ready(self(read, out))
    }
}

impl<F, T, V> OnRead<Async> for F
where
    F: Fn(Read) -> T + Send + std::marker::Sync + 'static,
    T: Future<Output = Result<V, Failure>> + Send,
    V: IntoValues + Send,
{
    fn read(&self, read: Read, out: &mut ValuesMut<'_>) -> impl Future<Output = Done> + Send {
        let values = self(read);
        async move { values.await.and_then(|values| out.set(&values)) }
    }
}

/// A closure that can take writes; see [`callbacks`]. `K` tells the kinds apart.
pub trait OnWrite<K>: Send + std::marker::Sync + 'static {
    /// Whether it refuses every write, so that FC 22 and 23 are refused before anything is read for them.
    #[doc(hidden)]
    const REFUSES: bool = false;

    /// Tells the closure.
    fn write(&self, write: Write) -> impl Future<Output = Done> + Send;
}

/// A closure that can take writes at once.
pub trait WriteNow: OnWrite<Sync> {
    /// Tells the closure.
    fn write_now(&self, write: Write) -> Done;
}

impl<F> WriteNow for F
where
    F: Fn(Write) -> Done + Send + std::marker::Sync + 'static,
{
    #[inline(always)] // see write_of
    fn write_now(&self, write: Write) -> Done {
        self(write)
    }
}

impl<F> OnWrite<Sync> for F
where
    F: Fn(Write) -> Done + Send + std::marker::Sync + 'static,
{
    fn write(&self, write: Write) -> impl Future<Output = Done> + Send {
        ready(self(write))
    }
}

impl<F, T> OnWrite<Async> for F
where
    F: Fn(Write) -> T + Send + std::marker::Sync + 'static,
    T: Future<Output = Done> + Send,
{
    fn write(&self, write: Write) -> impl Future<Output = Done> + Send {
        self(write)
    }
}

/// Refuses every write with exception 0x01.
#[derive(Clone, Copy, Debug)]
pub struct NoWrites;

impl WriteNow for NoWrites {
    fn write_now(&self, _: Write) -> Done {
        Err(ExceptionCode::IllegalFunction.into())
    }
}

impl OnWrite<Sync> for NoWrites {
    const REFUSES: bool = true;

    fn write(&self, _: Write) -> impl Future<Output = Done> + Send {
        ready(Err(ExceptionCode::IllegalFunction.into()))
    }
}

/// Two plain closures answer at once.
macro_rules! store {
    ($($kinds:ty: $read:ty;)*) => {
        $(impl<R: ReadNow<$read>, W: WriteNow> Store for Callbacks<R, W, $kinds> {
            #[inline]
            fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> Done {
                self.on_read.read_now(target, &mut ValuesMut::Bits(out.reborrow()))
            }

            #[inline]
            fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> Done {
                self.on_read.read_now(target, &mut ValuesMut::Registers(out.reborrow()))
            }

            #[inline]
            fn write_bits(&self, target: Target<'_>, values: Bits<'_>) -> Done {
                self.on_write.write_now(write_of(target, |write| write.set_bits(values)))
            }

            #[inline]
            fn write_registers(&self, target: Target<'_>, values: Registers<'_>) -> Done {
                self.on_write.write_now(write_of(target, |write| write.set_registers(values)))
            }

            fn mask_write(&self, target: Target<'_>, and_mask: u16, or_mask: u16) -> Done {
                not_refused::<W, Sync>()?;
                store::mask_write(self, target, and_mask, or_mask)
            }

            fn read_write_registers(
                &self,
                read: Target<'_>,
                out: &mut RegistersMut<'_>,
                write: Target<'_>,
                values: Registers<'_>,
            ) -> Done {
                not_refused::<W, Sync>()?;
                store::read_write_registers(self, read, out, write, values)
            }
        })*
    };
}

store! {
    (Sync, Sync): Sync;
    (InPlace, Sync): InPlace;
}

/// With one that returns a future, the answer may have to be waited for.
macro_rules! data_model {
    ($($kinds:ty: $read:ty, $write:ty;)*) => {
        $(impl<R: OnRead<$read>, W: OnWrite<$write>> DataModel for Callbacks<R, W, $kinds> {
            async fn read_bits(&self, target: Target<'_>, out: &mut BitsMut<'_>) -> Done {
                self.on_read.read(target.into(), &mut ValuesMut::Bits(out.reborrow())).await
            }

            async fn read_registers(&self, target: Target<'_>, out: &mut RegistersMut<'_>) -> Done {
                self.on_read.read(target.into(), &mut ValuesMut::Registers(out.reborrow())).await
            }

            async fn write_bits(&self, target: Target<'_>, values: Bits<'_>) -> Done {
                self.on_write.write(write_of(target, |write| write.set_bits(values))).await
            }

            async fn write_registers(&self, target: Target<'_>, values: Registers<'_>) -> Done {
                self.on_write.write(write_of(target, |write| write.set_registers(values))).await
            }

            async fn mask_write(&self, target: Target<'_>, and_mask: u16, or_mask: u16) -> Done {
                not_refused::<W, $write>()?;
                model::mask_write(self, target, and_mask, or_mask).await
            }

            async fn read_write_registers(
                &self,
                read: Target<'_>,
                out: &mut RegistersMut<'_>,
                write: Target<'_>,
                values: Registers<'_>,
            ) -> Done {
                not_refused::<W, $write>()?;
                model::read_write_registers(self, read, out, write, values).await
            }
        })*
    };
}

data_model! {
    (Sync, Async): Sync, Async;
    (InPlace, Async): InPlace, Async;
    (Async, Sync): Async, Sync;
    (Async, Async): Async, Async;
}

/// FC 22 and 23 read as well: where every write is refused, they are before that.
fn not_refused<W: OnWrite<K>, K>() -> Done {
    if W::REFUSES { Err(ExceptionCode::IllegalFunction.into()) } else { Ok(()) }
}

/// Filled in place, and by code that is inlined: the values are too large to be moved about, and a copy of what has
/// just been written in pieces costs more than all the rest of a write.
#[inline(always)]
fn write_of(target: Target<'_>, fill: impl FnOnce(&mut Values)) -> Write {
    let Target { area, address, unit, peer, .. } = target;
    let mut write = Write { area, address, values: Values::none(), unit, peer: peer.alone() };
    fill(&mut write.values);
    write
}
