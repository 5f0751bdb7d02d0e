//! Replies that are late, wrong, foreign, in pieces or no replies at all: nobody gets another call's answer.

use std::time::Duration;

use dinrail::client::Options;
use dinrail::{Error, ExceptionCode};
use tokio::time::{Instant, sleep, timeout};

use crate::fake::{self, frame, pipe};

#[tokio::test(start_paused = true)]
async fn s003_8_a_dropped_calls_reply_is_nobodys() {
    let (client, mut peer) = pipe(Options::default());
    let server = tokio::spawn(async move {
        let first = peer.asked().await;
        sleep(Duration::from_millis(300)).await;
        peer.send(&first.registers(0)).await;
        peer.serve().await;
    });
    timeout(Duration::from_millis(100), client.read_holding_registers(1000, 2)).await.expect_err("too short a time");
    for address in 0..10 {
        assert_eq!(client.read_holding_registers(address, 2).await.expect("an answer"), [address, address + 1]);
    }
    assert_eq!((client.stats().orphans, client.stats().timeouts), (0, 0));
    drop(client);
    server.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn s003_8_a_late_reply_is_not_the_next_calls() {
    let (client, mut peer) = pipe(Options::default());
    tokio::spawn(async move {
        let first = peer.asked().await;
        let second = peer.asked().await;
        peer.send(&first.registers(0)).await;
        peer.send(&second.registers(0)).await;
        peer.serve().await;
    });
    let started = Instant::now();
    let error = client.read_holding_registers(1, 1).await.expect_err("no answer");
    assert!(error.is_timeout() && !error.outcome_unknown(), "{error}");
    assert!(started.elapsed() >= Duration::from_secs(1) && started.elapsed() < Duration::from_millis(1010));
    for address in [2, 3, 4] {
        assert_eq!(client.read_holding_registers(address, 1).await.expect("an answer"), [address]);
    }
    assert_eq!((client.stats().late, client.stats().timeouts), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_dropped_and_the_right_reply_still_counts() {
    let (client, mut peer) = pipe(Options::default());
    tokio::spawn(async move {
        while let Some(asked) = peer.try_asked().await {
            let (transaction, unit) = (asked.transaction, asked.unit);
            for wrong in [
                frame(transaction ^ 0x5000, unit, &[3, 2, 9, 9]), // somebody else's transaction
                frame(0, unit, &[3, 2, 9, 9]),
                frame(transaction, unit + 1, &[3, 2, 9, 9]),
                frame(transaction, unit, &[4, 2, 9, 9]),
                frame(transaction, unit, &[3, 4, 9, 9, 9, 9]), // a register too many
                frame(transaction, unit, &[3, 2, 9]),          // a byte short
                frame(transaction, unit, &[0x84, 2]),
            ] {
                peer.send(&wrong).await;
            }
            peer.send(&asked.registers(0)).await;
        }
    });
    for address in 0..5 {
        assert_eq!(client.read_holding_registers(address, 1).await.expect("an answer"), [address]);
    }
    let stats = client.stats();
    assert_eq!((stats.orphans, stats.mismatches, stats.timeouts), (10, 25, 0));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_says_what_came_instead() {
    for (wrong, what) in [
        (|unit| (unit + 1, vec![6, 0, 7, 0, 1]), "the reply comes from unit 2, asked was unit 1"),
        (|unit| (unit, vec![6, 0, 7, 0, 2]), "the reply's value does not fit the request"),
        (|unit| (unit, vec![3, 2, 0, 0]), "the reply is for function 0x03"),
    ] as [(fn(u8) -> (u8, Vec<u8>), &str); 3]
    {
        let (client, mut peer) = pipe(Options::default());
        tokio::spawn(async move {
            let asked = peer.asked().await;
            let (unit, pdu) = wrong(asked.unit);
            peer.send(&frame(asked.transaction, unit, &pdu)).await;
            peer.try_asked().await
        });
        let error = client.write_register(7, 1).await.expect_err("no fitting answer");
        assert!(error.is_timeout() && error.outcome_unknown());
        assert!(error.to_string().contains(what), "{error}");
        assert!(error.to_string().ends_with("whether the write was done is unknown"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_may_come_byte_by_byte_and_two_in_one() {
    let (client, mut peer) = pipe(Options::default().with_depth(2usize));
    tokio::spawn(async move {
        for byte in peer.asked().await.registers(0) {
            peer.send(&[byte]).await;
            sleep(Duration::from_millis(1)).await;
        }
        let both = [peer.asked().await.registers(0), peer.asked().await.registers(0)].concat();
        let (one_and_a_half, rest) = both.split_at(both.len() - 3);
        peer.send(one_and_a_half).await;
        sleep(Duration::from_millis(1)).await;
        peer.send(rest).await;
        peer.serve().await;
    });
    assert_eq!(client.read_holding_registers(4, 2).await.expect("an answer"), [4, 5]);
    let (one, two) = tokio::join!(client.read_holding_registers(6, 2), client.read_holding_registers(8, 2));
    assert_eq!((one.expect("an answer"), two.expect("an answer")), (vec![6, 7], vec![8, 9]));
}

#[tokio::test(start_paused = true)]
async fn s003_13_an_exception_is_an_error_with_its_code() {
    let (client, mut peer) = pipe(Options::default());
    tokio::spawn(async move {
        for code in [2, 6, 0x0B, 0x55] {
            let asked = peer.asked().await;
            peer.send(&asked.frame(&[asked.pdu[0] | 0x80, code])).await;
        }
        peer.serve().await;
    });
    let error = client.read_holding_registers(0, 1).await.expect_err("an exception");
    assert!(matches!(error, Error::Exception(ExceptionCode::IllegalDataAddress)));
    assert_eq!(
        client.write_coil(0, true).await.expect_err("an exception").exception().map(ExceptionCode::code),
        Some(6)
    );
    assert!(client.write_register(0, 1).await.expect_err("an exception").outcome_unknown());
    assert_eq!(
        client.read_coils(0, 1).await.expect_err("an exception").exception().map(ExceptionCode::code),
        Some(0x55)
    );
    assert_eq!(client.read_holding_registers(3, 1).await.expect("the connection is sound"), [3]);
}

#[tokio::test(start_paused = true)]
async fn s003_14_an_exception_brings_no_values() {
    let (client, mut peer) = pipe(Options::default());
    tokio::spawn(async move {
        let asked = peer.asked().await;
        assert_eq!(asked.pdu[0], 3);
        peer.send(&asked.frame(&[0x83, 2])).await;
    });
    let mut values = [7; 3];
    let error = client.read_holding_registers_into(0, &mut values).await.expect_err("an exception");
    assert_eq!((error.exception(), values), (Some(ExceptionCode::IllegalDataAddress), [7; 3]));
}

#[tokio::test]
async fn a_length_that_cannot_be_closes_the_connection_and_a_new_one_is_made() {
    let (listener, address) = fake::listen().await;
    tokio::spawn(async move {
        let mut peer = fake::Peer::accept(&listener).await;
        let asked = peer.asked().await;
        let mut reply = asked.registers(0);
        reply[4..6].copy_from_slice(&[0xFF, 0xFF]);
        peer.send(&reply).await;
        assert_eq!(peer.try_asked().await, None);
        fake::Peer::accept(&listener).await.serve().await;
    });
    let client = dinrail::Client::connect(address).await.expect("a connection");
    let error = client.read_holding_registers(0, 1).await.expect_err("the connection broke");
    assert!(matches!(error, Error::Lost { .. }) && !error.outcome_unknown(), "{error}");
    assert!(error.to_string().contains("length 65535"), "{error}");
    assert_eq!(client.read_holding_registers(5, 1).await.expect("a new connection"), [5]);
    assert_eq!(client.stats().reconnects, 1);
}

#[tokio::test]
async fn the_end_of_the_stream_inside_a_frame_is_the_end_of_the_call() {
    let (listener, address) = fake::listen().await;
    tokio::spawn(async move {
        let mut peer = fake::Peer::accept(&listener).await;
        let asked = peer.asked().await;
        peer.send(&asked.frame(&[6, 0, 1, 0, 2])[..9]).await;
        drop(peer);
        fake::Peer::accept(&listener).await.serve().await;
    });
    let client = dinrail::Client::connect(address).await.expect("a connection");
    let started = Instant::now();
    let error = client.write_register(1, 2).await.expect_err("the connection broke");
    assert!(matches!(error, Error::Lost { .. }) && error.outcome_unknown(), "{error}");
    assert!(started.elapsed() < Duration::from_millis(900), "it does not wait for its timeout");
    assert_eq!(client.read_holding_registers(5, 1).await.expect("a new connection"), [5]);
}
