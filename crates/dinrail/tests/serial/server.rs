//! Servers on a port: exact frames, and what they do about everything that is not for them.

use std::time::Duration;

use dinrail::proto::Framing;
use dinrail::server::Options;
use dinrail::service::{Memory, Units};
use dinrail::transport::{Rts, Serial};
use dinrail::{Area, Server, blocking};

use crate::bus::{Bus, Manner, frame, rtu};

/// Read holding registers 0 and 1.
const READ: [u8; 5] = [3, 0, 0, 0, 2];
const VALUES: [u8; 6] = [3, 4, 1, 2, 3, 4];

pub(crate) fn memory() -> Memory {
    let memory = Memory::with_sizes(10, 10, 100, 100);
    memory.set(Area::HoldingRegister, 0, &[0x0102, 0x0304]).expect("they fit");
    memory
}

async fn serving(port: Serial, units: &[u8]) -> Server<Memory, Serial> {
    let server = Server::serial(port, memory()).with_options(Options::default().with_units(units.iter().copied()));
    server.start().await.expect("the port opens");
    server
}

#[tokio::test]
async fn s001_10_s002_11_rtu_and_ascii_frames_are_exact() {
    let mut bus = Bus::new(1);
    let server = serving(Serial::rtu(bus.port(0)), &[2]).await;
    assert_eq!(bus.ask(&[0x02, 0x03, 0, 0, 0, 2, 0xC4, 0x38], 9).await, [0x02, 0x03, 4, 1, 2, 3, 4, 0x68, 0x3C]);
    assert_eq!(bus.ask(&[0x02, 0x06, 0, 5, 0, 7, 0xD8, 0x3A], 8).await, [0x02, 0x06, 0, 5, 0, 7, 0xD8, 0x3A]);
    assert_eq!(bus.ask(&rtu(2, &[3, 0, 99, 0, 2]), 5).await, rtu(2, &[0x83, 2]));
    server.stop().await;

    let _server = serving(Serial::ascii(bus.port(0)), &[2]).await;
    assert_eq!(bus.ask(b":020300000002F9\r\n", 19).await, b":02030401020304ED\r\n");
    assert_eq!(bus.ask(b":0203000a0001f0\r\n", 15).await, b":0203020000F9\r\n", "small digits are digits");
    assert_eq!(bus.ask(&frame(Framing::Ascii, 2, &[3, 0, 99, 0, 2]), 11).await, frame(Framing::Ascii, 2, &[0x83, 2]));
}

#[tokio::test]
async fn s001_10b_foreign_units_bad_checksums_and_noise_are_met_with_silence() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let mut bus = Bus::new(1);
        let _server = serving(Serial::rtu(bus.port(0)).with_framing(framing), &[2]).await;
        let (request, answer) = (frame(framing, 2, &READ), frame(framing, 2, &VALUES));
        assert_eq!(bus.tell(&frame(framing, 3, &READ)).await, [], "another unit");
        let mut damaged = request.clone();
        damaged[6] ^= 1;
        assert_eq!(bus.tell(&damaged).await, [], "a bad checksum");
        assert_eq!(bus.ask(&request, answer.len()).await, answer, "and the next one is heard");
        let noise = [&[0xFF, 0x02, 0x03, 0x55, b'0', 0x00][..], &request].concat();
        assert_eq!(bus.ask(&noise, answer.len()).await, answer, "noise before it");
        assert_eq!(bus.tell(&[0x02, 0x10, 0, 0, 0, 100, 200, 1]).await, [], "the beginning of a long frame");
        assert_eq!(bus.ask(&request, answer.len()).await, answer, "and the next one is heard");
        assert_eq!(bus.tell(&frame(framing, 2, &VALUES)).await, [], "a reply, as another device might send it");
        assert_eq!(bus.ask(&request, answer.len()).await, answer, "and the next one is heard");
    }
}

/// What strict timing refuses is told in a clock's time, next to the server's driver.
#[tokio::test]
async fn strict_timing_takes_whole_frames() {
    let mut bus = Bus::new(1);
    let port = Serial::rtu(bus.port(0)).with_baud(600).with_strict_timing(true);
    let _server = serving(port, &[2]).await;
    for _ in 0..3 {
        assert_eq!(bus.ask(&rtu(2, &READ), 9).await, rtu(2, &VALUES));
    }
}

#[tokio::test]
async fn several_units_and_broadcasts_s001_15() {
    let units: Vec<Memory> = (0..3).map(|_| memory()).collect();
    let service =
        [1u8, 2, 4].into_iter().zip(&units).fold(Units::new(), |all, (unit, one)| all.with(unit, one.clone()));
    let mut bus = Bus::new(1);
    // Whose units these are is known from the service: nobody has to name them twice.
    let server = Server::serial(Serial::rtu(bus.port(0)), service);
    server.start().await.expect("the port opens");
    assert_eq!(bus.ask(&rtu(4, &READ), 9).await, rtu(4, &VALUES));
    assert_eq!(bus.tell(&rtu(3, &READ)).await, [], "unit 3 is another device");
    assert_eq!(bus.tell(&rtu(0, &[6, 0, 9, 0, 7])).await, [], "a broadcast is not answered");
    assert_eq!(bus.tell(&rtu(0, &[6, 0xFF, 9, 0, 7])).await, [], "not even with an exception");
    assert_eq!(bus.tell(&rtu(0, &READ)).await, [], "reading makes no sense then");
    // This is done after them.
    assert_eq!(bus.ask(&rtu(4, &READ), 9).await, rtu(4, &VALUES));
    for memory in &units {
        assert_eq!(memory.value(Area::HoldingRegister, 9), Some(7));
    }
}

#[tokio::test]
async fn a_broadcast_is_done_once_by_each_unit() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use dinrail::service::{Write, callbacks};

    let count = Arc::new(AtomicUsize::new(0));
    let service = [1u8, 2, 3].into_iter().fold(Units::new(), |all, unit| {
        let count = count.clone();
        let write = move |_: Write| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        all.with(unit, callbacks(|_| Ok(vec![0u16]), write))
    });
    let mut bus = Bus::new(1);
    let server = Server::serial(Serial::rtu(bus.port(0)), service);
    server.start().await.expect("the port opens");
    assert_eq!(bus.tell(&rtu(0, &[6, 0, 9, 0, 7])).await, []);
    assert_eq!(bus.ask(&rtu(1, &[3, 0, 0, 0, 1]), 7).await, rtu(1, &[3, 2, 0, 0]), "this is done after it");
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_the_line_repeats_is_no_request() {
    let mut bus = Bus::with_manner(1, Manner { echo: true, ..Manner::default() });
    let write = rtu(2, &[6, 0, 5, 0, 7]);
    let _server = serving(Serial::rtu(bus.port(0)).with_local_echo(true), &[2]).await;
    // The answer looks as the request does: heard again, it would be answered again, for ever.
    for _ in 0..3 {
        assert_eq!(bus.ask(&write, write.len()).await, write);
        assert_eq!(bus.ask(&rtu(2, &READ), 9).await, rtu(2, &VALUES));
    }
    assert_eq!(bus.hear_all().await, []);
}

#[tokio::test]
async fn an_echo_behind_noise_is_no_request_either() {
    let mut bus = Bus::new(1);
    let _server = serving(Serial::rtu(bus.port(0)).with_local_echo(true), &[2]).await;
    let write = rtu(2, &[6, 0, 5, 0, 7]);
    bus.say(&write);
    assert_eq!(bus.hear(8).await, write);
    assert_eq!(bus.tell(&[&[0x55][..], &write].concat()).await, [], "the echo, with a byte of noise before it");
    assert_eq!(bus.ask(&write, write.len()).await, write, "the same again, asked in earnest");
}

#[tokio::test]
async fn a_port_without_rts_is_served_all_the_same() {
    let mut bus = Bus::new(1);
    let port = Serial::rtu(bus.port(0)).with_rts(Rts::On).with_turnaround(Duration::from_millis(1));
    let _server = serving(port, &[2]).await;
    for _ in 0..2 {
        assert_eq!(bus.ask(&rtu(2, &READ), 9).await, rtu(2, &VALUES));
    }
}

#[test]
fn s001_11_the_blocking_server_does_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for framing in [Framing::Rtu, Framing::Ascii] {
        let mut bus = Bus::new(1);
        let port = Serial::rtu(bus.port(0)).with_framing(framing);
        let server = blocking::Server::serial(port, memory()).with_options(Options::default().with_units([2]));
        for _ in 0..2 {
            let name = server.start().expect("the port opens");
            assert!(name.contains(bus.port(0)), "{name}");
            let (request, answer) = (frame(framing, 2, &READ), frame(framing, 2, &VALUES));
            assert_eq!(runtime.block_on(bus.ask(&request, answer.len())), answer);
            server.stop().expect("it stops");
            assert_eq!(runtime.block_on(bus.tell(&request)), [], "it has stopped");
        }
    }
}
