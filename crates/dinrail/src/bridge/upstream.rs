//! Where points really live: the trait of an upstream, and asking several of its points at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use crate::point::Point;
use crate::proto::value::Value;
use crate::service::Failure;

/// Something of the application's own that has points: a controller, a broker, a database.
///
/// Values are typed as the [`Point`] says: a point with a scale is a float, a coil is a bit. What is returned may be any
/// number that the point can hold. A call that takes too long is dropped where it waits.
pub trait Upstream: Send + Sync + 'static {
    /// What the point is at this moment.
    fn read(&self, point: &Point) -> impl Future<Output = Result<Value, Failure>> + Send;

    /// Writes the point, and returns once that is done: the master is told so then.
    fn write(&self, point: &Point, value: Value) -> impl Future<Output = Result<(), Failure>> + Send;

    /// How many reads of one request may be asked at once; 16 unless implemented. Requests of other masters come
    /// beside them.
    fn concurrency(&self) -> usize {
        16
    }

    /// Reads the points that one request wants of this upstream, at most 125 at a time: a result for each, in their order.
    /// As it stands they are [read](Self::read) side by side; an upstream that can answer all with one question does so.
    fn read_many(&self, points: &[&Point]) -> impl Future<Output = Vec<Result<Value, Failure>>> + Send {
        gather(points.iter().map(|point| self.read(point)), self.concurrency())
    }
}

impl<U: Upstream> Upstream for Arc<U> {
    fn read(&self, point: &Point) -> impl Future<Output = Result<Value, Failure>> + Send {
        (**self).read(point)
    }

    fn write(&self, point: &Point, value: Value) -> impl Future<Output = Result<(), Failure>> + Send {
        (**self).write(point, value)
    }

    fn concurrency(&self) -> usize {
        (**self).concurrency()
    }

    fn read_many(&self, points: &[&Point]) -> impl Future<Output = Vec<Result<Value, Failure>>> + Send {
        (**self).read_many(points)
    }
}

pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An upstream of whatever type.
pub(super) trait AnyUpstream: Send + Sync {
    fn read_many<'a>(&'a self, points: &'a [&'a Point]) -> Answer<'a, Vec<Result<Value, Failure>>>;
    fn write<'a>(&'a self, point: &'a Point, value: Value) -> Answer<'a, Result<(), Failure>>;
}

impl<U: Upstream> AnyUpstream for U {
    fn read_many<'a>(&'a self, points: &'a [&'a Point]) -> Answer<'a, Vec<Result<Value, Failure>>> {
        Box::pin(Upstream::read_many(self, points))
    }

    fn write<'a>(&'a self, point: &'a Point, value: Value) -> Answer<'a, Result<(), Failure>> {
        Box::pin(Upstream::write(self, point, value))
    }
}

/// Waits for all of them, `at_once` at a time, and keeps their order.
pub(super) async fn gather<F>(futures: impl Iterator<Item = F> + Send, at_once: usize) -> Vec<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let mut waiting = futures;
    let mut results: Vec<Option<F::Output>> = Vec::new();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut pump = |cx: &mut std::task::Context<'_>| {
        loop {
            while running.len() < at_once.max(1) {
                let Some(future) = waiting.next() else { break };
                running.push((results.len(), Box::pin(future)));
                results.push(None);
            }
            let before = running.len();
            running.retain_mut(|(index, future)| match future.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    results[*index] = Some(result);
                    false
                }
                Poll::Pending => true,
            });
            match running.len() {
                0 if before == 0 => return Poll::Ready(()),
                after if after == before => return Poll::Pending,
                _ => {} // there is room for others
            }
        }
    };
    poll_fn(&mut pump).await;
    results.into_iter().flatten().collect()
}
