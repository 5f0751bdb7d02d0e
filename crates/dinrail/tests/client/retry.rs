//! What is asked again, and what is not.

use std::time::Duration;

use dinrail::client::{Backoff, Options, Retry};
use dinrail::{Error, ExceptionCode};
use tokio::time::Instant;

use crate::fake::{Peer, pipe};

fn retry(attempts: u32) -> Retry {
    Retry::attempts(attempts).with_backoff(Backoff::new(Duration::from_millis(10), Duration::from_millis(20)))
}

/// Does not answer `lost` requests, answers `busy` ones with exception 06, then all; counts them.
async fn moody(mut peer: Peer<tokio::io::DuplexStream>, lost: usize, busy: usize) -> usize {
    let mut count = 0;
    while let Some(asked) = peer.try_asked().await {
        count += 1;
        let answer = match count {
            _ if count <= lost => continue,
            _ if count <= lost + busy => asked.frame(&[asked.pdu[0] | 0x80, 6]),
            _ if asked.pdu[0] == 6 => asked.frame(&asked.pdu.clone()),
            _ => asked.registers(0),
        };
        peer.send(&answer).await;
    }
    count
}

#[tokio::test(start_paused = true)]
async fn s003_7_a_lost_reply_and_two_busy_ones_are_survived() {
    let (client, peer) = pipe(Options::default().with_retry(retry(4)));
    let server = tokio::spawn(moody(peer, 1, 2));
    assert_eq!(client.read_holding_registers(5, 1).await.expect("an answer at last"), [5]);
    drop(client);
    assert_eq!(server.await.expect("no panic"), 4);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_again_unless_asked_for() {
    let (client, peer) = pipe(Options::default());
    let server = tokio::spawn(moody(peer, 0, 1));
    let error = client.read_holding_registers(5, 1).await.expect_err("busy");
    assert_eq!(error.exception(), Some(ExceptionCode::ServerDeviceBusy));
    drop(client);
    assert_eq!(server.await.expect("no panic"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_got_no_answer_is_sent_again_only_when_that_is_asked_for() {
    for (retry, sent) in [(retry(3), 1), (retry(3).with_writes(true), 2)] {
        let (client, peer) = pipe(Options::default().with_retry(retry));
        let server = tokio::spawn(moody(peer, 1, 0));
        let result = client.write_register(5, 1).await;
        assert_eq!(result.is_ok(), sent == 2);
        assert!(result.err().is_none_or(|error| error.outcome_unknown()));
        drop(client);
        assert_eq!(server.await.expect("no panic"), sent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_device_has_not_done_it_so_a_write_is_sent_again() {
    let (client, peer) = pipe(Options::default().with_retry(retry(3)));
    let server = tokio::spawn(moody(peer, 0, 2));
    client.write_register(5, 1).await.expect("done at last");
    drop(client);
    assert_eq!(server.await.expect("no panic"), 3);
}

#[tokio::test(start_paused = true)]
async fn s003_19_time_is_bounded_by_attempts_times_timeout_and_waits() {
    let options = Options::default().with_timeout(Duration::from_millis(200)).with_retry(retry(3));
    let (client, peer) = pipe(options);
    let server = tokio::spawn(moody(peer, 99, 0));
    let started = Instant::now();
    let error = client.read_holding_registers(5, 1).await.expect_err("no answer");
    assert!(matches!(error, Error::Timeout { after, .. } if after == Duration::from_millis(200)));
    // Three timeouts, 10 ms and 20 ms; tokio's timers are a millisecond coarse.
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(630) && took <= Duration::from_millis(640), "{took:?}");
    drop(client);
    assert_eq!(server.await.expect("no panic"), 3);
}

#[tokio::test(start_paused = true)]
async fn s003_7_a_deadline_holds_over_all_tries() {
    let deadline = Duration::from_millis(500);
    let options =
        Options::default().with_timeout(Duration::from_millis(200)).with_retry(retry(9).with_deadline(deadline));
    let (client, peer) = pipe(options);
    let server = tokio::spawn(moody(peer, 99, 0));
    let started = Instant::now();
    let error = client.read_holding_registers(5, 1).await.expect_err("no answer");
    assert!(matches!(error, Error::Timeout { after, .. } if after == deadline), "{error}");
    let took = started.elapsed();
    assert!(took >= deadline && took <= deadline + Duration::from_millis(2), "{took:?}");
    // The call that was given up harms no later one, and one that is answered is none the slower for its deadline.
    drop(client);
    assert_eq!(server.await.expect("no panic"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_a_pause_tells_what_the_last_try_ended_with() {
    let slow = Backoff::new(Duration::from_secs(60), Duration::from_secs(60));
    let (client, peer) = pipe(
        Options::default().with_retry(Retry::attempts(3).with_backoff(slow).with_deadline(Duration::from_secs(2))),
    );
    tokio::spawn(moody(peer, 0, 99));
    let started = Instant::now();
    let error = client.write_register(5, 1).await.expect_err("busy");
    assert_eq!(error.exception(), Some(ExceptionCode::ServerDeviceBusy));
    assert!(!error.outcome_unknown() && started.elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_queue_says_that_nothing_was_sent() {
    let (client, peer) = pipe(Options::default().with_timeout(Duration::from_secs(9)));
    let server = tokio::spawn(moody(peer, 99, 0));
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        others.spawn(async move { client.read_holding_registers(1, 1).await });
    }
    tokio::task::yield_now().await;
    let hurried = client.with_retry(Retry::none().with_deadline(Duration::from_secs(1)));
    let error = hurried.write_register(5, 1).await.expect_err("no turn in time");
    assert!(matches!(error, Error::Connect { .. }) && !error.outcome_unknown(), "{error}");
    others.shutdown().await;
    drop((client, hurried));
    assert_eq!(server.await.expect("no panic"), 1, "the write was not sent");
}

#[tokio::test(start_paused = true)]
async fn which_errors_are_worth_another_try_can_be_said() {
    use ExceptionCode::{IllegalDataAddress, ServerDeviceBusy, ServerDeviceFailure};
    // Which exception comes first, what is retried, and how often a read and a write are sent then.
    let table: [(ExceptionCode, &'static [ExceptionCode], usize, usize); 5] = [
        (ServerDeviceBusy, Retry::attempts(3).exceptions, 2, 2),
        (ServerDeviceBusy, &[], 1, 1),
        (IllegalDataAddress, Retry::attempts(3).exceptions, 1, 1),
        (IllegalDataAddress, &[IllegalDataAddress], 2, 1),
        (ServerDeviceFailure, &[ServerDeviceFailure], 2, 1),
    ];
    for (code, exceptions, reads, writes) in table {
        for (write, expected) in [(false, reads), (true, writes)] {
            let (client, mut peer) = pipe(Options::default().with_retry(retry(3).with_exceptions(exceptions)));
            let server = tokio::spawn(async move {
                let asked = peer.asked().await;
                peer.send(&asked.frame(&[asked.pdu[0] | 0x80, code.code()])).await;
                1 + moody(peer, 0, 0).await
            });
            let result = if write {
                client.write_register(5, 1).await
            } else {
                client.read_holding_registers(5, 1).await.map(drop)
            };
            assert_eq!(result.is_ok(), expected == 2, "{code} {exceptions:?} {write}");
            drop(client);
            assert_eq!(server.await.expect("no panic"), expected, "{code} {exceptions:?} {write}");
        }
    }
    let (client, peer) = pipe(Options::default().with_retry(retry(3).with_unanswered(false)));
    tokio::spawn(moody(peer, 1, 0));
    assert!(client.read_holding_registers(5, 1).await.expect_err("no answer").is_timeout());
}
