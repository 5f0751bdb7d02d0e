//! A device that goes and comes back.

use std::net::SocketAddr;
use std::time::Duration;

use dinrail::client::{Backoff, Options};
use dinrail::point::Point;
use dinrail::proto::value::Value;
use dinrail::service::Memory;
use dinrail::transport::Tcp;
use dinrail::watch::{Change, Quality, Watch};
use dinrail::{Area, Client, Server};
use tokio::time::timeout;

#[allow(dead_code, unreachable_pub, reason = "a program, not a module")]
#[path = "../../examples/monitor.rs"]
mod monitor;

/// A server whose register 0 holds this.
async fn serve(address: SocketAddr, value: u16) -> (Server<Memory>, SocketAddr) {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0, &[value]).expect("it fits");
    let server = Server::tcp(address, memory);
    let address = server.start().await.expect("it listens");
    (server, address)
}

async fn next(watch: &mut Watch) -> Change {
    timeout(Duration::from_secs(20), watch.next()).await.expect("a change in time").expect("it goes on")
}

fn watch(address: SocketAddr) -> Watch {
    let soon = Backoff::new(Duration::from_millis(5), Duration::from_millis(50));
    let options = Options::default().with_timeout(Duration::from_millis(500)).with_reconnect(soon);
    let client = Client::lazy(Tcp::new(address), options);
    Watch::new(client).every(Duration::from_millis(10), [Point::new("level", Area::HoldingRegister, 0)])
}

#[tokio::test]
async fn s003_4_a_restart_is_seen_and_survived() {
    let (server, address) = serve("127.0.0.1:0".parse().expect("an address"), 7).await;
    let mut watch = watch(address);
    for value in 8..11 {
        let change = next(&mut watch).await;
        assert_eq!((change.value, change.quality.is_good()), (Some(Value::U16(value - 1)), true), "{change}");
        server.service().set(Area::HoldingRegister, 0, &[value]).expect("it fits");
    }
    assert_eq!(next(&mut watch).await.value, Some(Value::U16(10)));

    server.stop().await;
    let gone = next(&mut watch).await;
    assert!(matches!(gone.quality, Quality::Stale(_)), "{gone}");
    assert_eq!(gone.value, Some(Value::U16(10)), "the last that is known");
    assert!(gone.age().is_some());

    let (server, _) = serve(address, 10).await;
    let back = next(&mut watch).await;
    assert!(back.quality.is_good() && back.value == Some(Value::U16(10)), "{back}: the same value, but good again");
    server.service().set(Area::HoldingRegister, 0, &[99]).expect("it fits");
    assert_eq!(next(&mut watch).await.value, Some(Value::U16(99)));

    watch.stop().await;
    let closed = async {
        while server.active_connections() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), closed).await.expect("the connection is closed");
    server.stop().await;
}

#[tokio::test]
async fn one_that_is_not_there_yet_is_bad_until_it_comes() {
    let (server, address) = serve("127.0.0.1:0".parse().expect("an address"), 1).await;
    server.stop().await;
    let mut watch = watch(address);
    let change = next(&mut watch).await;
    assert!(matches!(change.quality, Quality::Bad(_)) && change.value.is_none(), "{change}");
    let (_server, _) = serve(address, 5).await;
    assert_eq!(next(&mut watch).await.value, Some(Value::U16(5)));
}

#[tokio::test]
async fn s003_4_monitor() {
    let (server, address) = serve("127.0.0.1:0".parse().expect("an address"), 1).await;
    let mut watch = monitor::start(&address.to_string(), Duration::from_millis(10));
    for _ in 0..5 {
        assert!(next(&mut watch).await.quality.is_good());
    }
    server.stop().await;
    for _ in 0..5 {
        assert!(!next(&mut watch).await.quality.is_good());
    }
    let (server, _) = serve(address, 2).await;
    let values: Vec<_> = [next(&mut watch).await, next(&mut watch).await].map(|change| change.value).into();
    assert!(values.contains(&Some(Value::U16(2))), "{values:?}");
    watch.stop().await;
    while server.active_connections() > 0 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}
