//! What a line may cost, and strict timing to the millisecond.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::proto::Framing;
use crate::proto::adu::crc16;
use crate::server::Options;
use crate::server::connection::Known;
use crate::server::shared::Shared;
use crate::service::{Memory, Peer};

#[tokio::test(start_paused = true)]
async fn a_strict_line_that_is_never_silent_takes_no_more_memory_than_a_frame() {
    let shared = Arc::new(Shared::new(Options::default().with_framing(Framing::Rtu), None));
    let gap = Duration::from_millis(2);
    let mut wire = Wire::new(&shared.options, Burst::Silence(gap));
    wire.strict = Some(gap);
    let entry = shared.admit(Peer::default()).expect("there is room");
    let (io, _far) = tokio::io::duplex(64);
    let mut line = Line { io, known: Known::new(shared, entry) };
    let service = Memory::new();
    let mut driver = Driver::new(&mut line, wire, &service);
    for _ in 0..1000 {
        driver.take(&[0x55; 1000]);
        assert_eq!(driver.ended(true), None);
        assert!(driver.window.len() <= 2 * Framing::Rtu.max_adu(), "{} bytes", driver.window.len());
    }
    assert_eq!(driver.ended(false), None);
    assert!(driver.window.is_empty());
    assert_eq!(driver.protocol.counters().overruns, 1);
}

#[tokio::test(start_paused = true)]
async fn strict_timing_takes_frames_whole_or_not_at_all() {
    let shared = Arc::new(Shared::new(Options::default().with_framing(Framing::Rtu), None));
    let ms = Duration::from_millis;
    let mut wire = Wire::new(&shared.options, Burst::Silence(ms(64)));
    wire.strict = Some(ms(27));
    let entry = shared.admit(Peer::default()).expect("there is room");
    let (io, mut far) = tokio::io::duplex(256);
    let mut line = Line { io, known: Known::new(shared, entry) };
    let service = Memory::new();
    let driver = Driver::new(&mut line, wire, &service);
    let rtu = |frame: &[u8]| [frame, &crc16(frame).to_le_bytes()[..]].concat();
    let (request, reply) = (rtu(&[1, 3, 0, 0, 0, 1]), rtu(&[1, 3, 2, 0, 0]));
    let master = async {
        // A gap within the frame, what stands before it, and how long it is until the rest of it has come.
        for (pause, before, answered) in [
            (ms(0), &[][..], true),
            (ms(26), &[], true),
            (ms(28), &[], false),
            (ms(63), &[], false),
            (ms(70), &[], false),
            (ms(0), &[0x55], false),
            (ms(0), &[], true),
        ] {
            let bytes = [before, &request].concat();
            far.write_all(&bytes[..4]).await.expect("it is there");
            tokio::time::sleep(pause).await;
            let sent = Instant::now();
            far.write_all(&bytes[4..]).await.expect("it is there");
            let mut heard = [0; 16];
            let read = tokio::time::timeout(ms(1000), far.read(&mut heard)).await;
            let heard = read.map_or(&[][..], |read| &heard[..read.expect("it is there")]);
            assert_eq!(heard, if answered { &reply[..] } else { &[] }, "{pause:?} {before:?}");
            // The answer keeps its distance too.
            assert!(sent.elapsed() >= ms(64), "{:?}", sent.elapsed());
        }
    };
    tokio::select! {
        _ = driver.run() => panic!("the line has ended"),
        () = master => {}
    }
}
