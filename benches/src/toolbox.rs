//! What the toolbox costs: plans for many points, and many servers that come and go. Times, since they are about whole jobs
//! that an application waits for; best and median of as many runs.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dinrail::point::{Cost, Limits, Span, plan};
use dinrail::server::Manager;
use dinrail::service::Memory;
use dinrail::{Area, Server};

use crate::cli::Toolbox;

/// How often each is done.
const RUNS: usize = 21;

/// Prints what it costs; an error above the limit, once all is printed.
pub fn run(options: &Toolbox) -> Result<()> {
    let plans = plans();
    let limit = options.limit_plan_ms.map(f64::from);
    println!("{}", against(&plans, limit));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(servers())?;
    ensure!(limit.is_none_or(|limit| plans.best <= limit), "planning takes longer than its limit");
    Ok(())
}

/// What the plans took.
struct Plans {
    requests: usize,
    best: f64,
    median: f64,
}

/// The plans' line, which says how they stand to a limit in the words of `instructions`: `make test` counts them.
/// The best run is held to it: what else the machine does is not theirs.
fn against(plans: &Plans, limit: Option<f64>) -> String {
    let Plans { requests, best, median } = plans;
    let line = format!(
        "100,000 points of 100 devices planned into {requests} requests: {best:.1} ms at best, {median:.1} ms in the middle"
    );
    match limit {
        Some(limit) if *best > limit => format!("{line}, above the limit of {limit}"),
        Some(limit) => format!("{line} (limit {limit})"),
        None => line,
    }
}

/// A device with a thousand points in clusters of fifty, with gaps of up to three registers within them, as real maps have.
fn device(seed: u32) -> impl Iterator<Item = Span> {
    (0..1000u32).map(move |n| Span {
        area: Area::HoldingRegister,
        address: (n * 3 + (n * seed) % 7 + n / 50 * 90) as u16, // below 5000
        count: 1 + (n % 4) as u16,
    })
}

fn plans() -> Plans {
    let mut times = Vec::new();
    let mut requests = 0;
    for _ in 0..RUNS {
        let began = Instant::now();
        requests = (1..=100).map(|seed| plan(device(seed), &Cost::default(), &Limits::default()).len()).sum();
        times.push(began.elapsed());
    }
    let (best, median) = best_and_median(times);
    Plans { requests, best, median }
}

async fn servers() -> Result<()> {
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let manager = Manager::new();
        for number in 0..50 {
            manager.add(format!("server {number}"), Server::tcp("127.0.0.1:0", Memory::new()))?;
        }
        let began = Instant::now();
        manager.start_all().await?;
        starts.push(began.elapsed());
        let began = Instant::now();
        manager.stop_all().await;
        stops.push(began.elapsed());
    }
    for (what, times) in [("started", starts), ("stopped", stops)] {
        let (best, median) = best_and_median(times);
        println!("50 servers {what}: {best:.1} ms at best, {median:.1} ms in the middle");
    }
    Ok(())
}

/// In milliseconds.
fn best_and_median(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    (times[0].as_secs_f64() * 1e3, times[times.len() / 2].as_secs_f64() * 1e3)
}
