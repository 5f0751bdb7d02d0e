//! `dinrail bench`.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{Background, DEADLINE, Server, dinrail, failure, fake, reserve, stdout};

#[tokio::test]
async fn s003_9_it_counts_and_measures() {
    let server = Server::start(&[]).await;
    let args = ["bench", &server.url, "--connections", "3", "--depth", "2", "--duration", "300ms", "--json"];
    let report: serde_json::Value = serde_json::from_str(&stdout(&args).await).expect("JSON");
    assert!(report["requests"].as_u64().is_some_and(|requests| requests > 10), "{report}");
    assert!(report["requests_per_second"].as_f64().is_some_and(|rate| rate > 30.0), "{report}");
    let latency = |name: &str| report["latency_us"][name].as_f64().expect("a number");
    assert!(latency("min") <= latency("p50") && latency("p50") <= latency("p99.9"), "{report}");
    assert_eq!(report["errors"], serde_json::json!({}));

    let text = stdout(&["bench", &server.url, "--read", "co:0", "-n", "2000", "--duration", "100ms"]).await;
    assert!(text.contains("requests/s, 0 errors") && text.contains("p99.9"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn exceptions_are_errors_and_1() {
    let refusing = fake(|pdu| Some(vec![pdu[0] | 0x80, 2])).await;
    let run = dinrail(&["bench", &refusing, "--duration", "50ms"]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("0 requests in") && run.stdout.contains(" x the device refused"), "{run:?}");
}

#[tokio::test]
async fn nobody_there_is_3_at_once() {
    let complaint = failure(3, &["bench", &reserve().url, "--duration", "1h"]).await;
    assert!(complaint.contains("cannot connect to"), "{complaint}");
}

#[tokio::test]
async fn ctrl_c_still_reports() {
    let asked = Arc::new(Notify::new());
    let device = fake({
        let asked = asked.clone();
        move |_| {
            asked.notify_one();
            Some(vec![3, 2, 0, 0])
        }
    });
    let measuring = Background::start(&["bench", &device.await, "-n", "1", "--duration", "1h"]);
    timeout(DEADLINE, asked.notified()).await.expect("it measures");
    measuring.signal("INT").await;
    let (status, stdout, _) = measuring.end().await;
    assert_eq!(status.code(), Some(130));
    assert!(stdout.contains("requests/s"), "{stdout}");
}
