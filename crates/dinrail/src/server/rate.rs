//! A limit on requests a second for each address, shared by all its connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// The limits of all addresses that are connected.
pub(super) struct Rates {
    /// Nanoseconds that a request costs.
    cost: u64,
    peers: Mutex<HashMap<IpAddr, Weak<Rate>>>,
}

/// The limit of one address: the generic cell rate algorithm, which allows a second's worth at once.
pub(super) struct Rate {
    cost: u64,
    /// When everything taken so far is paid for, in nanoseconds of the server's clock.
    paid_until: AtomicU64,
}

impl Rates {
    pub(super) fn new(a_second: u32) -> Self {
        Self { cost: 1_000_000_000 / u64::from(a_second.max(1)), peers: Mutex::new(HashMap::new()) }
    }

    /// The limit of `address`; made when its first connection asks, forgotten when the last one has gone.
    pub(super) fn of(&self, address: IpAddr) -> Arc<Rate> {
        let mut peers = self.peers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(rate) = peers.get(&address).and_then(Weak::upgrade) {
            return rate;
        }
        peers.retain(|_, rate| rate.strong_count() > 0);
        let rate = Arc::new(Rate { cost: self.cost, paid_until: AtomicU64::new(0) });
        peers.insert(address, Arc::downgrade(&rate));
        rate
    }
}

impl Rate {
    /// Takes `requests`, and returns how long to wait before reading more.
    pub(super) fn take(&self, requests: u64, now: Duration) -> Duration {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let cost = self.cost.saturating_mul(requests);
        let next = |paid: u64| paid.max(now).saturating_add(cost);
        let paid = match self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| Some(next(paid))) {
            Ok(paid) | Err(paid) => next(paid),
        };
        Duration::from_nanos(paid.saturating_sub(now).saturating_sub(1_000_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_requests_passes_at_once_and_then_each_waits_its_turn() {
        let rate = Rates::new(10).of(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(rate.take(10, Duration::ZERO), Duration::ZERO);
        assert_eq!(rate.take(1, Duration::ZERO), Duration::from_millis(100));
        assert_eq!(rate.take(1, Duration::from_secs(1)), Duration::ZERO + Duration::from_millis(0));
        assert_eq!(rate.take(20, Duration::from_secs(100)), Duration::from_secs(1));
    }

    #[test]
    fn connections_of_one_address_share_a_limit_until_the_last_is_gone() {
        let rates = Rates::new(1);
        let address = IpAddr::from([127, 0, 0, 1]);
        let first = rates.of(address);
        assert!(Arc::ptr_eq(&first, &rates.of(address)));
        first.take(5, Duration::ZERO);
        drop(first);
        assert_eq!(rates.of(address).take(1, Duration::ZERO), Duration::ZERO);
    }
}
