//! The present state of all points that are watched, and in which order they have changed.
//!
//! Each change has a version, and each point stands in the order once, by its latest. Whoever knows up to which version
//! it has been told finds the next one without being remembered here: there may be any number of them, as slow as they
//! like.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Change, Quality};
use crate::Error;
use crate::point::Point;
use crate::proto::value::Value;

pub(super) struct Image {
    points: Mutex<Points>,
    /// Rings when something has changed.
    bell: watch::Sender<()>,
}

#[derive(Default)]
struct Points {
    states: Vec<State>,
    /// Versions and the points that have changed with them.
    order: BTreeMap<u64, usize>,
    version: u64,
    /// How many groups are being read.
    groups: usize,
}

struct State {
    point: Arc<Point>,
    /// `None` until it has been read, or has failed to be.
    change: Option<Change>,
    /// The value that was told last: a deadband counts from there.
    told: Option<Value>,
    version: u64,
}

impl Image {
    pub(super) fn new() -> Self {
        Self { points: Mutex::default(), bell: watch::Sender::new(()) }
    }

    fn points(&self) -> MutexGuard<'_, Points> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// These points will be read from now on; the number of the first.
    pub(super) fn begin(&self, points: &[Point]) -> usize {
        let mut all = self.points();
        all.groups += 1;
        let first = all.states.len();
        let state = |point: &Point| State { point: Arc::new(point.clone()), change: None, told: None, version: 0 };
        all.states.extend(points.iter().map(state));
        first
    }

    /// A group is read no more.
    pub(super) fn end(&self) {
        self.points().groups -= 1;
        self.bell.send_replace(());
    }

    pub(super) fn has_ended(&self) -> bool {
        self.points().groups == 0
    }

    /// What a reading of a group has brought.
    pub(super) fn update(&self, first: usize, values: Vec<Result<Value, Error>>) {
        let (time, at) = (SystemTime::now(), Instant::now().into_std());
        let mut points = self.points();
        let before = points.version;
        for (index, value) in (first..).zip(values) {
            points.set(index, value, time, at);
        }
        let changed = points.version > before;
        drop(points);
        if changed {
            self.bell.send_replace(());
        }
    }

    /// The first change behind this version.
    pub(super) fn after(&self, version: u64) -> Option<(u64, Change)> {
        let points = self.points();
        let (version, index) = points.order.range((Bound::Excluded(version), Bound::Unbounded)).next()?;
        Some((*version, points.states[*index].change.clone()?))
    }

    pub(super) fn all(&self) -> Vec<Change> {
        self.points().states.iter().filter_map(|state| state.change.clone()).collect()
    }
}

impl Points {
    fn set(&mut self, index: usize, value: Result<Value, Error>, time: SystemTime, at: std::time::Instant) {
        let state = &mut self.states[index];
        let before = state.change.as_ref();
        let known = before.and_then(|change| change.value);
        let read = before.and_then(|change| change.read);
        let (value, quality, read) = match value {
            Ok(value) => (Some(value), Quality::Good, Some(at)),
            Err(error) => match Quality::after(error, known.is_some()) {
                bad @ Quality::Bad(_) => (None, bad, read),
                quality => (known, quality, read),
            },
        };
        let is_news = before.is_none_or(|before| !before.quality.is_like(&quality))
            || match (&value, &state.told) {
                (Some(value), Some(told)) => state.point.differs(value, told),
                (value, told) => value.is_some() != told.is_some(),
            };
        match &mut state.change {
            Some(change) if !is_news => {
                (change.value, change.quality, change.read) = (value, quality, read);
                return;
            }
            change => *change = Some(Change { index, point: state.point.clone(), value, quality, time, at, read }),
        }
        state.told = value;
        self.order.remove(&state.version);
        self.version += 1;
        state.version = self.version;
        self.order.insert(self.version, index);
    }
}
