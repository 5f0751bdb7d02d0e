//! Watching: groups of points read at rates of their own, and what has changed of them.
//!
//! ```no_run
//! use std::time::Duration;
//! use dinrail::point::{Deadband, Point};
//! use dinrail::watch::Watch;
//! use dinrail::{Area, Client};
//!
//! # async fn run() -> Result<(), dinrail::Error> {
//! let fast = [Point::new("level", Area::InputRegister, 0).with_deadband(Deadband::Absolute(2.0))];
//! let slow = [Point::new("hours", Area::HoldingRegister, 40), Point::new("alarm", Area::Coil, 3)];
//! let client = Client::connect("plc").await?;
//! let mut watch = Watch::new(client)
//!     .every(Duration::from_millis(200), fast)
//!     .every(Duration::from_secs(10), slow);
//! while let Some(change) = watch.next().await {
//!     println!("{change}"); // level = 120
//! }
//! # Ok(()) }
//! ```
//!
//! - A device that is away does not end it: its points become stale, and good again once it is back.
//! - Whoever takes changes slowly misses some in between and never the latest: a point that has changed twice is told
//!   once. So nothing piles up, however long nobody asks.
//! - A [subscriber](Watch::subscribe) is told the present state of every point first, however late it comes.
//! - Readings keep their rate: what is due while one still goes on is left out, and the next is on time.

mod change;
mod image;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

pub use self::change::{Change, Quality};
use self::image::Image;
use crate::point::{Point, Reader};
use crate::{Client, Error};

/// Reads points again and again, and tells what has changed. It stops when it is dropped, and closes the connection if it
/// has the only handle on it.
pub struct Watch {
    client: Client,
    groups: JoinSet<()>,
    changes: Changes,
}

impl Watch {
    /// Watches points of this device; none yet.
    pub fn new(client: Client) -> Self {
        Self { client, groups: JoinSet::new(), changes: Changes::of(Arc::new(Image::new())) }
    }

    /// Reads these points as well, now and then each `period` (at least a millisecond). Groups of one device take turns.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use = "dropping it stops it"]
    pub fn every(self, period: Duration, points: impl Into<Vec<Point>>) -> Self {
        let reader = Reader::new(self.client.clone(), points);
        self.reading(period, reader)
    }

    /// Reads what this reader reads as well: with another cost or other limits, or from another device.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use = "dropping it stops it"]
    pub fn reading(mut self, period: Duration, reader: Reader) -> Self {
        let group = Group::new(self.changes.image.clone(), reader.points());
        self.groups.spawn(poll(group, period, reader));
        self
    }

    /// The next change; at first the state of each point once it has been read. `None` when there will be no more: nothing
    /// is watched, or the client was closed. Dropping the call loses nothing.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.next().await
    }

    /// Another one that is told the changes: the present state of every point first.
    pub fn subscribe(&self) -> Changes {
        Changes::of(self.changes.image.clone())
    }

    /// The present state of every point that has been read or failed to be, in the order in which they were given.
    pub fn image(&self) -> Vec<Change> {
        self.changes.image()
    }

    /// Stops. When this returns nothing is read any more, and the connection is closed if this had the only handle on it.
    pub async fn stop(mut self) {
        self.groups.shutdown().await;
    }
}

/// Reads a group until the client is closed.
async fn poll(group: Group, period: Duration, mut reader: Reader) {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let values = reader.read().await;
        let is_closed = values.iter().any(|value| matches!(value, Err(Error::Closed { .. })));
        group.image.update(group.first, values);
        if is_closed {
            return;
        }
    }
}

/// A group of points in the image, as long as it is read.
struct Group {
    image: Arc<Image>,
    first: usize,
}

impl Group {
    fn new(image: Arc<Image>, points: &[Point]) -> Self {
        let first = image.begin(points);
        Self { image, first }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.image.end();
    }
}

/// What has changed, for one who wants to know.
#[derive(Clone)]
pub struct Changes {
    image: Arc<Image>,
    bell: watch::Receiver<()>,
    /// The version of the last change that was told.
    seen: u64,
}

impl Changes {
    fn of(image: Arc<Image>) -> Self {
        let bell = image.bell();
        Self { image, bell, seen: 0 }
    }

    /// The next change; `None` when there will be no more, since the watch has stopped. Dropping the call loses nothing.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            // What comes after the look at the image rings again.
            self.bell.borrow_and_update();
            // Asked first: once it has ended, nothing is added to the image.
            let has_ended = self.image.has_ended();
            match self.image.after(self.seen) {
                Some((version, change)) => {
                    self.seen = version;
                    return Some(change);
                }
                None if has_ended => return None,
                // The image has the bell, so it is there.
                None => self.bell.changed().await.ok()?,
            }
        }
    }

    /// The present state of every point, as [`Watch::image`].
    pub fn image(&self) -> Vec<Change> {
        self.image.all()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("client", &self.client).field("groups", &self.groups.len()).finish()
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("seen", &self.seen).finish_non_exhaustive()
    }
}
