//! What the program says about itself, and how it takes a wrong command line.

use crate::harness::{dinrail, failure, stdout};

#[tokio::test]
async fn help_names_every_command_and_every_exit_code() {
    let help = stdout(&["--help"]).await;
    for line in [
        "serve",
        "check",
        "read",
        "write",
        "scan",
        "bench",
        "console",
        "ws-bridge",
        "pki",
        "completions",
        "Exit codes:",
        "  4    the outcome of a write is unknown",
        "  5    the system failed",
    ] {
        assert!(help.contains(line), "{line:?} is missing in {help}");
    }
}

#[tokio::test]
async fn every_command_has_examples_and_lines_of_readable_length() {
    for command in [
        "serve",
        "check",
        "read",
        "write",
        "watch",
        "scan",
        "sniff",
        "bench",
        "pki",
        "completions",
        "console",
        "ws-bridge",
    ] {
        for option in ["-h", "--help"] {
            let help = stdout(&[command, option]).await;
            assert!(help.contains("Examples:\n"), "{help}");
            assert!(help.contains(&format!("Usage: dinrail {command}")), "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
        }
    }
}

#[tokio::test]
async fn it_knows_its_version() {
    assert_eq!(stdout(&["--version"]).await, concat!("dinrail ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[tokio::test]
async fn without_a_command_it_shows_its_help_as_an_error() {
    let run = dinrail(&[]).await;
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("Usage: dinrail"), "{run:?}");
}

#[tokio::test]
async fn a_wrong_command_line_is_2_and_a_sentence() {
    let table: &[(&[&str], &str)] = &[
        (&["reed"], "'read'"),
        (&["read", "plc"], "AREA:ADDR"),
        (&["read", "plc", "xx:0"], "there is no area \"xx\": write co:, di:, ir: or hr:"),
        (&["read", "plc", "20001"], "such numbers begin with 0, 1, 3 or 4"),
        (&["read", "plc", "hr:70000"], "\"70000\" is no address: take 0 to 65535"),
        (&["read", "plc", "hr:65535", "-n", "2"], "2 items from hr:65535 end behind the last address, 65535"),
        (&["read", "plc", "hr:0", "-n", "0"], "ask for at least one value"),
        (&["read", "plc", "co:0", "--type", "u16"], "co:0 holds bits: leave --type out"),
        (&["read", "plc", "hr:0", "--type", "float"], "no such type: take u16, i16,"),
        (&["read", "plc", "hr:0", "--order", "ABDC"], "no such order: take ABCD, CDAB, BADC or DCBA"),
        (&["read", "plc", "hr:0", "--unit", "256"], "256"),
        (&["read", "plc", "hr:0", "--timeout", "1"], "such as 500ms, 1s or 2m"),
        (&["read", "http://plc", "hr:0"], "http:// is nothing that dinrail knows: take tcp://"),
        (&["read", "rtu://x?baud=0", "hr:0"], "take a speed in bits a second, such as baud=9600"),
        (&["serve", "--listen", "/dev/ttyUSB0"], "looks like a serial port: write rtu:///dev/ttyUSB0"),
        (&["scan", "plc", "--units", "9-1"], "9-1 is empty: write the smaller number first"),
        (&["write", "plc", "hr:0"], "VALUE"),
        (&["write", "plc", "hr:0=1"], "the equals sign is for serve --set: write hr:0 1"),
        (&["write", "plc", "hr:0=1,2", "3"], "the equals sign is for serve --set: write hr:0 1 2"),
        (&["write", "plc", "40011:f32=21.5"], "the equals sign is for serve --set: write hr:10 21.5 --type f32"),
        (&["write", "plc", "co:7=on"], "the equals sign is for serve --set: write co:7 on"),
        (&["write", "plc", "hr:0", "65536"], "\"65536\" is out of range: u16 takes 0 to 65535"),
        (&["write", "plc", "hr:0", "-1"], "\"-1\" is out of range: u16 takes 0 to 65535"),
        (&["write", "plc", "co:0", "maybe"], "\"maybe\" is neither on nor off"),
        (&["write", "plc", "ir:0", "1"], "input registers cannot be written"),
        (&["write", "plc", "di:0", "1"], "discrete inputs cannot be written"),
        (&["serve", "--set", "hr:0=x"], "\"x\" is no whole number"),
        (&["serve", "--unit", "300"], "300"),
        (&["serve", "--console", "0.0.0.0:7020"], "or allow it with --console-public"),
        (&["serve", "--console", "7020"], "\"7020\" is no place for a console: write an IP address and a port"),
        (&["console", "plc", "get", "1", "hr", "0"], "\"plc\" is neither a command nor the address of a console"),
        (&["console", "127.0.0.1:1", "get\nset 1 hr 0 1"], "one command at a time"),
        (&["bench", "plc", "--depth", "0"], "0"),
        (&["completions", "tcsh"], "tcsh"),
    ];
    for (args, part) in table {
        let complaint = failure(2, args).await;
        assert!(complaint.contains(part), "{args:?}: {part:?} is missing in {complaint}");
    }
}

#[tokio::test]
async fn shells_can_complete_it() {
    for (shell, part) in
        [("bash", "complete -F _dinrail"), ("zsh", "#compdef dinrail"), ("fish", "complete -c dinrail")]
    {
        let script = stdout(&["completions", shell]).await;
        assert!(script.contains(part), "{shell}");
        assert!(script.contains("bench"), "{shell}");
    }
}
