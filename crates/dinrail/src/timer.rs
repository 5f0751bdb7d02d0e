//! Waiting exactly. The silences of a serial line are 1.75 to 4 ms long, and a runtime's clock is up to 1.4 ms late: an
//! exchange at 19200 baud would lose several per cent of the line to that. On Linux the kernel's own timers are asked
//! instead, which are late by some 0.03 ms; elsewhere the runtime's clock has to do.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// A timer that can be set again and again. It must be used within a runtime.
pub(crate) struct Timer {
    coarse: Pin<Box<Sleep>>,
    #[cfg(target_os = "linux")]
    exact: Option<exact::Exact>,
}

impl Timer {
    /// A timer of the runtime, whose clock tests can stop.
    pub(crate) fn coarse() -> Self {
        Self {
            coarse: Box::pin(tokio::time::sleep_until(Instant::now())),
            #[cfg(target_os = "linux")]
            exact: None,
        }
    }

    /// The most exact timer there is, in real time.
    pub(crate) fn exact() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            exact: exact::Exact::new().ok(),
            ..Self::coarse()
        }
    }

    /// Waits until `at`.
    pub(crate) fn reset(&mut self, at: Instant) {
        #[cfg(target_os = "linux")]
        if let Some(exact) = &mut self.exact
            && exact.reset(at)
        {
            return;
        }
        self.coarse.as_mut().reset(at);
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(target_os = "linux")]
        if let Some(exact) = &mut self.exact
            && exact.is_set()
        {
            return exact.poll(cx);
        }
        self.coarse.as_mut().poll(cx)
    }
}

#[cfg(target_os = "linux")]
mod exact {
    //! A timer of the kernel, as a file descriptor.

    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;
    use tokio::time::Instant;

    /// Beyond this the runtime's clock is exact enough.
    const LONG: Duration = Duration::from_millis(50);

    pub(super) struct Exact {
        timer: AsyncFd<OwnedFd>,
        set: bool,
    }

    impl Exact {
        pub(super) fn new() -> io::Result<Self> {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            // What is unsound about it is no matter here: the descriptor is owned, and stays open as long as this.
            #[allow(deprecated)]
            let timer = AsyncFd::new(timer)?;
            Ok(Self { timer, set: false })
        }

        /// `false` when this is nothing for it.
        pub(super) fn reset(&mut self, at: Instant) -> bool {
            // Zero would turn it off.
            let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let value =
                Timespec { tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            self.set = wait < LONG && timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once).is_ok();
            self.set
        }

        pub(super) fn is_set(&self) -> bool {
            self.set
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            loop {
                let Ok(mut ready) = ready!(self.timer.poll_read_ready(cx)) else {
                    // The runtime is going down.
                    return Poll::Ready(());
                };
                let mut expirations = [0; 8];
                match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?)) {
                    Ok(_) => {
                        self.set = false;
                        return Poll::Ready(());
                    }
                    Err(_would_block) => {}
                }
            }
        }
    }
}
