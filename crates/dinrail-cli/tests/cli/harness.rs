//! Runs the binary: to its end, or as a server in the background.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// Far longer than anything here takes; a test that reaches it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(100);

/// What a run said, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dinrail"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs `dinrail` with `args` to its end.
pub(crate) async fn dinrail(args: &[&str]) -> Run {
    let output = timeout(DEADLINE, command(args).output()).await.expect("ends in time").expect("starts");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Runs `dinrail` with `args`; it must end well and say nothing on standard error. What it wrote.
pub(crate) async fn stdout(args: &[&str]) -> String {
    let run = dinrail(args).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}: {run:?}");
    run.stdout
}

/// Runs `dinrail` with `args`; it must fail with this code and write no result. What it complained about.
pub(crate) async fn failure(code: i32, args: &[&str]) -> String {
    let run = dinrail(args).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{args:?}: {run:?}");
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run.stderr
}

/// A `dinrail` in the background, whose output is read line by line.
pub(crate) struct Background {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    errors: BufReader<ChildStderr>,
}

impl Background {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, lines, errors }
    }

    /// The next line of standard output.
    pub(crate) async fn line(&mut self) -> String {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("a line in time").expect("readable");
        line.expect("one more line")
    }

    /// Lines up to the first that `wanted` likes, and that one.
    pub(crate) async fn line_where(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.line().await;
            if wanted(&line) {
                return line;
            }
        }
    }

    /// The next line of standard error.
    pub(crate) async fn complaint(&mut self) -> String {
        let mut line = String::new();
        timeout(DEADLINE, self.errors.read_line(&mut line)).await.expect("a line in time").expect("UTF-8");
        line
    }

    /// Sends a signal such as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("still running");
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().await.expect("a shell");
        assert!(status.success());
    }

    /// The ports on which others can reach it, by TCP or UDP, in order.
    #[cfg(target_os = "linux")]
    pub(crate) fn ports(&self) -> Vec<u16> {
        let of = format!("/proc/{}", self.child.id().expect("still running"));
        let open = std::fs::read_dir(format!("{of}/fd")).expect("its descriptors");
        let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let sockets: Vec<_> = links.map(|link| link.to_string_lossy().into_owned()).collect();
        let mut ports = Vec::new();
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            // A system without IPv6 has no such table.
            let Ok(rows) = std::fs::read_to_string(format!("{of}/net/{table}")) else { continue };
            for row in rows.lines().skip(1) {
                let fields: Vec<_> = row.split_whitespace().collect();
                let (local, state, inode) = (fields[1], fields[3], fields[9]);
                // 0A is LISTEN; a socket of UDP is there for whoever sends.
                let waits = state == "0A" || table.starts_with("udp");
                if waits && sockets.contains(&format!("socket:[{inode}]")) {
                    let port = local.rsplit_once(':').expect("address and port").1;
                    ports.push(u16::from_str_radix(port, 16).expect("hexadecimal"));
                }
            }
        }
        ports.sort_unstable();
        ports
    }

    /// Waits for the end: how it ended, what was left on standard output, and what was left on standard error.
    pub(crate) async fn end(mut self) -> (ExitStatus, String, String) {
        let status = timeout(DEADLINE, self.child.wait()).await.expect("ends in time").expect("was started");
        let (mut stdout, mut stderr) = (String::new(), String::new());
        while let Some(line) = self.lines.next_line().await.expect("readable") {
            stdout += &line;
            stdout.push('\n');
        }
        self.errors.read_to_string(&mut stderr).await.expect("UTF-8");
        (status, stdout, stderr)
    }
}

/// A `dinrail serve` on a port of its own.
pub(crate) struct Server {
    pub(crate) process: Background,
    /// `tcp://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl Server {
    /// Serves on any free port.
    pub(crate) async fn start(args: &[&str]) -> Self {
        Self::start_at("tcp://127.0.0.1:0", args).await
    }

    pub(crate) async fn start_at(listen: &str, args: &[&str]) -> Self {
        let mut process = Background::start(&[&["serve", "--listen", listen], args].concat());
        let line = process.line().await;
        let url = line.strip_prefix("listening on ").expect("the first line says where").to_owned();
        Self { process, url }
    }

    /// Ends it as a service manager does.
    pub(crate) async fn stop(self) {
        self.process.signal("TERM").await;
        let (status, _, stderr) = self.process.end().await;
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    }
}

/// What a [`fake`] device answers to the PDU of a request; nothing for `None`.
pub(crate) trait Answer: Fn(&[u8]) -> Option<Vec<u8>> + Clone + Send + 'static {}

impl<F: Fn(&[u8]) -> Option<Vec<u8>> + Clone + Send + 'static> Answer for F {}

/// A device that answers as no server of ours would. Where it listens.
pub(crate) async fn fake(answer: impl Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("tcp://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, answer.clone()));
        }
    });
    url
}

/// Answers request by request, until the client goes.
async fn converse(mut stream: TcpStream, answer: impl Answer) -> std::io::Result<()> {
    loop {
        let mut header = [0; 7];
        stream.read_exact(&mut header).await?;
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([header[4], header[5]])) - 1];
        stream.read_exact(&mut pdu).await?;
        if let Some(reply) = answer(&pdu) {
            header[5] = reply.len() as u8 + 1;
            stream.write_all(&[&header[..], &reply].concat()).await?;
        }
    }
}

/// An address where nobody listens, kept free for a server of ours as long as this lives: nobody is given it by chance.
pub(crate) struct Reserved {
    _socket: TcpSocket,
    pub(crate) url: String,
}

pub(crate) fn reserve() -> Reserved {
    let socket = TcpSocket::new_v4().expect("a socket");
    // With this on both sides a server may bind to the same port: only one of them listens.
    socket.set_reuseaddr(true).expect("not bound yet");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let url = format!("tcp://{}", socket.local_addr().expect("bound"));
    Reserved { _socket: socket, url }
}
