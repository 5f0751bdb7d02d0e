//! The blocking watch: an iterator of changes.

use std::time::Duration;

use tokio::runtime::Handle;

use super::Client;
use super::runtime::wait;
use crate::point::{Point, Reader};
use crate::watch::{Change, Changes};

/// Reads points again and again, as [`crate::watch::Watch`], on the process's thread. It is an iterator of what changes,
/// and waits for each; it ends when nothing is watched any more. It stops when it is dropped.
///
/// ```no_run
/// use std::time::Duration;
/// use dinrail::Area;
/// use dinrail::blocking::{Client, Watch};
/// use dinrail::point::Point;
///
/// let level = Point::new("level", Area::InputRegister, 0);
/// for change in Watch::new(&Client::connect("plc")?).every(Duration::from_secs(1), [level]) {
///     println!("{change}");
/// }
/// # Ok::<(), dinrail::Error>(())
/// ```
#[derive(Debug)]
pub struct Watch {
    inner: crate::watch::Watch,
    runtime: &'static Handle,
}

impl Watch {
    /// Watches points of this device; none yet.
    pub fn new(client: &Client) -> Self {
        Self { inner: crate::watch::Watch::new(client.as_async().clone()), runtime: client.runtime() }
    }

    /// Reads these points as well, each `period`.
    #[must_use = "dropping it stops it"]
    pub fn every(self, period: Duration, points: impl Into<Vec<Point>>) -> Self {
        let _inside = self.runtime.enter();
        Self { inner: self.inner.every(period, points), ..self }
    }

    /// Reads what this reader reads as well, as [`crate::watch::Watch::reading`].
    #[must_use = "dropping it stops it"]
    pub fn reading(self, period: Duration, reader: Reader) -> Self {
        let _inside = self.runtime.enter();
        Self { inner: self.inner.reading(period, reader), ..self }
    }

    /// The next change, if there is one within this time; it is not lost if it comes later.
    pub fn next_within(&mut self, time: Duration) -> Option<Change> {
        let inner = &mut self.inner;
        wait(self.runtime, async move { tokio::time::timeout(time, inner.next()).await.ok().flatten() })
    }

    /// The present state of every point that has been read or failed to be.
    pub fn image(&self) -> Vec<Change> {
        self.inner.image()
    }

    /// Another one that is told the changes, in asynchronous code.
    pub fn subscribe(&self) -> Changes {
        self.inner.subscribe()
    }

    /// Stops. When this returns nothing is read any more.
    pub fn stop(self) {
        wait(self.runtime, self.inner.stop());
    }
}

impl Iterator for Watch {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        wait(self.runtime, self.inner.next())
    }
}
