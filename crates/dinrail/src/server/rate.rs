//! A limit on requests a second for each address, shared by all its connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// How many addresses without a connection are kept in mind. Beyond it (somebody forges them) new ones are not answered.
const MAX_SENDERS: usize = 16 * 1024;

/// The limits of all addresses that are connected.
pub(super) struct Rates {
    /// Nanoseconds that a request costs.
    cost: u64,
    peers: Mutex<HashMap<IpAddr, Weak<Rate>>>,
    senders: Mutex<Senders>,
}

/// Addresses that ask without a connection.
#[derive(Default)]
struct Senders {
    /// When everything that was taken is paid for, in nanoseconds of the server's clock.
    paid_until: HashMap<IpAddr, u64>,
    /// When it is worth looking again for addresses that owe nothing.
    sweep_at: u64,
}

/// The limit of one address: the generic cell rate algorithm, which allows a second's worth at once.
pub(super) struct Rate {
    cost: u64,
    /// When everything taken so far is paid for, in nanoseconds of the server's clock.
    paid_until: AtomicU64,
}

impl Rates {
    pub(super) fn new(a_second: u32) -> Self {
        Self { cost: SECOND / u64::from(a_second.max(1)), peers: Mutex::default(), senders: Mutex::default() }
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

impl Rates {
    /// Takes a request from an address without a connection, if that is within its limit. It cannot be made to wait: what
    /// is beyond the limit costs nothing and is dropped.
    pub(super) fn admits(&self, address: IpAddr, now: Duration) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let Senders { paid_until, sweep_at } =
            &mut *self.senders.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(paid) = paid_until.get_mut(&address) {
            let next = now.max(*paid).saturating_add(self.cost);
            let within = next - now <= SECOND;
            if within {
                *paid = next;
            }
            return within;
        }
        if paid_until.len() >= MAX_SENDERS && now >= *sweep_at {
            // Those who owe nothing are as good as strangers.
            *sweep_at = now.saturating_add(SECOND / 10);
            paid_until.retain(|_, paid| *paid > now);
        }
        let room = paid_until.len() < MAX_SENDERS;
        if room {
            paid_until.insert(address, now.saturating_add(self.cost));
        }
        room
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
        Duration::from_nanos(paid.saturating_sub(now).saturating_sub(SECOND))
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

    #[test]
    fn senders_without_a_connection_have_a_limit_each_and_what_is_dropped_costs_nothing() {
        let rates = Rates::new(10);
        let [first, second] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        let admitted =
            |address, from_ms: u64| (0..100).filter(|_| rates.admits(address, Duration::from_millis(from_ms))).count();
        assert_eq!(admitted(first, 0), 10);
        assert_eq!(admitted(second, 0), 10);
        assert_eq!(admitted(first, 99), 0);
        assert_eq!(admitted(first, 300), 3);
        assert_eq!(admitted(first, 5000), 10);
    }

    #[test]
    fn forged_addresses_take_bounded_memory_and_leave_room_when_they_stop() {
        let rates = Rates::new(10);
        let known = IpAddr::from([127, 0, 0, 1]);
        let forged = |number: u32| IpAddr::from(number.to_be_bytes());
        let admits = |address, at_ms| rates.admits(address, Duration::from_millis(at_ms));
        assert!(admits(known, 450));
        let admitted = (0..100_000).filter(|number| admits(forged(*number), 500)).count();
        assert_eq!(admitted, MAX_SENDERS - 1);
        assert!(!admits(forged(200_000), 520), "no room");
        assert!(admits(known, 530), "who was there before is served");
        assert!(admits(forged(200_000), 700), "the others owe nothing any more");
        let left = rates.senders.lock().expect("nobody panics").paid_until.len();
        assert_eq!(left, 1, "only those who owe something, and who is new");
    }
}
