//! Clients on tokio: a current_thread runtime and a task for each call that is open at once.

use std::future::Future;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{ClientReport, Meter, warm_up};
use crate::frame::{ADDRESSES, value};
use crate::load::Until;

/// Registers that a call reads.
pub(super) const BLOCK: u16 = 10;

/// Someone who reads ten registers and says what they hold; `None` when the call failed.
pub(super) trait Caller: Send + 'static {
    /// One call.
    fn read(&mut self, address: u16) -> impl Future<Output = Option<Vec<u16>>> + Send;
}

/// Connects within a fresh runtime, warms up, and measures all callers at once.
pub(super) fn measure<C, F>(connect: impl FnOnce() -> F, until: Until) -> Result<ClientReport>
where
    C: Caller,
    F: Future<Output = Result<Vec<C>>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let callers = connect().await?;
        let (callers, _) = run_all(callers, warm_up(until)).await?;
        let meter = Meter::start(until);
        let (_, count) = run_all(callers, until).await?;
        Ok(meter.stop(count.right, count.wrong))
    })
}

/// How long a caller goes on.
#[derive(Clone, Copy)]
enum Window {
    Till(Instant),
    Calls(u64),
}

impl Window {
    /// Each of so many callers makes its share of the calls.
    fn new(until: Until, callers: usize) -> Self {
        match until {
            Until::Elapsed(window) => Self::Till(Instant::now() + window),
            Until::Asked(calls) => Self::Calls(calls / callers.max(1) as u64),
        }
    }

    fn is_open(&mut self) -> bool {
        match self {
            Self::Till(deadline) => Instant::now() < *deadline,
            Self::Calls(left) => match left.checked_sub(1) {
                Some(less) => {
                    *left = less;
                    true
                }
                None => false,
            },
        }
    }
}

#[derive(Default)]
struct Count {
    right: u64,
    wrong: u64,
}

async fn run_all<C: Caller>(callers: Vec<C>, until: Until) -> Result<(Vec<C>, Count)> {
    let window = Window::new(until, callers.len());
    let tasks: Vec<_> =
        callers.into_iter().zip(1..).map(|(caller, seed)| tokio::spawn(run(caller, seed, window))).collect();
    let mut callers = Vec::with_capacity(tasks.len());
    let mut sum = Count::default();
    for task in tasks {
        let (caller, count) = task.await.context("a client's task panicked: run it alone with RUST_BACKTRACE=1")?;
        callers.push(caller);
        sum.right += count.right;
        sum.wrong += count.wrong;
    }
    Ok((callers, sum))
}

async fn run<C: Caller>(mut caller: C, seed: u32, mut window: Window) -> (C, Count) {
    let mut random = seed.wrapping_mul(0x9e37_79b9);
    let mut count = Count::default();
    while window.is_open() {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        // Below ADDRESSES, which is below 65536.
        let address = ((u64::from(random) * u64::from(ADDRESSES)) >> 32) as u16;
        match caller.read(address).await {
            Some(values) if (address..address + BLOCK).map(value).eq(values.iter().copied()) => count.right += 1,
            _ => count.wrong += 1,
        }
    }
    (caller, count)
}
