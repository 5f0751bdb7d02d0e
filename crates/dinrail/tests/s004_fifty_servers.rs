//! Fifty servers in one process. A program of its own: it counts the descriptors and tasks of all of it.

#![cfg(target_os = "linux")] // where a process can count its descriptors
#![allow(clippy::unwrap_used)] // in a test, an unwrap is an assertion

use std::time::{Duration, Instant};

use dinrail::server::{Manager, Options};
use dinrail::service::Memory;
use dinrail::transport::Endpoint;
use dinrail::{Client, Server};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Fifty servers of every kind, each asked once.
async fn fifty() -> Duration {
    let manager = Manager::new();
    for number in 0..50 {
        let store = Memory::with_sizes(0, 0, 10, 0);
        let name = format!("server {number}");
        match number % 5 {
            0 => {
                let udp: Endpoint = "udp://127.0.0.1:0".parse().unwrap();
                manager.add(name, Server::on(udp, store)).unwrap();
            }
            1 => {
                let options = Options::default().with_threads(1);
                manager.add(name, Server::tcp("127.0.0.1:0", store).with_options(options)).unwrap();
            }
            _ => manager.add(name, Server::tcp("127.0.0.1:0", store)).unwrap(),
        }
    }
    let began = Instant::now();
    manager.start_all().await.unwrap();
    let started = began.elapsed();
    let mut clients = Vec::new();
    for status in manager.status() {
        let endpoint: Endpoint = status.address.parse().unwrap();
        let client = Client::connect_with(endpoint, dinrail::client::Options::default()).await.unwrap();
        client.read_holding_registers(0, 10).await.unwrap();
        clients.push(client);
    }
    // A server counts once it has answered.
    let answered = || manager.status().iter().map(|status| status.requests).sum::<u64>();
    for _ in 0..1000 {
        if answered() < 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(answered(), 50);
    let began = Instant::now();
    let report = manager.stop_all().await;
    assert_eq!((report.drained, report.aborted), (40, 0), "ten have no connections");
    assert!(manager.status().iter().all(|status| !status.running));
    started + began.elapsed()
}

#[tokio::test]
async fn s004_8_fifty_servers_start_and_stop_within_a_second_and_leave_nothing() {
    let before = (descriptors(), threads(), tasks());
    let mut left = before;
    for _ in 0..3 {
        let time = fifty().await;
        assert!(time < Duration::from_secs(1), "{time:?}");
    }
    for _ in 0..1000 {
        left = (descriptors(), threads(), tasks());
        if left.0 <= before.0 && left.1 <= before.1 && left.2 <= before.2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("descriptors, threads and tasks: {before:?} before, {left:?} after");
}
