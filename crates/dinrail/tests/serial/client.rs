//! Clients on a port.

use std::time::{Duration, Instant};

use dinrail::client::{Client, Options};
use dinrail::proto::Framing;
use dinrail::transport::{Endpoint, Serial, Tap, Trace};
use dinrail::{Server, blocking, server};

use crate::bus::{Bus, LONG, Manner, frame, rtu};
use crate::server::memory;

const READ: [u8; 5] = [3, 0, 7, 0, 1];

fn options() -> Options {
    Options::default().with_unit(2).with_timeout(LONG)
}

async fn client(bus: &Bus, framing: Framing) -> Client {
    let port = Serial::rtu(bus.port(0)).with_framing(framing);
    Client::connect_with(port, options()).await.expect("the port opens")
}

#[tokio::test]
async fn s003_3_a_call_over_a_port() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let mut bus = Bus::new(1);
        let client = client(&bus, framing).await;
        for value in 0..5u8 {
            let device = async {
                let request = frame(framing, 2, &READ);
                assert_eq!(bus.hear(request.len()).await, request);
                bus.say(&frame(framing, 2, &[3, 2, 0xAB, value]));
            };
            let (read, ()) = tokio::join!(client.read_holding_registers(7, 1), device);
            assert_eq!(read.expect("an answer"), [0xAB00 + u16::from(value)]);
        }
    }
}

/// What comes back of a write looks as its reply does.
#[tokio::test]
async fn the_echo_of_a_line_is_no_answer_whoever_names_the_port() {
    let echo = Manner { echo: true, ..Manner::default() };
    for wrapped in [false, true] {
        let mut bus = Bus::with_manner(1, echo);
        let port: Endpoint = format!("rtu://{}?echo=true", bus.port(0)).parse().expect("a URL");
        let client = match wrapped {
            false => Client::connect_with(port, options()).await,
            true => Client::connect_with(Tap::new(port, Trace::new()), options()).await,
        };
        let client = client.expect("the port opens");
        let hasty = client.with_timeout(Duration::from_millis(200));
        let error = hasty.write_register(1, 2).await.expect_err("there is no device");
        assert!(error.is_timeout(), "{error}");
        assert_eq!(bus.hear(8).await, rtu(2, &[6, 0, 1, 0, 2]));
        let device = async {
            bus.hear(8).await;
            bus.say(&rtu(2, &[6, 0, 1, 0, 3]));
        };
        let (written, ()) = tokio::join!(client.write_register(1, 3), device);
        written.expect("there is one now");
    }
}

#[tokio::test]
async fn noise_before_a_reply_costs_a_moment() {
    let mut bus = Bus::new(1);
    let client = client(&bus, Framing::Rtu).await;
    let device = async {
        bus.hear(8).await;
        // It looks like the beginning of a long reply of the unit that was asked.
        bus.say(&[&[2, 3, 250, 1][..], &rtu(2, &[3, 2, 0xAB, 0xCD])].concat());
    };
    let (read, ()) = tokio::join!(client.read_holding_registers(7, 1), device);
    assert_eq!(read.expect("an answer"), [0xABCD]);
}

/// How long a unit is left alone is a matter of virtual time, where its reply is late by exactly as much as it should be.
#[tokio::test]
async fn a_late_reply_is_never_the_next_calls() {
    let mut bus = Bus::new(1);
    let port = Serial::rtu(bus.port(0));
    let client = Client::connect_with(port, options().with_quarantine(LONG)).await.expect("the port opens");
    for round in 0..3u8 {
        let hasty = client.with_timeout(Duration::from_millis(100));
        assert!(hasty.read_holding_registers(1, 1).await.expect_err("no answer in time").is_timeout());
        assert_eq!(bus.hear(8).await, rtu(2, &[3, 0, 1, 0, 1]));
        let device = async {
            assert_eq!(bus.hear_all().await, [], "the unit is left alone while its reply may come");
            bus.say(&rtu(2, &[3, 2, 0, round]));
            assert_eq!(bus.hear(8).await, rtu(2, &[3, 0, 2, 0, 1]));
            bus.say(&rtu(2, &[3, 2, 1, round]));
        };
        let (read, ()) = tokio::join!(client.read_holding_registers(2, 1), device);
        assert_eq!(read.expect("an answer"), [256 + u16::from(round)]);
    }
    assert_eq!(client.stats().late, 3);
}

#[tokio::test]
async fn a_broadcast_is_not_waited_for_and_keeps_the_turnaround_delay() {
    let mut bus = Bus::new(1);
    let client = client(&bus, Framing::Rtu).await;
    // From before it is sent: a busy machine may hear it late, and would find the delay too short.
    let begun = Instant::now();
    let device = async {
        assert_eq!(bus.hear(8).await, rtu(0, &[6, 0, 1, 0, 2]));
        assert_eq!(bus.hear(8).await, rtu(2, &READ));
        let waited = begun.elapsed();
        bus.say(&rtu(2, &[3, 2, 0, 9]));
        waited
    };
    let calls = async {
        client.unit(0).write_register(1, 2).await.expect("it is sent");
        client.read_holding_registers(7, 1).await.expect("an answer")
    };
    let (values, waited) = tokio::join!(calls, device);
    assert_eq!(values, [9]);
    // The frame's own 4.6 ms are counted, and pass at once on this bus.
    assert!(waited >= Duration::from_millis(95), "{waited:?}");
    assert_eq!(client.stats().timeouts, 0);
}

#[tokio::test]
async fn what_the_line_repeats_is_no_reply() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let bus = Bus::with_manner(2, Manner { echo: true, ..Manner::default() });
        let ours = Serial::rtu(bus.port(0)).with_framing(framing).with_local_echo(true);
        let theirs = Serial::rtu(bus.port(1)).with_framing(framing).with_local_echo(true);
        let server = Server::serial(theirs, memory()).with_options(server::Options::default().with_units([2]));
        server.start().await.expect("the port opens");
        let client = Client::connect_with(ours, options()).await.expect("the port opens");
        for value in 0..5 {
            // The reply to this is the request again.
            client.write_register(7, value).await.expect("it is written");
            assert_eq!(client.read_holding_registers(7, 1).await.expect("the value"), [value]);
        }
        assert_eq!(server.statistics().requests, 10, "nothing was heard twice");
        let stats = client.stats();
        assert_eq!((stats.timeouts, stats.orphans, stats.mismatches), (0, 0, 0), "{stats:?}");
    }
}

#[tokio::test]
async fn replies_of_other_units_are_nothing_for_a_call() {
    let mut bus = Bus::new(1);
    let client = client(&bus, Framing::Rtu).await;
    let device = async {
        bus.hear(8).await;
        bus.say(&rtu(3, &[3, 2, 0, 3]));
        bus.say(&rtu(2, &[4, 2, 0, 4]));
        bus.say(&rtu(2, &[3, 4, 0, 4, 0, 5]));
        bus.say(&rtu(2, &[3, 2, 0, 9]));
    };
    let (read, ()) = tokio::join!(client.read_holding_registers(7, 1), device);
    assert_eq!(read.expect("the answer"), [9]);
}

#[test]
fn s001_11_the_blocking_client_does_the_same() {
    let bus = Bus::new(2);
    let server = blocking::Server::serial(Serial::ascii(bus.port(1)), memory())
        .with_options(server::Options::default().with_units([2]));
    server.start().expect("the port opens");
    let client = blocking::Client::connect_with(Serial::ascii(bus.port(0)), options()).expect("the port opens");
    client.write_registers(10, &[1, 2, 3]).expect("they are written");
    assert_eq!(client.read_holding_registers(9, 5).expect("values"), [0, 1, 2, 3, 0]);
    let nobody = client.unit(3).with_timeout(Duration::from_millis(50));
    assert!(nobody.read_coils(0, 1).expect_err("nobody").is_timeout());
    assert_eq!(client.read_coils(0, 1).expect("a coil"), [false]);
}
