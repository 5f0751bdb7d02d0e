//! The machine: where it runs us, how many files it lets us open, and how the report describes it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

/// Puts this thread, and all that it starts, on the last processor that it may use. Server and load then share it, so
/// that no figure depends on what a wakeup across processors costs.
pub fn share_one_processor() -> Result<usize> {
    let allowed = sched_getaffinity(None).context("the processors allowed can't be read")?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| allowed.is_set(cpu)).context("no processor is allowed")?;
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).context("the processor can't be chosen")?;
    Ok(last)
}

/// Lets this process and its children have so many connections open, raising the hard limit where we may.
pub fn allow_connections(connections: u32) -> Result<()> {
    // Beside the connections: libraries, pipes, logs, epoll.
    let files = u64::from(connections) + 200;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(files));
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum })
        .with_context(|| format!("{files} open files are not allowed; run as root, or raise `ulimit -Hn`"))
}

/// The machine in the report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Model and count of the processors.
    pub processor: String,
    /// Memory in GiB.
    pub memory: String,
    /// Distribution and kernel.
    pub system: String,
    /// TCP's congestion control.
    pub congestion: String,
    /// Compiler.
    pub rust: String,
    /// Python and Node.
    pub others: Vec<String>,
    /// How busy it was at the start.
    pub load: String,
}

impl Machine {
    /// Looks round.
    pub fn read() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (cpu, memory, release) = (file("/proc/cpuinfo"), file("/proc/meminfo"), file("/etc/os-release"));
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|rest| rest.trim_matches([' ', '\t', ':', '=', '"']).to_owned()).unwrap_or_default()
        };
        let processors = cpu.lines().filter(|line| line.starts_with("processor")).count();
        let kibibytes: f64 = field(&memory, "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
        Self {
            processor: format!("{processors} x {}", field(&cpu, "model name")),
            memory: format!("{:.0} GiB", kibibytes / 1024.0 / 1024.0),
            system: format!("{}, Linux {}", field(&release, "PRETTY_NAME"), file("/proc/sys/kernel/osrelease").trim()),
            congestion: file("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
            rust: said("rustc", "--version"),
            others: vec![said("python3", "--version"), format!("Node {}", said("node", "--version"))],
            load: file("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

/// The first line a program says about itself.
fn said(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or("not there").to_owned()
}
