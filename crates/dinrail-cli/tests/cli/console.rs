//! `dinrail serve --console` and `dinrail console`: an operator beside the clients.

use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Background, DEADLINE, Run, Server, dinrail, failure, reserve, stdout};

/// Where the console is that a process names next.
async fn console(process: &mut Background) -> String {
    let line = process.line_where(|line| line.starts_with("console on ")).await;
    line.trim_start_matches("console on ").to_owned()
}

/// A server with a console.
async fn start(args: &[&str]) -> (Server, String) {
    let mut server = Server::start(&[&["--console", "127.0.0.1:0"], args].concat()).await;
    let console = console(&mut server.process).await;
    (server, console)
}

/// Runs `dinrail console` with these lines as its input.
pub(crate) async fn piped(args: &[&str], lines: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dinrail"))
        .arg("console")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(lines.as_bytes()).await.expect("read");
    drop(input);
    let output = timeout(DEADLINE, child.wait_with_output()).await.expect("ends in time").expect("runs");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

#[tokio::test]
async fn s002_13_values_are_read_and_set_in_a_read_only_server_too() {
    let (server, at) = start(&["--read-only", "--unit", "7", "--set", "hr:0=1,2,3", "--fifo", "hr:1000=11"]).await;
    let url = server.url.as_str();
    assert_eq!(stdout(&["console", &at, "get", "7", "hr", "0", "4"]).await, "hr:0 = 1 2 3 0\n");
    assert_eq!(stdout(&["console", &at, "set", "7", "ir", "5", "-1", "0x10"]).await, "ir:5 = 65535 16\n");
    assert_eq!(stdout(&["read", url, "ir:5", "-n", "2", "--unit", "7"]).await, "65535\n16\n");
    stdout(&["console", &at, "set", "7", "di", "3", "on"]).await;
    assert_eq!(stdout(&["read", url, "di:3", "--unit", "7"]).await, "on\n");
    stdout(&["console", &at, "set", "7", "hr", "10:f32", "21.5"]).await;
    assert_eq!(stdout(&["read", url, "hr:10", "--type", "f32", "--unit", "7"]).await, "21.5\n");
    assert_eq!(stdout(&["console", &at, "get", "7", "hr", "1000", "2"]).await, "hr:1000 = 1 11\n");
    failure(1, &["write", url, "hr:0", "9", "--unit", "7"]).await;

    let refused = failure(1, &["console", &at, "get", "1", "hr", "0"]).await;
    assert_eq!(refused, "dinrail: unit 1 is not served here: take 7\n");
    let refused = failure(1, &["console", &at, "set", "7", "hr", "0", "70000"]).await;
    assert!(refused.contains("take -32768 to 65535"), "{refused}");
    let table = stdout(&["console", &at, "stats"]).await;
    let row: Vec<_> = table.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!((row[0], row[2], row[3], row[4], row[5]), ("running", "4", "1", "0", url), "{table}");
    server.stop().await;
}

#[tokio::test]
async fn s002_13_what_is_set_is_seen_by_who_watches() {
    let (server, at) = start(&[]).await;
    let mut watch = Background::start(&["watch", &server.url, "level=ir:8", "--rate", "20ms"]);
    watch.line_where(|line| line.contains("level\t0\t")).await;
    stdout(&["console", &at, "set", "1", "ir", "8", "42"]).await;
    watch.line_where(|line| line.contains("level\t42\tgood")).await;
    server.stop().await;
}

#[tokio::test]
async fn s002_13_commands_come_in_by_a_pipe_and_end_at_the_first_that_cannot_be() {
    let (server, at) = start(&[]).await;
    let run = piped(&[&at], "# morning\n\nset 1 hr 0 5 6\r\n  get 1 hr 0 2\nget 1 hx 0\nset 1 hr 0 9\n").await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), "hr:0 = 5 6\nhr:0 = 5 6\n"), "{run:?}");
    assert!(run.stderr.starts_with("dinrail: line 5: \"hx\" is no area: take co, di, hr or ir"), "{run:?}");
    let run = piped(&["--server", "serve", &at], "get 1 hr 0\nquit\nset 1 hr 0 9\n").await;
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "hr:0 = 5\n", ""));
    let run = piped(&[&at], "get 1 co 0 65536").await;
    assert_eq!((run.code, run.stdout.matches("off").count()), (Some(0), 65536));
    assert_eq!(stdout(&["console", &at, "get", "1", "hr", "0"]).await, "hr:0 = 5\n", "nothing behind it was done");
    server.stop().await;
}

#[tokio::test]
async fn s002_13_a_web_page_cannot_set_anything() {
    let (server, at) = start(&["--set", "hr:0=5"]).await;
    let mut page = TcpStream::connect(&at).await.expect("it listens");
    let body = "set 1 hr 0 666\r\n";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {at}\r\nOrigin: https://evil.example\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    page.write_all(request.as_bytes()).await.expect("it is taken");
    let mut told = Vec::new();
    let _ = timeout(DEADLINE, page.read_to_end(&mut told)).await.expect("it ends"); // it may be cut off
    let told = String::from_utf8(told).expect("UTF-8");
    assert!(told.starts_with("error: ") && told.ends_with(".\n") && !told.contains("hr:0"), "{told}");
    assert_eq!(stdout(&["read", &server.url, "hr:0"]).await, "5\n");
    server.stop().await;
}

#[tokio::test]
async fn s002_13_there_is_none_unless_it_is_asked_for_and_nobody_there_is_3() {
    let nobody = reserve();
    let complaint = failure(3, &["console", nobody.url.trim_start_matches("tcp://"), "stats"]).await;
    assert!(complaint.contains("start dinrail serve with --console"), "{complaint}");
    let server = Server::start(&[]).await;
    #[cfg(target_os = "linux")]
    assert_eq!(server.process.ports(), [port(&server.url)], "nobody else is waited for");
    let mistaken = failure(3, &["console", server.url.trim_start_matches("tcp://"), "stats"]).await;
    assert!(mistaken.contains("is this the address of a console"), "{mistaken}");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("bound").to_string();
    let run = dinrail(&["serve", "--listen", "127.0.0.1:0", "--console", &taken]).await;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains(&format!("the console cannot listen on {taken}")), "{run:?}");
    server.process.signal("TERM").await;
    let (status, rest, complaints) = server.process.end().await;
    assert_eq!((status.code(), rest.as_str(), complaints.as_str()), (Some(0), "", ""), "and nobody else is named");
    #[cfg(target_os = "linux")]
    {
        let (server, at) = start(&[]).await;
        let mut both = [port(&server.url), port(&at)];
        both.sort_unstable();
        assert_eq!(server.process.ports(), both, "a console would have been seen");
        server.stop().await;
    }
}

#[cfg(target_os = "linux")]
fn port(place: &str) -> u16 {
    place.rsplit_once(':').expect("a port").1.parse().expect("a number")
}

#[tokio::test]
async fn s002_13_others_may_come_if_that_is_said_and_the_log_warns_of_it() {
    let mut server = Server::start(&["--console", "0.0.0.0:0", "--console-public"]).await;
    let at = console(&mut server.process).await;
    assert!(at.starts_with("0.0.0.0:"), "{at}");
    server.process.signal("TERM").await;
    let (status, _, log) = server.process.end().await;
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("anybody who can connect can set values: there are no passwords"), "{log}");
}

#[tokio::test]
async fn s002_13_a_file_has_a_console_and_a_reload_moves_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("dinrail.toml");
    let file = path.to_str().expect("UTF-8");
    let server = |name: &str| format!("[[server]]\nname = \"{name}\"\nlisten = \"tcp://127.0.0.1:0\"\n");
    let at = |console: &str| format!("[console]\nlisten = \"{console}\"\n");
    let write = |console: &str, more: &str| {
        std::fs::write(&path, [console, &server("a"), &server("tank farm"), more].concat()).expect("written");
    };
    write(&at("127.0.0.1:0"), "");
    let mut process = Background::start(&["-v", "serve", "--config", file]);
    let first = console(&mut process).await;
    let which = failure(1, &["console", &first, "get", "1", "hr", "0"]).await;
    assert!(which.contains("choose a server first, with use NAME: there are a, tank farm"), "{which}");
    let set = ["console", "--server", "tank farm", &first, "set", "1", "ir", "0", "7"];
    assert_eq!(stdout(&set).await, "ir:0 = 7\n");

    // Another server, and the console is not touched: a connection stays.
    let mut operator = TcpStream::connect(&first).await.expect("it listens");
    write(&at("127.0.0.1:0"), &server("new"));
    process.signal("HUP").await;
    process.line_where(|line| line.ends_with("(new)")).await;
    operator.write_all(b"use new\nget 1 hr 0\n").await.expect("it is there");
    let mut reply = [0; 13];
    timeout(DEADLINE, operator.read_exact(&mut reply)).await.expect("in time").expect("it is there");
    assert_eq!(&reply, b".\nhr:0 = 0\n.\n");

    // Somewhere else, with the values as they were.
    write(&at("[::1]:0"), "");
    process.signal("HUP").await;
    let second = console(&mut process).await;
    assert!(second.starts_with("[::1]:"), "{second}");
    let get = ["console", "--server", "tank farm", &second, "get", "1", "ir", "0"];
    assert_eq!(stdout(&get).await, "ir:0 = 7\n");
    failure(3, &["console", &first, "stats"]).await;
    // The same port of another address: the old one makes room.
    let third = format!("127.0.0.1:{}", second.rsplit_once(':').expect("a port").1);
    write(&at(&third), "");
    process.signal("HUP").await;
    assert_eq!(console(&mut process).await, third);

    // What cannot be is no reload.
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    write(&at(&busy.local_addr().expect("bound").to_string()), &server("never"));
    process.signal("HUP").await;
    let mut log = String::new();
    while !log.contains("was not reloaded") {
        log = process.complaint().await;
    }
    assert!(log.contains("the console cannot listen on") && log.contains("goes on as before"), "{log}");
    assert!(!stdout(&["console", &third, "servers"]).await.contains("never"));

    // And without one it is closed.
    write("", "");
    process.signal("HUP").await;
    while !log.contains("the console is closed") {
        log = process.complaint().await;
    }
    failure(3, &["console", &third, "stats"]).await;
    process.signal("TERM").await;
    assert_eq!(process.end().await.0.code(), Some(0));

    // The command line's is there in place of the file's.
    write(&at("127.0.0.1:0"), "");
    let mut process = Background::start(&["serve", "--config", file, "--console", "[::1]:0"]);
    assert!(console(&mut process).await.starts_with("[::1]:"));
    process.signal("TERM").await;
    assert_eq!(process.end().await.0.code(), Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn s002_13_a_terminal_is_asked_for_commands_and_has_a_history() {
    use std::io::{Read as _, Write as _};

    let (server, at) = start(&[]).await;
    let terminal =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).expect("a pty");
    rustix::pty::grantpt(&terminal).expect("granted");
    rustix::pty::unlockpt(&terminal).expect("unlocked");
    let name = rustix::pty::ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("UTF-8");
    let side = || Stdio::from(std::fs::OpenOptions::new().read(true).write(true).open(&name).expect("a terminal"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_dinrail"))
        .args(["console", &at])
        .env("TERM", "xterm")
        .stdin(side())
        .stdout(side())
        .stderr(side())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut screen = std::fs::File::from(terminal);
    let mut keys = screen.try_clone().expect("the same");
    // A read of a terminal cannot be given up; the test process ends with it if it must.
    let talk = tokio::task::spawn_blocking(move || {
        let mut seen = String::new();
        // What is typed before the next prompt is there may be lost, as it is for people.
        let mut answer_to = |typed: &str, wanted: &str, prompt: &str| {
            keys.write_all(typed.as_bytes()).expect("typed");
            let mut piece = [0; 512];
            seen.clear();
            while !seen.split_once(wanted).is_some_and(|(_, behind)| behind.contains(prompt)) {
                let count = screen.read(&mut piece).expect("the terminal is there");
                seen += &String::from_utf8_lossy(&piece[..count]);
            }
        };
        answer_to("", "", "dinrail> ");
        answer_to("set 1 hr 0 42\r", "hr:0 = 42\r\n", "dinrail> ");
        answer_to("sta\t\r", "UPTIME", "dinrail> ");
        answer_to("\x1b[A\x1b[A\x7f\x7f43\r", "hr:0 = 43\r\n", "dinrail> ");
        answer_to("get 1 hr 9x\r", "dinrail: \"9x\" is no address", "dinrail> ");
        answer_to("use serve\r", "\r\n", "serve> ");
        answer_to("half a line", "line", "");
        answer_to("\x03", "\r\n", "serve> ");
        keys.write_all(b"\x04").expect("typed");
    });
    timeout(DEADLINE, talk).await.expect("in time").expect("no surprises");
    assert_eq!(timeout(DEADLINE, child.wait()).await.expect("ends in time").expect("runs").code(), Some(0));
    assert_eq!(stdout(&["read", &server.url, "hr:0"]).await, "43\n");
    server.stop().await;
}
