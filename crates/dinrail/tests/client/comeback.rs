//! After an outage, however long, a device that is back is found as soon as somebody asks for it.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::client::{Backoff, Options};
use dinrail::transport::Connect;
use dinrail::{Client, Error};
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep};

use crate::fake::Peer;

/// A device in memory that is there, or is not; it keeps when somebody tried to connect.
#[derive(Clone, Default)]
struct Device(Arc<State>);

#[derive(Default)]
struct State {
    is_there: AtomicBool,
    tries: Mutex<Vec<Instant>>,
}

impl Device {
    fn set(&self, is_there: bool) {
        self.0.is_there.store(is_there, Ordering::Relaxed);
    }

    fn tries(&self) -> Vec<Instant> {
        self.0.tries.lock().expect("nothing panics with it").clone()
    }

    fn since_last_try(&self) -> Duration {
        self.tries().last().expect("there was one").elapsed()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device in memory")
    }
}

impl Connect for Device {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        self.0.tries.lock().expect("nothing panics with it").push(Instant::now());
        if !self.0.is_there.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(Peer(theirs).serve());
        Ok(ours)
    }
}

/// A client whose device is gone, since its first call.
async fn in_an_outage(options: Options) -> (Client, Device) {
    let device = Device::default();
    let client = Client::lazy(device.clone(), options);
    let error = client.write_register(0, 1).await.expect_err("it is not there");
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    (client, device)
}

#[tokio::test(start_paused = true)]
async fn a_call_after_a_long_outage_does_not_wait_for_the_end_of_a_pause() {
    for outage in [60, 600, 86_400] {
        let (client, device) = in_an_outage(Options::default()).await;
        sleep(Duration::from_secs(outage)).await;
        device.set(true);
        while device.since_last_try() <= Duration::from_secs(1) {
            sleep(Duration::from_millis(100)).await;
        }
        assert!(!client.is_connected());
        let asked = Instant::now();
        assert_eq!(client.read_holding_registers(3, 1).await.expect("it is back"), [3]);
        assert!(asked.elapsed() <= Duration::from_millis(2), "{:?} after {outage} s", asked.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn calls_without_end_try_a_device_that_is_gone_once_a_second() {
    let (client, device) = in_an_outage(Options::default().with_timeout(Duration::from_millis(200))).await;
    sleep(Duration::from_secs(300)).await;
    let before = device.tries().len();
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        client.read_holding_registers(0, 1).await.expect_err("it is not there");
    }
    let tries = device.tries();
    let gaps: Vec<_> = tries.windows(2).skip(before).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (1000..=1250).contains(&gap.as_millis())), "{gaps:?}");
    assert!((15..=20).contains(&gaps.len()), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_more_often_than_the_least_wait_allows() {
    let wait = Duration::from_secs(10);
    let (client, device) = in_an_outage(Options::default().with_reconnect(Backoff::new(wait, wait * 6))).await;
    let until = Instant::now() + Duration::from_secs(120);
    while Instant::now() < until {
        client.read_holding_registers(0, 1).await.expect_err("it is not there");
    }
    let tries = device.tries();
    let gaps: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 10 && gaps.iter().all(|gap| *gap >= wait), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_nobody_uses_waits_half_a_minute_at_most() {
    let (client, device) = in_an_outage(Options::default()).await;
    sleep(Duration::from_secs(3600)).await;
    let tries = device.tries();
    let longest = tries.windows(2).map(|pair| pair[1] - pair[0]).max().expect("many");
    assert!(longest > Duration::from_secs(14) && longest <= Duration::from_millis(30_010), "{longest:?}");
    device.set(true);
    sleep(Duration::from_millis(30_010)).await;
    assert!(client.is_connected());
}
