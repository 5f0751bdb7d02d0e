//! How busy a client keeps a line at 19200 baud, measured: no test, since a loaded machine is late for everything.
//!
//! `cargo test --release -p dinrail --test serial -- --ignored --nocapture keeps_the_line_busy`

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use dinrail::client::{Client, Options};
use dinrail::transport::Serial;

use crate::bus::{pair, rtu};

/// A character of 11 bits at 19200 baud.
const BYTE: Duration = Duration::from_nanos(572_916);
/// t3.5 of it: the silence before a reply, and before a request.
const SILENCE: Duration = Duration::from_nanos(2_005_206);

/// As exactly as can be: the last of it is not slept.
fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()).saturating_sub(Duration::from_micros(100)));
    while Instant::now() < at {
        std::hint::spin_loop();
    }
}

/// A device that reads as long as bytes take to come, is silent for t3.5, and answers byte by byte.
fn device(mut line: File, reply: &[u8]) {
    let mut request = [0; 8];
    while line.read_exact(&mut request).is_ok() {
        let mut at = Instant::now() + BYTE * 8 + SILENCE;
        for byte in reply {
            at += BYTE;
            wait_until(at);
            if line.write_all(&[*byte]).is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "what was measured")]
async fn keeps_the_line_busy() {
    for count in [1u8, 10, 60, 125] {
        let (near, far, name) = pair();
        let reply = rtu(1, &[&[3, count * 2][..], &vec![7; usize::from(count) * 2]].concat());
        let bytes = u32::try_from(8 + reply.len()).expect("a frame");
        let limit = BYTE * bytes + SILENCE * 2;
        let device = std::thread::spawn(move || device(near, &reply));
        let client = Client::connect_with(Serial::rtu(&name), Options::default()).await.expect("the port opens");
        client.read_holding_registers(0, count.into()).await.expect("an answer");
        let exchanges = 3_000 / u32::try_from(limit.as_millis()).expect("some ms");
        let mut taken = Vec::new();
        for _ in 0..exchanges {
            let started = Instant::now();
            client.read_holding_registers(0, count.into()).await.expect("an answer");
            taken.push(started.elapsed());
        }
        let percent = |taken: Duration| 100.0 * limit.as_secs_f64() / taken.as_secs_f64();
        let mean = taken.iter().sum::<Duration>() / exchanges;
        taken.sort_unstable();
        let median = taken[taken.len() / 2];
        println!(
            "{count:3} registers: {limit:?} cannot be spared; the median exchange took {median:?}, {:.1} % busy; the mean \
             {mean:?}, {:.1} %",
            percent(median),
            percent(mean)
        );
        drop((client, far));
        device.join().expect("it ends with its port");
    }
}
