//! What is told of points, to whom, and in which order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::client::Options;
use dinrail::point::{Deadband, Point, Reader};
use dinrail::proto::value::Value;
use dinrail::watch::{Quality, Watch};
use dinrail::{Area, Client, ExceptionCode};
use tokio::sync::watch;

use crate::fake::pipe;

/// A device whose registers are set by a test. What begins with 900 is refused.
#[derive(Clone)]
struct Device {
    registers: Arc<Mutex<Vec<u16>>>,
    /// How many requests it has answered.
    answered: watch::Sender<u64>,
}

impl Device {
    fn new() -> (Client, Self) {
        let (client, mut peer) = pipe(Options::default().with_timeout(Duration::from_millis(50)));
        let device = Self { registers: Arc::new(Mutex::new(vec![0; 1000])), answered: watch::Sender::new(0) };
        let this = device.clone();
        tokio::spawn(async move {
            while let Some(asked) = peer.try_asked().await {
                let (first, count) = (usize::from(asked.address()), usize::from(asked.pdu[4]));
                let answer = if first >= 900 {
                    vec![0x83, 2]
                } else {
                    let registers = this.registers.lock().expect("no panic");
                    let bytes = registers[first..first + count].iter().flat_map(|register| register.to_be_bytes());
                    [3, 2 * count as u8].into_iter().chain(bytes).collect()
                };
                peer.send(&asked.frame(&answer)).await;
                this.answered.send_modify(|answered| *answered += 1);
            }
        });
        (client, device)
    }

    fn set(&self, address: usize, value: u16) {
        self.registers.lock().expect("no panic")[address] = value;
    }

    /// Waits for two more answers: the second began after this, and the first has been taken in by then.
    async fn read_again(&self) {
        let mut answered = self.answered.subscribe();
        let before = *answered.borrow();
        answered.wait_for(|now| *now >= before + 2).await.expect("it goes on");
    }
}

fn point(address: u16) -> Point {
    Point::new(format!("p{address}"), Area::HoldingRegister, address)
}

const PERIOD: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn only_what_has_changed_is_told_and_the_latest_of_it() {
    let (client, device) = Device::new();
    let mut watch = Watch::new(client).every(PERIOD, [point(0), point(1), point(2)]);
    for index in 0..3 {
        let first = watch.next().await.expect("a state");
        assert_eq!((first.index, first.value), (index, Some(Value::U16(0))));
        assert_eq!(first.to_string(), format!("p{index} = 0"));
    }
    // Nothing changes: nothing is told, however long one waits.
    tokio::time::timeout(Duration::from_secs(60), watch.next()).await.expect_err("nothing new");
    assert!(watch.image().iter().all(|state| state.age().is_some_and(|age| age <= 2 * PERIOD)), "but it is read");
    // Nobody takes them: the point is told once, with what it is now, behind what changed before that.
    for value in 1..=5 {
        device.set(0, value);
        if value == 2 {
            device.set(2, 22);
        }
        device.read_again().await;
    }
    let change = watch.next().await.expect("a change");
    assert_eq!((change.index, change.value), (2, Some(Value::U16(22))));
    let change = watch.next().await.expect("a change");
    assert_eq!((change.index, change.value), (0, Some(Value::U16(5))));
    tokio::time::timeout(Duration::from_secs(60), watch.next()).await.expect_err("nothing new");
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_is_told_the_present_state_first_and_all_are_told_the_end() {
    let (client, device) = Device::new();
    let watch = Watch::new(client.clone())
        .every(PERIOD, [point(0), point(1)])
        .reading(2 * PERIOD, Reader::new(client, [point(900)]));
    device.set(0, 7);
    let mut early = watch.subscribe();
    for _ in 0..3 {
        early.next().await.expect("a state");
    }
    let mut late = watch.subscribe();
    let mut states = Vec::new();
    for _ in 0..3 {
        states.push(late.next().await.expect("a state"));
    }
    states.sort_by_key(|state| state.index);
    assert_eq!(states[0].value, Some(Value::U16(7)));
    let refused = states[2].quality.error().and_then(dinrail::Error::exception);
    assert_eq!(refused, Some(ExceptionCode::IllegalDataAddress));
    assert!(matches!(states[2].quality, Quality::Bad(_)), "and the others are good: {states:?}");
    device.set(1, 8);
    for changes in [&mut early, &mut late] {
        assert_eq!(changes.next().await.expect("a change").value, Some(Value::U16(8)));
    }
    assert_eq!(early.image().len(), 3);
    device.set(0, 9);
    device.read_again().await;
    drop(watch);
    assert_eq!(early.next().await.expect("what came before the end").value, Some(Value::U16(9)));
    assert!(early.next().await.is_none());
    late.next().await.expect("the same");
    assert!(late.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deadband_hides_small_changes_and_no_drift() {
    let (client, device) = Device::new();
    let points = [
        point(0).with_scale(0.5).with_deadband(Deadband::Absolute(5.0)),
        point(1).with_deadband(Deadband::Percent(10.0)),
    ];
    device.set(0, 1000);
    device.set(1, 1000);
    let mut watch = Watch::new(client).every(PERIOD, points);
    for _ in 0..2 {
        watch.next().await.expect("a state");
    }
    let mut told = Vec::new();
    for step in 1..=25 {
        device.set(0, 1000 + step);
        device.set(1, 1000 + 10 * step);
        device.read_again().await;
        while let Ok(change) = tokio::time::timeout(Duration::ZERO, watch.next()).await {
            let change = change.expect("it goes on");
            told.push((change.index, change.value.expect("a value").to_string()));
        }
    }
    let of = |index| told.iter().filter(|one| one.0 == index).map(|one| one.1.as_str()).collect::<Vec<_>>();
    assert_eq!(of(0), ["505.5", "511.0"], "more than 5.0 from what was told");
    assert_eq!(of(1), ["1110", "1230"], "more than a tenth from what was told");
    let image = watch.image();
    assert_eq!(image[1].value, Some(Value::U16(1250)), "the image has the value as it was read");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_client_and_without_points_at_once() {
    let (client, _device) = Device::new();
    assert!(Watch::new(client.clone()).next().await.is_none());
    let mut watch = Watch::new(client.clone()).every(PERIOD, [point(0)]);
    watch.next().await.expect("a state");
    client.close();
    let last = watch.next().await.expect("its last");
    assert!(matches!(last.quality, Quality::Stale(_)), "{last}");
    assert!(watch.next().await.is_none());
}
