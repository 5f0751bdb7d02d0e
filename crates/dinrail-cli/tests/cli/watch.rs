//! `dinrail watch`, which is `dinrail monitor` too.

use serde_json::Value;

use crate::harness::{Background, Server, failure, reserve, stdout};

fn object(line: &str) -> Value {
    serde_json::from_str(line).expect("JSON")
}

#[tokio::test]
async fn a_pipe_gets_a_line_a_change() {
    let server = Server::start(&["--set", "hr:0:f32=21.5", "--set", "co:3=on"]).await;
    let mut watch = Background::start(&["watch", &server.url, "level=hr:0:f32", "co:3", "--rate", "20ms"]);
    for expected in ["level\t21.5\tgood", "co:3\ton\tgood"] {
        let line = watch.line().await;
        let (time, rest) = line.split_once('\t').expect("tabs");
        assert!(time.ends_with('Z') && rest == expected, "{line}");
    }
    stdout(&["write", &server.url, "hr:0", "22.25", "--type", "f32"]).await;
    assert!(watch.line().await.ends_with("\tlevel\t22.25\tgood"));
    watch.signal("INT").await;
    let (status, rest, stderr) = watch.end().await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "which a shell shows as 130");
    assert_eq!((rest.as_str(), stderr.as_str()), ("", ""));
    server.stop().await;
}

#[tokio::test]
async fn s003_4_monitor_goes_on_through_a_restart_of_the_server() {
    let place = reserve();
    let server = Server::start_at(&place.url, &["--set", "hr:0=1"]).await;
    let mut watch =
        Background::start(&["monitor", &place.url, "hr:0:hex", "--json", "--rate", "20ms", "--timeout", "500ms"]);
    let first = object(&watch.line().await);
    assert_eq!(
        (&first["name"], &first["address"], &first["type"]),
        (&"hr:0:hex".into(), &"hr:0".into(), &"hex".into())
    );
    assert_eq!((&first["value"], &first["quality"], &first["unit"]), (&"0x0001".into(), &"good".into(), &1.into()));
    assert!(first.get("error").is_none());
    server.stop().await;
    let stale = object(&watch.line().await);
    assert_eq!((&stale["value"], &stale["quality"]), (&"0x0001".into(), &"stale".into()));
    assert!(stale["error"].as_str().is_some_and(|error| error.contains("connect")), "{stale}");
    let server = Server::start_at(&place.url, &["--set", "hr:0=2"]).await;
    let back = object(&watch.line().await);
    assert_eq!((&back["value"], &back["quality"]), (&"0x0002".into(), &"good".into()));
    watch.signal("INT").await;
    let (_, _, stderr) = watch.end().await;
    assert_eq!(stderr, "");
    server.stop().await;
}

#[tokio::test]
async fn a_device_that_is_not_there_yet_is_bad_until_it_comes() {
    let place = reserve();
    let mut watch = Background::start(&["watch", &place.url, "40001", "--json", "--rate", "20ms"]);
    let bad = object(&watch.line().await);
    assert_eq!((&bad["value"], &bad["quality"], &bad["name"]), (&Value::Null, &"bad".into(), &"40001".into()));
    let server = Server::start_at(&place.url, &["--set", "hr:0=3"]).await;
    assert_eq!(object(&watch.line().await)["value"], 3);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_said_at_once() {
    for (args, part) in [
        (&["watch", "plc"][..], "[NAME=]AREA:ADDR[:TYPE]"),
        (&["watch", "plc", "co:0:u16"], "co:0 holds bits: leave the type out"),
        (&["watch", "plc", "hr:0", "--rate", "0s"], "it must be longer than 0"),
    ] {
        let complaint = failure(2, args).await;
        assert!(complaint.contains(part), "{complaint}");
    }
}
