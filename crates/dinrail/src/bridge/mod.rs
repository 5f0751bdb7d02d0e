//! Bridges to what is not Modbus: a [`PointMap`] ties addresses to points of the application's own, wherever they live: a
//! building controller, a broker, a database.
//!
//! The master is told what happened there. A write is answered when the upstream has taken it, and not before; what the
//! upstream refuses is the exception that the master sees.
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//!
//! use dinrail::bridge::PointMap;
//! use dinrail::point::Point;
//! use dinrail::proto::value::DataType;
//! use dinrail::service::Failure;
//! use dinrail::{Area, Client, Server};
//!
//! static SETPOINT: AtomicU32 = AtomicU32::new(200); // tenths of a degree, the application's
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), dinrail::Error> {
//! let setpoint = Point::new("setpoint", Area::HoldingRegister, 0).with_type(DataType::F32);
//! let map = PointMap::builder()
//!     .bind(
//!         setpoint,
//!         || Ok(f64::from(SETPOINT.load(Relaxed)) / 10.0),
//!         |degrees: f64| match degrees {
//!             5.0..=30.0 => Ok(SETPOINT.store((degrees * 10.0) as u32, Relaxed)),
//!             _ => Err(Failure::message(format!("{degrees} degrees are not allowed"))), // 0x04, and a record in the log
//!         },
//!     )
//!     .bind_read_only(Point::new("pump", Area::Coil, 0), || async { Ok(true) })
//!     .build()?;
//!
//! let server = Server::tcp("127.0.0.1:0", map);
//! let client = Client::connect(server.start().await?).await?;
//! client.write_registers(0, &[0x41AC, 0]).await?; // 21.5
//! assert_eq!(SETPOINT.load(Relaxed), 215);
//! assert!(client.write_registers(0, &[0x42C8, 0]).await.is_err()); // 100.0
//! # Ok(())
//! # }
//! ```

mod answer;
mod closure;
mod failure;
mod table;
mod upstream;

use std::fmt;
use std::time::Duration;

pub use self::closure::{FromValue, IntoReading, IntoWriting, Later, Now, Reading, Writing};
use self::table::Table;
pub use self::upstream::Upstream;
use crate::Error;
use crate::point::Point;

/// A service that answers from points of the application's own, each of which has an area and an address.
///
/// - What no point is bound to is exception 0x02, and so is a range with a gap, a write to a point that is only read, and
///   a read of one that is only written. Nothing is asked or written then.
/// - A point of several registers is written as a whole: a write that holds half of it is 0x02. A read of a part of it is
///   0x02 as well, unless [`with_partial_reads`](PointMapBuilder::with_partial_reads) says otherwise.
/// - A request that writes several points writes one after the other, in the order of their addresses. The first failure
///   ends it and is what the master is told; points before it have been written, and the log names them.
/// - Points that are read by one request are read at the same time, as far as their [`Upstream`] allows.
/// - Writes to one point are done one at a time, and FC 22 is one step: no other write comes between its reading and its
///   writing. Bits of a register that are points of their own are written alone, without reading the others.
///
/// What the master is told when an upstream does not do what was asked:
///
/// | the upstream's failure | exception | log |
/// |---|---|---|
/// | an [`ExceptionCode`](crate::ExceptionCode) | that one | nothing |
/// | an [`Error`] of a [`Client`](crate::Client) | the device's; 0x0A, 0x0B | nothing |
/// | cannot be reached: an `io::Error` such as "connection refused" | 0x0A | a warning |
/// | did not answer: timeouts, "connection reset" | 0x0B | a warning |
/// | busy: "resource busy", "would block" | 0x06 | a warning |
/// | any other error, and a value that the point does not hold (NaN in an integer, text that is too long) | 0x04 | an error |
///
/// It answers every unit; [`Units`](crate::service::Units) gives each unit a map of its own.
pub struct PointMap {
    table: Table,
    deadline: Option<Duration>,
}

impl PointMap {
    /// A map without points, to be bound to some.
    pub fn builder() -> PointMapBuilder {
        PointMapBuilder { table: Table::builder(), deadline: None }
    }

    /// The points, by area and address.
    pub fn points(&self) -> impl Iterator<Item = &Point> + '_ {
        self.table.points()
    }
}

impl fmt::Debug for PointMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.points().map(|point| &point.name).collect();
        f.debug_struct("PointMap").field("points", &names).field("deadline", &self.deadline).finish()
    }
}

/// Makes a [`PointMap`].
pub struct PointMapBuilder {
    table: table::Builder,
    deadline: Option<Duration>,
}

impl PointMapBuilder {
    /// Binds a point to a closure that reads it and one that writes it.
    ///
    /// `read` takes nothing and returns a value, `write` takes one: a number, a `bool`, a `String` or a
    /// [`Value`](crate::proto::value::Value). Each may be a plain closure, which must not block, or return a future. A
    /// number is converted as [`Client::write_point`](crate::Client::write_point) does.
    #[must_use]
    pub fn bind<R, W, RK, WK>(mut self, point: Point, read: R, write: W) -> Self
    where
        R: IntoReading<RK>,
        W: IntoWriting<WK>,
    {
        self.table.bind(point, Some(read.into_reading()), Some(write.into_writing()));
        self
    }

    /// As [`bind`](Self::bind), for a point that is only read.
    #[must_use]
    pub fn bind_read_only<R: IntoReading<K>, K>(mut self, point: Point, read: R) -> Self {
        self.table.bind(point, Some(read.into_reading()), None);
        self
    }

    /// As [`bind`](Self::bind), for a point that is only written.
    #[must_use]
    pub fn bind_write_only<W: IntoWriting<K>, K>(mut self, point: Point, write: W) -> Self {
        self.table.bind(point, None, Some(write.into_writing()));
        self
    }

    /// Ties points to an upstream that reads and writes them. To tie it to others as well, give it in an `Arc`.
    #[must_use]
    pub fn attach(mut self, points: impl IntoIterator<Item = Point>, upstream: impl Upstream) -> Self {
        self.table.attach(points, upstream, true);
        self
    }

    /// As [`attach`](Self::attach), for points that are only read.
    #[must_use]
    pub fn attach_read_only(mut self, points: impl IntoIterator<Item = Point>, upstream: impl Upstream) -> Self {
        self.table.attach(points, upstream, false);
        self
    }

    /// Whether a read may hold a part of a point; not so unless set. The part is taken from one reading of the point, but a
    /// master that asks for the other part later may put two values together.
    #[must_use]
    pub fn with_partial_reads(mut self, allowed: bool) -> Self {
        self.table.partial_reads(allowed);
        self
    }

    /// How long a request may take upstream; without it, for as long as the server's
    /// [`request_deadline`](crate::server::Options::request_deadline). It is answered with 0x0B then, since nobody knows
    /// what became of a write.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The map.
    ///
    /// # Errors
    /// [`Error::Points`] when points overlap (bits of one register may share it), do not lie within 65536 addresses, have
    /// a type that is none, or a closure takes what the point does not hold. The sentence names them.
    pub fn build(self) -> Result<PointMap, Error> {
        let table = self.table.build().map_err(|sentence| Error::Points(sentence.into()))?;
        Ok(PointMap { table, deadline: self.deadline })
    }
}

impl fmt::Debug for PointMapBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PointMapBuilder").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
