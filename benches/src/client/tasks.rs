//! Clients on tokio: a current_thread runtime and a task for each call that is open at once.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{ClientReport, Meter, WARM};
use crate::frame::{ADDRESSES, value};

/// Registers that a call reads.
pub(super) const BLOCK: u16 = 10;

/// Someone who reads ten registers and says what they hold; `None` when the call failed.
pub(super) trait Caller: Send + 'static {
    /// One call.
    fn read(&mut self, address: u16) -> impl Future<Output = Option<Vec<u16>>> + Send;
}

/// Connects within a fresh runtime, warms up, and measures all callers at once.
pub(super) fn measure<C, F>(connect: impl FnOnce() -> F, window: Duration) -> Result<ClientReport>
where
    C: Caller,
    F: Future<Output = Result<Vec<C>>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let callers = connect().await?;
        let (callers, _) = run_all(callers, WARM).await?;
        let meter = Meter::start();
        let (_, count) = run_all(callers, window).await?;
        Ok(meter.stop(count.right, count.wrong))
    })
}

#[derive(Default)]
struct Count {
    right: u64,
    wrong: u64,
}

async fn run_all<C: Caller>(callers: Vec<C>, window: Duration) -> Result<(Vec<C>, Count)> {
    let deadline = Instant::now() + window;
    let tasks: Vec<_> =
        callers.into_iter().zip(1..).map(|(caller, seed)| tokio::spawn(run(caller, seed, deadline))).collect();
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

async fn run<C: Caller>(mut caller: C, seed: u32, deadline: Instant) -> (C, Count) {
    let mut random = seed.wrapping_mul(0x9e37_79b9);
    let mut count = Count::default();
    while Instant::now() < deadline {
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
