//! Turning an RS-485 driver by hand: RTS says which way it works, where neither the adapter nor the system's driver does
//! that by itself.
//!
//! The line is turned before the first byte of a frame is written, and turned back when the last one has left: that is
//! when the time it takes has passed and the system holds no more of it. Nobody is kept waiting by a system call meanwhile.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::timer::Timer;

/// What RTS does while a frame is sent; it does the opposite while one listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rts {
    /// RTS is on (high) to send: what most converters want.
    On,
    /// RTS is off (low) to send.
    Off,
}

/// What turning needs of a port.
pub(super) trait Wires {
    fn set_rts(&mut self, on: bool) -> io::Result<()>;
    /// How many bytes the system has not sent yet.
    fn queued(&self) -> io::Result<u32>;
    /// Waits for what an UART still holds: no more than a few characters.
    fn drain(&mut self) -> io::Result<()>;
}

/// Whose line it is, for the log.
pub(super) struct Owner {
    /// The server that has the port; `None` for a client.
    pub(super) server: Option<Box<str>>,
    /// The port, as a URL.
    pub(super) port: Box<str>,
}

pub(super) struct Direction {
    rts: Rts,
    /// Waited after each turn to sending, and before each turn back.
    turnaround: Duration,
    character: Duration,
    stage: Stage,
    timer: Timer,
    owner: Owner,
}

enum Stage {
    /// There is no RTS: the port does without.
    Absent,
    Listening,
    /// Turned to sending; the driver takes its time.
    Turning,
    /// What was written has left at this moment, or later.
    Sending(Instant),
    /// All has left; the last bit may still be on the way through the driver.
    Leaving,
}

impl Direction {
    pub(super) fn new(rts: Rts, turnaround: Duration, character: Duration, timer: Timer, owner: Owner) -> Self {
        Self { rts, turnaround, character, stage: Stage::Listening, timer, owner }
    }

    fn turn(&mut self, wires: &mut impl Wires, to_send: bool) {
        if let Err(error) = wires.set_rts(to_send == (self.rts == Rts::On)) {
            let Owner { server, port } = &self.owner;
            warn!(target: "dinrail::serial", server = server.as_deref().map(tracing::field::display), %port, %error, "this port has no RTS to turn an RS-485 driver with: going on without");
            self.stage = Stage::Absent;
        }
    }

    pub(super) fn listen(&mut self, wires: &mut impl Wires) {
        self.stage = Stage::Listening;
        self.turn(wires, false);
    }

    /// Ready when bytes may be written.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires) -> Poll<()> {
        loop {
            match self.stage {
                Stage::Absent | Stage::Sending(_) => return Poll::Ready(()),
                Stage::Listening | Stage::Leaving => {
                    self.stage = Stage::Turning;
                    self.timer.reset(Instant::now() + self.turnaround);
                    self.turn(wires, true);
                }
                Stage::Turning => {
                    if !self.turnaround.is_zero() {
                        ready!(self.timer.poll(cx));
                    }
                    self.stage = Stage::Sending(Instant::now());
                }
            }
        }
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        if let Stage::Sending(until) = &mut self.stage {
            let all = self.character * u32::try_from(bytes).unwrap_or(u32::MAX);
            *until = (*until).max(Instant::now()) + all;
            self.timer.reset(*until);
        }
    }

    /// Ready when everything has left and the line listens again.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires) -> Poll<()> {
        loop {
            match self.stage {
                Stage::Absent | Stage::Listening => return Poll::Ready(()),
                // Nothing was written after all.
                Stage::Turning => self.listen(wires),
                Stage::Sending(_) => {
                    ready!(self.timer.poll(cx));
                    let left = wires.queued().unwrap_or(0);
                    if left > 0 {
                        // The port is slower than it was told to be.
                        self.stage = Stage::Sending(Instant::now());
                        self.wrote(left as usize);
                        continue;
                    }
                    if let Err(error) = wires.drain() {
                        let Owner { server, port } = &self.owner;
                        warn!(target: "dinrail::serial", server = server.as_deref().map(tracing::field::display), %port, %error, "cannot tell whether everything was sent");
                    }
                    self.stage = Stage::Leaving;
                    self.timer.reset(Instant::now() + self.turnaround);
                }
                Stage::Leaving => {
                    if !self.turnaround.is_zero() {
                        ready!(self.timer.poll(cx));
                    }
                    self.listen(wires);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::log::Log;

    /// A port that writes down what is done to it, and when.
    struct Recorded {
        started: Instant,
        queued: std::cell::Cell<u32>,
        seen: Vec<(&'static str, Duration)>,
        has_rts: bool,
    }

    impl Wires for Recorded {
        fn set_rts(&mut self, on: bool) -> io::Result<()> {
            self.seen.push((if on { "on" } else { "off" }, self.started.elapsed()));
            if self.has_rts { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
        }

        fn queued(&self) -> io::Result<u32> {
            Ok(self.queued.replace(0))
        }

        fn drain(&mut self) -> io::Result<()> {
            self.seen.push(("drained", self.started.elapsed()));
            Ok(())
        }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    async fn send(rts: Rts, turnaround: Duration, queued: u32, has_rts: bool) -> Vec<(&'static str, Duration)> {
        let mut wires = Recorded { started: Instant::now(), queued: queued.into(), seen: Vec::new(), has_rts };
        let owner = Owner { server: Some("pumps".into()), port: "rtu://COM3?rts=on".into() };
        let mut direction = Direction::new(rts, turnaround, ms(1), Timer::coarse(), owner);
        direction.listen(&mut wires);
        poll_fn(|cx| direction.poll_turn(cx, &mut wires)).await;
        direction.wrote(6);
        direction.wrote(2);
        poll_fn(|cx| direction.poll_finish(cx, &mut wires)).await;
        wires.seen
    }

    #[tokio::test(start_paused = true)]
    async fn rts_is_on_from_before_the_first_byte_until_the_last_has_left() {
        let seen = send(Rts::On, Duration::ZERO, 0, true).await;
        assert_eq!(seen, [("off", ms(0)), ("on", ms(0)), ("drained", ms(8)), ("off", ms(8))]);
        let seen = send(Rts::Off, ms(2), 0, true).await;
        assert_eq!(seen, [("on", ms(0)), ("off", ms(0)), ("drained", ms(10)), ("on", ms(12))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_is_slower_than_it_should_be_is_waited_for() {
        let seen = send(Rts::On, Duration::ZERO, 3, true).await;
        assert_eq!(seen, [("off", ms(0)), ("on", ms(0)), ("drained", ms(11)), ("off", ms(11))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_without_rts_does_without() {
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(log.subscriber());
        assert_eq!(send(Rts::On, ms(2), 0, false).await, [("off", ms(0))]);
        let text = log.text();
        assert!(text.contains("WARN dinrail::serial: this port has no RTS") && text.lines().count() == 1, "{text}");
        assert!(text.contains(" server=pumps port=rtu://COM3?rts=on error="), "{text}");
    }
}
