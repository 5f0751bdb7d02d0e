//! What a line may cost.

use std::sync::Arc;

use super::*;
use crate::proto::Framing;
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
