//! Each group at its own rate, whatever the device and the other groups do.

use std::time::Duration;

use dinrail::Area;
use dinrail::client::Options;
use dinrail::point::Point;
use dinrail::watch::Watch;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::fake::{Peer, pipe};

/// Which address was read, and when.
type Stamps = mpsc::UnboundedReceiver<(u16, Duration)>;

/// Answers after `delay`.
fn stamping(mut peer: Peer<DuplexStream>, delay: impl Fn(usize) -> Duration + Send + 'static) -> Stamps {
    let (stamp, stamps) = mpsc::unbounded_channel();
    let started = Instant::now();
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(asked) = peer.try_asked().await {
            let _ = stamp.send((asked.address(), started.elapsed()));
            sleep(delay(count)).await;
            count += 1;
            peer.send(&asked.registers(0)).await;
        }
    });
    stamps
}

fn point(address: u16) -> Point {
    Point::new(format!("p{address}"), Area::HoldingRegister, address)
}

#[tokio::test(start_paused = true)]
async fn two_groups_keep_their_rates_without_drift() {
    let (client, peer) = pipe(Options::default());
    let mut stamps = stamping(peer, |_| Duration::from_millis(7));
    let watch =
        Watch::new(client).every(Duration::from_millis(100), [point(1)]).every(Duration::from_secs(1), [point(2)]);
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    while slow.len() < 20 {
        let (address, at) = stamps.recv().await.expect("it goes on");
        if address == 1 { &mut fast } else { &mut slow }.push(at);
    }
    for (stamps, period) in [(&fast, Duration::from_millis(100)), (&slow, Duration::from_secs(1))] {
        for (index, at) in (0..).zip(stamps) {
            let due = period * index;
            // It may have to let the other group's request pass.
            assert!(*at >= due && *at <= due + Duration::from_millis(10), "{index}: {at:?}");
        }
    }
    assert!(fast.len() >= 190, "{}", fast.len());
    watch.stop().await;
    while stamps.recv().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn what_is_missed_is_left_out_and_does_not_pile_up() {
    let (client, peer) = pipe(Options::default().with_timeout(Duration::from_secs(2)));
    // The second answer takes longer than nine periods.
    let mut stamps = stamping(peer, |count| Duration::from_millis(if count == 1 { 950 } else { 1 }));
    let _watch = Watch::new(client).every(Duration::from_millis(100), [point(1)]);
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(stamps.recv().await.expect("it goes on").1.as_millis());
    }
    let due: [u128; 5] = [0, 100, 1050, 1100, 1200];
    for (at, due) in times.iter().zip(due) {
        // What is due when the answer comes is read at once or with the next tick; after that it is on time again.
        assert!(*at >= due && *at <= due + 55, "{times:?}");
    }
    assert_eq!(times[4] % 100 / 10, 0, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_group_does_not_hold_up_a_small_one() {
    let (client, peer) = pipe(Options::default());
    let mut stamps = stamping(peer, |_| Duration::from_millis(10));
    // A hundred requests, a second in all, each second.
    let large: Vec<Point> = (0..100).map(|index| point(1000 + 300 * (index % 200))).collect();
    let _watch = Watch::new(client).every(Duration::from_secs(1), large).every(Duration::from_millis(100), [point(1)]);
    let mut small = Vec::new();
    while small.len() < 30 {
        let (address, at) = stamps.recv().await.expect("it goes on");
        if address == 1 {
            small.push(at);
        }
    }
    for (index, at) in (0..).zip(&small) {
        let due = Duration::from_millis(100) * index;
        assert!(*at >= due && *at <= due + Duration::from_millis(25), "{index}: {at:?}");
    }
}
