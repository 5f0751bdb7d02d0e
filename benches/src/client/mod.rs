//! The clients that are ours to write: the load as the bare client, dinrail's and tokio-modbus's. Each warms up, then
//! calls for a window and says what it did and what that cost its process, as JSON, the way the foreign ones do.

mod bare_tokio;
mod dinrail;
mod tasks;
mod tokio_modbus;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::frame::Kind;
use crate::load::{Load, Plan, Until};
use crate::peer::{ClientName, Shape};

/// Before a window of time there is a tenth of a second to warm up; what is counted call by call needs no such thing.
fn warm_up(until: Until) -> Until {
    match until {
        Until::Elapsed(_) => Until::Elapsed(Duration::from_millis(100)),
        Until::Asked(_) => Until::Asked(0),
    }
}

/// What a client did in its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientReport {
    /// Calls that returned the right ten values.
    pub requests: u64,
    /// Calls that did not.
    pub errors: u64,
    /// The window.
    pub seconds: f64,
    /// What all threads of the process ran in it.
    pub cpu_seconds: f64,
}

/// Runs one of the clients in this binary against the server at `port`, for a time or for a number of calls.
pub fn call(client: ClientName, port: u16, shape: Shape, until: Until) -> Result<ClientReport> {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match client {
        ClientName::Raw => raw(target, shape, until),
        ClientName::BareTokio => bare_tokio::call(target, shape, until),
        ClientName::Dinrail => dinrail::call(target, shape, until),
        ClientName::TokioModbus => tokio_modbus::call(target, shape, until),
        other => bail!("{} is not in this binary", other.label()),
    }
}

fn raw(target: SocketAddr, Shape { connections, calls }: Shape, until: Until) -> Result<ClientReport> {
    let mut load = Load::connect(&Plan { target, connections, depth: calls, kind: Kind::Read10 })?;
    load.run(warm_up(until));
    let meter = Meter::start(until);
    let outcome = load.run(until);
    Ok(meter.stop(outcome.requests, outcome.wrong + outcome.lost + outcome.unasked))
}

/// Measures what this process runs; not while instructions are counted, since rustix's clocks do not bear valgrind.
struct Meter {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Meter {
    fn start(until: Until) -> Self {
        let timed = matches!(until, Until::Elapsed(_));
        Self { wall: Instant::now(), cpu: timed.then(process_cpu) }
    }

    fn stop(self, requests: u64, errors: u64) -> ClientReport {
        let cpu = self.cpu.map_or(Duration::ZERO, |cpu| process_cpu() - cpu);
        let seconds = self.wall.elapsed().as_secs_f64();
        ClientReport { requests, errors, seconds, cpu_seconds: cpu.as_secs_f64() }
    }
}

/// The run time of all threads that this process has or had.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // The kernel's run times are positive, and nanoseconds below a second.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
