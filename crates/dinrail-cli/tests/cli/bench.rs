//! `dinrail bench`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
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
async fn s003_9_both_clients_are_measured() {
    let server = Server::start(&[]).await;
    for client in [&["--depth", "16"][..], &["--blocking"]] {
        let args = [&["bench", &server.url, "--connections", "2", "--duration", "300ms"], client].concat();
        let text = stdout(&args).await;
        let (requests, rest) = text.split_once(" requests in ").expect("how many");
        assert!(requests.parse::<u64>().is_ok_and(|requests| requests > 10), "{args:?}: {text}");
        assert!(rest.contains(" requests/s, 0 errors\n") && rest.contains("p99.9"), "{args:?}: {text}");
    }
    server.stop().await;
    for (with, value) in [("--depth", "2"), ("--threads", "2")] {
        let complaint = failure(2, &["bench", "plc", "--blocking", with, value]).await;
        assert!(complaint.contains("cannot be used with"), "{complaint}");
    }
}

#[tokio::test]
async fn the_blocking_client_asks_one_at_a_time_over_each_connection() {
    let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("an address"));
    tokio::spawn({
        let (connections, requests) = (connections.clone(), requests.clone());
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let requests = requests.clone();
                tokio::spawn(async move {
                    let mut asked = [0; 512];
                    while let Ok(12) = stream.read(&mut asked).await {
                        requests.fetch_add(1, Ordering::Relaxed);
                        let reply = [&asked[..5], &[5, asked[6], 3, 2, 0, 1]].concat();
                        stream.write_all(&reply).await.expect("the client is there");
                    }
                });
            }
        }
    });
    let args = ["bench", &url, "-n", "1", "--blocking", "--connections", "5", "--duration", "200ms", "--json"];
    let report: serde_json::Value = serde_json::from_str(&stdout(&args).await).expect("JSON");
    assert_eq!(report["errors"], serde_json::json!({}), "two requests at once would have gone unanswered");
    assert_eq!(report["requests"], requests.load(Ordering::Relaxed));
    assert_eq!(connections.load(Ordering::Relaxed), 5);
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
    let nobody = reserve();
    for client in ["--threads=1", "--blocking"] {
        let complaint = failure(3, &["bench", &nobody.url, "--duration", "1h", client]).await;
        assert!(complaint.contains("cannot connect to"), "{complaint}");
    }
}

#[tokio::test]
async fn ctrl_c_still_reports() {
    for client in ["--threads=1", "--blocking"] {
        let asked = Arc::new(Notify::new());
        let device = fake({
            let asked = asked.clone();
            move |_| {
                asked.notify_one();
                Some(vec![3, 2, 0, 0])
            }
        });
        let measuring = Background::start(&["bench", &device.await, "-n", "1", "--duration", "1h", client]);
        timeout(DEADLINE, asked.notified()).await.expect("it measures");
        measuring.signal("INT").await;
        let (status, stdout, _) = measuring.end().await;
        assert_eq!(status.code(), Some(130));
        assert!(stdout.contains("requests/s"), "{stdout}");
    }
}
