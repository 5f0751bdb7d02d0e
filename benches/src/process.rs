//! The servers as processes: started, asked for their processor time and memory by the kernel's own books, and ended.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::peer::{ServerName, work_folder};

/// Time for a server to say `ready`; valgrind and Node take seconds on a busy machine.
const START: Duration = Duration::from_secs(20);

/// Time for a server to end by itself once its input has closed.
const END: Duration = Duration::from_secs(10);

/// A running server. Dropping it closes its input, which ends it; one that does not end is killed.
pub struct Server {
    child: Child,
    input: Option<ChildStdin>,
    port: u16,
}

impl Server {
    /// Starts one of the servers.
    pub fn start(name: ServerName) -> Result<Self> {
        let mut command = itself()?;
        command.arg("server").arg(argument(name));
        Self::start_command(command, &argument(name))
    }

    /// Starts `command` and waits for its line `ready PORT`; what it complains about goes to a log named for `label`.
    pub fn start_command(command: Command, label: &str) -> Result<Self> {
        let (mut child, log) = spawn(command, label)?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("the output of a child was piped")?;
        let mut server = Self { child, input, port: 0 };
        server.port = first_line(output, START)
            .and_then(|line| line.strip_prefix("ready ")?.trim().parse().ok())
            .ok_or_else(|| anyhow!("{label} did not get ready; see {}", log.display()))?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// What its threads have run so far.
    pub fn cpu(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id())).context("the server has ended")? {
            // A thread may end between the listing and the reading.
            let Ok(stat) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let run = stat.split_whitespace().next().and_then(|run| run.parse::<u64>().ok());
            nanoseconds += run.context("/proc/PID/task/TID/schedstat is not there; this kernel keeps no run times")?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Its resident memory in bytes.
    pub fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).context("the server has ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process without VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kibibytes * 1024)
    }

    /// Waits until it has nothing more to do for connections that were closed, or for half a second.
    pub fn settle(&self) -> Result<()> {
        const STEP: Duration = Duration::from_millis(5);
        let limit = Instant::now() + Duration::from_millis(500);
        let mut before = self.cpu()?;
        while Instant::now() < limit {
            std::thread::sleep(STEP);
            let now = self.cpu()?;
            if now - before < STEP / 20 {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Closes its input and waits for its end.
    pub fn end(mut self) -> Result<()> {
        self.close()
    }

    fn close(&mut self) -> Result<()> {
        drop(self.input.take());
        let limit = Instant::now() + END;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > limit {
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left to do for a child that can't even be killed.
        let _ = self.close();
    }
}

/// Runs `command` to its end and returns its first line; after `limit` it is killed. Complaints go to a log as a
/// server's do.
pub fn first_line_of(command: Command, label: &str, limit: Duration) -> Result<String> {
    let (mut child, log) = spawn(command, label)?;
    drop(child.stdin.take());
    let line = child.stdout.take().and_then(|output| first_line(output, limit));
    if line.is_none() {
        // It may have ended by itself, and then there is nothing to kill.
        let _ = child.kill();
    }
    child.wait()?;
    line.ok_or_else(|| anyhow!("{label} said nothing in {} s; see {}", limit.as_secs(), log.display()))
}

/// This program, to be started again.
pub fn itself() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("/proc/self/exe can't be read")?))
}

/// The name by which the command line knows a value.
pub fn argument(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned())
}

/// Starts `command` with its input and output piped and its complaints in a log, whose path is returned too.
fn spawn(mut command: Command, label: &str) -> Result<(Child, PathBuf)> {
    let folder = work_folder();
    fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let log = folder.join(format!("{label}.log"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
    let child = command.spawn().with_context(|| format!("{label} can't be started"))?;
    Ok((child, log))
}

/// The first line that comes within the time, read aside so that a silent child can't hang us.
fn first_line(output: impl Read + Send + 'static, limit: Duration) -> Option<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines();
        // The receiver may have given up; the rest is read away so that the child never blocks on a full pipe.
        let _ = send.send(lines.next());
        lines.for_each(drop);
    });
    receive.recv_timeout(limit).ok()??.ok()
}
