//! How a client behaves.

use std::time::Duration;

use super::{Backoff, Retry};
use crate::proto::UnitId;
use crate::proto::adu::CustomLength;
use crate::proto::client;
use crate::transport::Burst;

/// The most requests that a client keeps unanswered on one connection.
pub const MAX_DEPTH: usize = super::core::SLOTS;

/// How a [`Client`](super::Client) behaves. Start from [`Options::default`] and change what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The unit that calls go to, unless [`Client::unit`](super::Client::unit) says otherwise. Default 1.
    pub unit: UnitId,
    /// How long an answer may take, counted from when the request was sent. Calls that follow one another quickly on one
    /// connection may be given up to an eighth, 250 ms at most, later. Default 1 s.
    pub timeout: Duration,
    /// How many requests may be unanswered at a time, 1 to 16; always 1 on framings without a transaction id. Default 1, since some
    /// devices break with more.
    pub depth: usize,
    /// How long one try to connect may take. Default 3 s.
    pub connect_timeout: Duration,
    /// How to come back after the connection was lost; `None` not to. Default from 0.1 s doubling to 30 s, with jitter. A
    /// call that finds no connection does not wait for the end of a pause: it has the next try begin at once, or when a
    /// second, or [`Backoff::min`] if that is longer, has passed since the last one. So the longest pause is that of a
    /// client that nobody uses.
    pub reconnect: Option<Backoff>,
    /// After how many calls in a row that got no answer, with nothing at all heard from the peer meanwhile, a connection is
    /// dropped and made anew; calls that are on their way together count as one. So a peer that is gone without a word (its
    /// power was cut, a firewall has forgotten the connection) is found out long before the system does, and what was sent
    /// to it and has not arrived is thrown away: no write arrives minutes after it was given up. Other calls that are open
    /// then end with [`Error::Lost`](crate::Error::Lost). `None` to wait for the system. Default 3.
    ///
    /// Take no less than 2 with a [`depth`](Self::depth) above 1: with 1 every call without an answer ends the connection,
    /// even if others were answered meanwhile. It is about TCP and TLS: serial lines and UDP have no connection to lose.
    /// Without [`reconnect`](Self::reconnect), and over a [stream that is already there](super::Client::over), it means
    /// nothing.
    pub give_up_after: Option<u32>,
    /// What is asked again after a failure. Default nothing.
    pub retry: Retry,
    /// Serial: how long a broadcast takes before the next request may follow. Default 100 ms.
    pub broadcast_delay: Duration,
    /// Serial: how long a unit that gave no answer is left alone; `None`, the default, for as long as the timeout.
    pub quarantine: Option<Duration>,
    /// Serial: whether the line repeats what is sent. Default false; a serial port says so itself
    /// ([`Serial::with_local_echo`](crate::transport::Serial::with_local_echo)).
    pub local_echo: bool,
    /// RTU and bare PDUs: how long replies are whose functions the specification does not define. Default none.
    pub custom_lengths: &'static [CustomLength],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            unit: UnitId(1),
            timeout: Duration::from_secs(1),
            depth: 1,
            connect_timeout: Duration::from_secs(3),
            reconnect: Some(Backoff::default()),
            give_up_after: Some(3),
            retry: Retry::none(),
            broadcast_delay: Duration::from_millis(100),
            quarantine: None,
            local_echo: false,
            custom_lengths: &[],
        }
    }
}

macro_rules! with {
    ($($(#[$doc:meta])* $name:ident, $field:ident: $type:ty;)*) => {
        impl Options {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, $field: $type) -> Self {
                    self.$field = $field.into();
                    self
                }
            )*
        }
    };
}

with! {
    /// Sets [`unit`](Self::unit).
    with_unit, unit: impl Into<UnitId>;
    /// Sets [`timeout`](Self::timeout).
    with_timeout, timeout: Duration;
    /// Sets [`depth`](Self::depth).
    with_depth, depth: usize;
    /// Sets [`connect_timeout`](Self::connect_timeout).
    with_connect_timeout, connect_timeout: Duration;
    /// Sets [`reconnect`](Self::reconnect).
    with_reconnect, reconnect: impl Into<Option<Backoff>>;
    /// Sets [`give_up_after`](Self::give_up_after).
    with_give_up_after, give_up_after: impl Into<Option<u32>>;
    /// Sets [`retry`](Self::retry).
    with_retry, retry: Retry;
    /// Sets [`broadcast_delay`](Self::broadcast_delay).
    with_broadcast_delay, broadcast_delay: Duration;
    /// Sets [`quarantine`](Self::quarantine).
    with_quarantine, quarantine: impl Into<Option<Duration>>;
    /// Sets [`local_echo`](Self::local_echo).
    with_local_echo, local_echo: bool;
    /// Sets [`custom_lengths`](Self::custom_lengths).
    with_custom_lengths, custom_lengths: &'static [CustomLength];
}

impl Options {
    /// Refuses what cannot be, before anything is started.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self {
            _ if !(1..=MAX_DEPTH).contains(&self.depth) => {
                Err("depth is out of range: take 1 to 16 requests that may be unanswered at a time")
            }
            _ if self.timeout.is_zero() => Err("timeout is 0: an answer takes longer, so take a longer time"),
            _ if self.connect_timeout.is_zero() => Err("connect_timeout is 0: take a longer time"),
            _ if self.give_up_after == Some(0) => {
                Err("give_up_after is 0: take at least one call, or None to keep the connection")
            }
            _ if self.reconnect.is_some_and(|backoff| backoff.max.is_zero()) => {
                Err("reconnect waits for 0 at most: take a longer time, or None not to connect again")
            }
            _ if self.reconnect.is_some_and(|backoff| backoff.min > backoff.max) => {
                Err("reconnect waits for less at most than at least: take a max that is not below min")
            }
            _ if self.retry.attempts == 0 => Err("retry.attempts is 0: 1 sends a request once and not again"),
            _ => Ok(()),
        }
    }

    /// What the state machine is told.
    pub(super) fn protocol(
        &self,
        framing: crate::proto::Framing,
        burst: Burst,
        byte_time: Duration,
    ) -> client::Options {
        let mut options = client::Options::new(framing);
        options.depth = self.depth;
        options.broadcast_delay = self.broadcast_delay;
        options.quarantine = self.quarantine;
        options.local_echo = self.local_echo;
        options.custom_lengths = self.custom_lengths;
        options.byte_time = byte_time;
        if let Burst::Silence(gap) = burst {
            options.frame_gap = gap;
        }
        options
    }
}
