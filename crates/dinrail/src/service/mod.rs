//! Who answers: everything that a server can serve is a [`Service`].
//!
//! A server owns no data. It hands each request to a service, and the reply carries what the service says happened. A
//! pair of closures ([`callbacks`]), a store ([`Memory`], [`Sparse`]), a router by unit id ([`Units`]) and a
//! [`Client`](crate::Client), which makes a forwarding gateway, are all services; so is any [`DataModel`] of your own.

mod authorize;
mod call;
mod callbacks;
mod custom;
mod erased;
mod failure;
mod fifos;
mod files;
mod identity;
mod mapped;
mod memory;
mod model;
mod paced;
mod part;
mod shifted;
mod sparse;
mod status;
mod store;
mod units;
mod values;

use std::future::Future;

pub use self::authorize::{Access, Authorize, Rule, Rules};
pub use self::call::{Call, Peer, Reply, Written};
pub use self::callbacks::{
    Blocking, Callbacks, NoWrites, OnRead, OnWrite, Read, ReadNow, Write, WriteNow, blocking, callbacks, read_only,
};
pub use self::custom::{Custom, CustomCall};
pub use self::erased::BoxService;
pub use self::failure::Failure;
pub use self::fifos::Fifos;
pub use self::files::Files;
pub use self::identity::{DeviceIdentity, Identified};
pub use self::mapped::{MapReply, MapRequest};
pub use self::memory::Memory;
pub use self::model::{DataModel, FileRange, Target};
pub use self::paced::Paced;
pub use self::part::{Part, WithPart};
pub use self::shifted::Shifted;
pub use self::sparse::Sparse;
pub use self::status::{ExceptionStatus, ServerId, StatusCoils};
pub use self::store::Store;
pub use self::units::Units;
pub use self::values::{IntoValues, Values, ValuesMut};
use crate::client::RateLimit;
use crate::proto::{ExceptionCode, FunctionCode, Pdu, UnitId};

/// Answers requests. `call` is told everything about one request and says what happened.
///
/// Implement [`DataModel`] instead when what you serve is the four areas: then every check of the specification is done
/// for you. Implement `Service` to answer whole PDUs: routers, gateways, layers.
///
/// A panic in a service is caught: the request is answered with exception 0x04, and the server lives on.
pub trait Service: Send + Sync + 'static {
    /// Answers one request.
    fn call(&self, call: Call<'_>) -> impl Future<Output = Reply> + Send;

    /// Answers one request at once, if that can be done without waiting; `None`, with nothing done, to be asked by
    /// [`call`](Self::call). It is asked first, and what it answers costs no future and no heap allocation. A service
    /// that cannot answer at once need not implement it.
    fn call_now(&self, _call: &mut Call<'_>) -> Option<Reply> {
        None
    }

    /// The units that it answers for; `None`, as it is unless implemented, for all or when it cannot say. Where other
    /// devices share a line, a server goes by this and keeps quiet about their units.
    fn served_units(&self) -> Option<Vec<UnitId>> {
        None
    }

    /// Whether a server may do what is asked in the service's stead: diagnostics (FC 8, 11 and 12), where
    /// [`Options::diagnostics`](crate::server::Options::diagnostics) has the server answer them. Allowed unless a layer
    /// such as [`Authorize`] says otherwise; layers of your own pass it on.
    ///
    /// # Errors
    /// The exception to refuse it with.
    fn allows(&self, _call: &Call<'_>) -> Result<(), ExceptionCode> {
        Ok(())
    }

    /// The same service behind one type, to be kept in collections; cloning it shares the service.
    fn boxed(self) -> BoxService
    where
        Self: Sized,
    {
        BoxService::new(self)
    }

    /// Answers Read Device Identification (FC 43 / 14) from `identity`, and everything else from `self`.
    fn with_identity(self, identity: DeviceIdentity) -> Identified<Self>
    where
        Self: Sized,
    {
        Identified::new(self, identity)
    }

    /// Refuses with exception 0x01, before anything is done, what no rule allows.
    fn with_rules(self, rules: Rules) -> Authorize<Self>
    where
        Self: Sized,
    {
        Authorize::new(self, rules)
    }

    /// Answers the function `code` by `handler`, and everything else from `self`. The handler is given the bytes behind
    /// the function code and returns those of the reply, at most 252 of them. For RTU, say how long its requests and replies
    /// are: [`Options::custom_lengths`](crate::server::Options::custom_lengths), the same on both sides.
    fn with_function<F>(self, code: FunctionCode, handler: F) -> Custom<Self, F>
    where
        Self: Sized,
        F: CustomCall,
    {
        Custom::new(self, code, handler)
    }

    /// Answers what `part` answers ([`Files`], [`Fifos`], [`ServerId`], [`ExceptionStatus`], or a [`Part`] of your own), and
    /// everything else from `self`.
    fn with_part<P: Part>(self, part: P) -> WithPart<Self, P>
    where
        Self: Sized,
    {
        WithPart::new(self, part)
    }

    /// Answers Read Exception Status (FC 7) from the eight coils that begin at `first`, at most 65528, as controllers do
    /// that have coils for it.
    fn with_status_coils(self, first: u16) -> StatusCoils<Self>
    where
        Self: Sized,
    {
        StatusCoils::new(self, first)
    }

    /// Asks `self` for the address `a + offset` when a client names the address `a`. With 1, address 0 on the wire is
    /// address 1 of the service, for data that is counted from 1; with -1 the first address on the wire is 1. What lies
    /// outside 0 to 65535 then is exception 0x02. It holds for the four areas and for the queues of FC 24.
    fn with_offset(self, offset: i32) -> Shifted<Self>
    where
        Self: Sized,
    {
        Shifted::new(self, offset)
    }

    /// Asks `self` no faster than `limit` says; requests wait for their turn. For gateways: several servers in front of one
    /// device may share the limit.
    fn paced(self, limit: RateLimit) -> Paced<Self>
    where
        Self: Sized,
    {
        Paced::new(self, limit)
    }

    /// Asks `self` what `map` makes of each request: the same PDU, another one, or none, which drops the request: it is
    /// not answered then.
    fn map_request<F>(self, map: F) -> MapRequest<Self, F>
    where
        Self: Sized,
        F: Fn(&Call<'_>) -> Option<Pdu> + Send + Sync + 'static,
    {
        MapRequest::new(self, map)
    }

    /// Answers what `map` makes of each reply. It is given the request and the reply's PDU, which may be an exception
    /// (function code and 0x80, exception code) or `None` for no reply, and returns what is to be answered.
    ///
    /// It is meant for simulators, and for devices whose answers need mending: nobody checks that the reply fits the
    /// request.
    fn map_reply<F>(self, map: F) -> WithPart<Self, MapReply<F>>
    where
        Self: Sized,
        F: Fn(&Call<'_>, Option<Pdu>) -> Option<Pdu> + Send + Sync + 'static,
    {
        self.with_part(MapReply::new(map))
    }
}
