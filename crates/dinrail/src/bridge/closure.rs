//! Closures that read or write one point: plain or async, with a value of the type that suits them.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use super::upstream::{AnyUpstream, Upstream};
use crate::point::{Point, number, whole};
use crate::proto::value::{Text, Value};
use crate::service::Failure;

/// Marks a plain closure, which answers at once.
#[derive(Debug)]
pub enum Now {}
/// Marks a closure that returns a future.
#[derive(Debug)]
pub enum Later {}

/// How a point is read.
pub struct Reading(pub(super) Read);

pub(super) enum Read {
    Now(Box<dyn Fn() -> Result<Value, Failure> + Send + Sync>),
    Later(Arc<dyn AnyUpstream>),
}

/// How a point is written.
pub struct Writing {
    pub(super) write: Write,
    pub(super) takes: Takes,
}

/// Whether a closure takes such a value, and what it takes.
pub(super) type Takes = (fn(&Value) -> bool, &'static str);

pub(super) enum Write {
    Now(Box<dyn Fn(Value) -> Result<(), Failure> + Send + Sync>),
    Later(Arc<dyn AnyUpstream>),
}

/// A closure that reads a point: it takes nothing and returns `Result<V, Failure>`, where `V` is a number, a `bool`, a
/// [`Text`] or a [`Value`], or a future of that. `K` tells the kinds apart.
pub trait IntoReading<K> {
    /// The closure as a way to read.
    fn into_reading(self) -> Reading;
}

impl<F, V> IntoReading<Now> for F
where
    F: Fn() -> Result<V, Failure> + Send + Sync + 'static,
    V: Into<Value>,
{
    fn into_reading(self) -> Reading {
        Reading(Read::Now(Box::new(move || self().map(Into::into))))
    }
}

impl<F, T, V> IntoReading<Later> for F
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<V, Failure>> + Send + 'static,
    V: Into<Value> + Send + 'static,
{
    fn into_reading(self) -> Reading {
        Reading(Read::Later(Arc::new(Reader(self))))
    }
}

/// A closure that writes a point: it takes a value and returns `Result<(), Failure>`, or a future of that. `K` tells the
/// kinds apart.
pub trait IntoWriting<K> {
    /// The closure as a way to write.
    fn into_writing(self) -> Writing;
}

impl<F, V> IntoWriting<(Now, V)> for F
where
    F: Fn(V) -> Result<(), Failure> + Send + Sync + 'static,
    V: FromValue,
{
    fn into_writing(self) -> Writing {
        let write = move |value: Value| self(taken(&value)?);
        Writing { write: Write::Now(Box::new(write)), takes: (is_taken::<V>, V::WHAT) }
    }
}

impl<F, T, V> IntoWriting<(Later, V)> for F
where
    F: Fn(V) -> T + Send + Sync + 'static,
    T: Future<Output = Result<(), Failure>> + Send + 'static,
    V: FromValue + Send + 'static,
{
    fn into_writing(self) -> Writing {
        let write = Write::Later(Arc::new(Writer(self, PhantomData::<fn(V)>)));
        Writing { write, takes: (is_taken::<V>, V::WHAT) }
    }
}

/// What a closure that writes can take.
pub trait FromValue: Sized {
    /// What it is, for messages.
    const WHAT: &'static str;

    /// The value as this type; `None` when it does not fit.
    fn from_value(value: &Value) -> Option<Self>;
}

fn is_taken<V: FromValue>(value: &Value) -> bool {
    V::from_value(value).is_some()
}

fn taken<V: FromValue>(value: &Value) -> Result<V, Failure> {
    V::from_value(value).ok_or_else(|| Failure::message(format!("{value} is not {}", V::WHAT)))
}

impl FromValue for Value {
    const WHAT: &'static str = "any value";

    fn from_value(value: &Value) -> Option<Self> {
        Some(*value)
    }
}

impl FromValue for bool {
    const WHAT: &'static str = "a bit";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bit(on) => Some(*on),
            _ => None,
        }
    }
}

impl FromValue for f64 {
    const WHAT: &'static str = "a number";

    fn from_value(value: &Value) -> Option<Self> {
        number(value)
    }
}

impl FromValue for String {
    const WHAT: &'static str = "text in UTF-8";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => text.as_str().map(str::to_owned),
            _ => None,
        }
    }
}

impl FromValue for Text {
    const WHAT: &'static str = "text";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(*text),
            _ => None,
        }
    }
}

macro_rules! from_whole {
    ($($type:ty: $what:literal;)*) => {$(
        impl FromValue for $type {
            const WHAT: &'static str = $what;

            fn from_value(value: &Value) -> Option<Self> {
                whole(value)?.try_into().ok()
            }
        }
    )*};
}

from_whole! {
    u16: "a whole number from 0 to 65535";
    i16: "a whole number from -32768 to 32767";
    u32: "a whole number of 32 bits";
    i32: "a whole number of 32 bits with a sign";
    u64: "a whole number of 64 bits";
    i64: "a whole number of 64 bits with a sign";
}

/// A closure as the upstream of one point.
struct Reader<F>(F);

impl<F, T, V> Upstream for Reader<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<V, Failure>> + Send + 'static,
    V: Into<Value> + Send + 'static,
{
    async fn read(&self, _: &Point) -> Result<Value, Failure> {
        self.0().await.map(Into::into)
    }

    async fn write(&self, point: &Point, _: Value) -> Result<(), Failure> {
        Err(Failure::message(format!("{point} is only read")))
    }
}

/// The other way round.
struct Writer<F, V>(F, PhantomData<fn(V)>);

impl<F, T, V> Upstream for Writer<F, V>
where
    F: Fn(V) -> T + Send + Sync + 'static,
    T: Future<Output = Result<(), Failure>> + Send + 'static,
    V: FromValue + Send + 'static,
{
    async fn read(&self, point: &Point) -> Result<Value, Failure> {
        Err(Failure::message(format!("{point} is only written")))
    }

    async fn write(&self, _: &Point, value: Value) -> Result<(), Failure> {
        self.0(taken(&value)?).await
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self.0, Read::Now(_)) { "Reading(at once)" } else { "Reading" })
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self.write, Write::Now(_)) { "Writing(at once)" } else { "Writing" })
    }
}
