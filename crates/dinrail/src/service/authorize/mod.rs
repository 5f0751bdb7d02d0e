//! Who may do what (SEC ): a layer in front of any service that refuses, with exception 0x01 and before
//! anything is done, what no rule allows.
//!
//! It asks for nothing but the call, so it works on every transport. The role comes from the client's certificate; on
//! transports without one nobody has a role, and only rules for anyone apply.

#[cfg(feature = "rules-file")]
mod file;
mod rules;

#[cfg(test)]
mod tests;

use std::fmt;

use tracing::info;

pub use self::rules::{Access, Rule, Rules};
use super::{Call, Reply, Service};
use crate::proto::{ExceptionCode, UnitId};

/// A service behind [`Rules`]; [`Service::with_rules`] makes it.
pub struct Authorize<S> {
    service: S,
    rules: Rules,
}

impl<S> Authorize<S> {
    pub(super) fn new(service: S, rules: Rules) -> Self {
        Self { service, rules }
    }

    /// The rules that decide.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The reply to a call that is refused.
    #[inline]
    fn refuse(&self, call: &Call<'_>) -> Option<Reply> {
        let code = self.rules.check(call).err()?;
        let peer = call.peer();
        info!(
            target: "dinrail::server",
            server = peer.server.as_deref().map(tracing::field::display), %peer,
            role = peer.role.as_deref(), unit = %call.unit(), function = call.pdu().first(),
            "refused with exception {code}: no rule allows it"
        );
        Some(Reply::Exception(code))
    }
}

impl<S: Service> Service for Authorize<S> {
    #[inline]
    fn call_now(&self, call: &mut Call<'_>) -> Option<Reply> {
        match self.refuse(call) {
            None => self.service.call_now(call),
            refused => refused,
        }
    }

    fn served_units(&self) -> Option<Vec<UnitId>> {
        self.service.served_units()
    }

    fn allows(&self, call: &Call<'_>) -> Result<(), ExceptionCode> {
        match self.refuse(call) {
            Some(Reply::Exception(code)) => Err(code),
            _ => self.service.allows(call),
        }
    }

    async fn call(&self, call: Call<'_>) -> Reply {
        match self.refuse(&call) {
            None => self.service.call(call).await,
            Some(refused) => refused,
        }
    }
}

impl<S> fmt::Debug for Authorize<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize").field("rules", &self.rules).finish_non_exhaustive()
    }
}
