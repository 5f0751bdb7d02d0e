//! Many calls, many callers, many devices.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dinrail::Client;
use dinrail::client::Options;
use tokio::time::{Instant, sleep};

use crate::fake::{self, Peer, pipe};

#[tokio::test(start_paused = true)]
async fn s003_2_devices_are_read_at_the_same_time() {
    let mut calls = tokio::task::JoinSet::new();
    let started = Instant::now();
    for _ in 0..3 {
        let (client, mut peer) = pipe(Options::default());
        tokio::spawn(async move {
            let asked = peer.asked().await;
            sleep(Duration::from_millis(300)).await;
            peer.send(&asked.registers(0)).await;
            peer.try_asked().await
        });
        calls.spawn(async move { client.unit(1).read_holding_registers(10, 3).await });
    }
    while let Some(result) = calls.join_next().await {
        assert_eq!(result.expect("no panic").expect("an answer"), [10, 11, 12]);
    }
    assert!(started.elapsed() < Duration::from_millis(350), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn s003_15_calls_go_to_unit_1_unless_said_otherwise() {
    let (client, peer) = pipe(Options::default());
    let server = tokio::spawn(units_asked(peer));
    client.read_holding_registers(0, 1).await.expect("an answer");
    client.write_register(0, 1).await.expect_err("that peer answers with registers");
    client.unit(9).read_holding_registers(0, 1).await.expect("an answer");
    drop(client);
    assert_eq!(server.await.expect("no panic"), [1, 1, 9]);
}

/// Answers everything with registers, and says which units were asked.
async fn units_asked(mut peer: Peer<tokio::io::DuplexStream>) -> Vec<u8> {
    let mut units = Vec::new();
    while let Some(asked) = peer.try_asked().await {
        units.push(asked.unit);
        peer.send(&asked.registers(0)).await;
    }
    units
}

#[tokio::test(start_paused = true)]
async fn s003_16_a_handle_for_each_unit() {
    let (client, peer) = pipe(Options::default());
    let server = tokio::spawn(units_asked(peer));
    client.read_holding_registers(0, 1).await.expect("an answer");
    client.unit(17).read_holding_registers(0, 1).await.expect("an answer");
    client.unit(0).read_holding_registers(0, 1).await.expect("an answer");
    client.unit(255).read_holding_registers(0, 1).await.expect("an answer");
    client.read_holding_registers(0, 1).await.expect("an answer");
    drop(client);
    assert_eq!(server.await.expect("no panic"), [1, 17, 0, 255, 1]);
}

#[tokio::test(start_paused = true)]
async fn s003_9_a_hundred_calls_at_once_get_their_own_answers() {
    for depth in [1usize, 4, 16] {
        let (client, mut peer) = pipe(Options::default().with_depth(depth));
        let server = tokio::spawn(async move {
            let mut most = 0;
            let mut open = VecDeque::new();
            loop {
                // All that has come, then answers in reverse order.
                tokio::select! {
                    biased;
                    asked = peer.try_asked() => match asked {
                        Some(asked) => open.push_front(asked),
                        None => return most,
                    },
                    () = sleep(Duration::from_millis(1)) => {
                        most = most.max(open.len());
                        while let Some(asked) = open.pop_front() {
                            peer.send(&asked.registers(0)).await;
                        }
                    }
                }
            }
        });
        let mut calls = tokio::task::JoinSet::new();
        for address in 0..100 {
            let client = client.clone();
            calls.spawn(async move { (address, client.read_holding_registers(address, 1).await) });
        }
        while let Some(result) = calls.join_next().await {
            let (address, read) = result.expect("no panic");
            assert_eq!(read.expect("an answer"), [address]);
        }
        drop(client);
        assert_eq!(server.await.expect("no panic"), depth, "so many are out at a time, and no more");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_dropped_anywhere_leave_the_others_alone() {
    for depth in [1usize, 3] {
        let (client, peer) = pipe(Options::default().with_depth(depth));
        tokio::spawn(slow(peer));
        let started = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for address in 0..200u16 {
            let client = client.clone();
            calls.spawn(async move {
                let call = client.read_holding_registers(address, 1);
                if address % 3 == 0 {
                    // In the queue, on the line, answered: whatever it is by then.
                    let _ = tokio::time::timeout(Duration::from_millis(u64::from(address)), call).await;
                } else {
                    assert_eq!(call.await.expect("an answer"), [address]);
                }
            });
        }
        while let Some(result) = calls.join_next().await {
            result.expect("no panic");
        }
        assert!(
            started.elapsed() < Duration::from_millis(900),
            "no slot waited for a timeout: {:?}",
            started.elapsed()
        );
        assert_eq!(client.read_holding_registers(7, 1).await.expect("an answer"), [7]);
        assert_eq!((client.stats().orphans, client.stats().mismatches), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_call_again_and_again_hold_up_none_of_each_other() {
    for depth in [1usize, 4] {
        for tasks in [2u16, 3, 10, 16, 20] {
            let (client, peer) = pipe(Options::default().with_depth(depth));
            tokio::spawn(slow(peer));
            let started = Instant::now();
            let mut calls = tokio::task::JoinSet::new();
            for task in 0..tasks {
                let client = client.clone();
                calls.spawn(async move {
                    for call in 0..20 {
                        let address = 100 * task + call;
                        assert_eq!(client.read_holding_registers(address, 1).await.expect("an answer"), [address]);
                    }
                });
            }
            while let Some(result) = calls.join_next().await {
                result.expect("no panic");
            }
            // A timer is a millisecond coarse.
            let most = Duration::from_millis(2) * 20 * u32::from(tasks) + Duration::from_millis(10);
            assert!(started.elapsed() < most, "{tasks} at depth {depth}: {:?}", started.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_slots_of_dropped_calls_go_to_those_who_wait() {
    let (client, peer) = pipe(Options::default().with_depth(16usize));
    tokio::spawn(async move {
        sleep(Duration::from_millis(10)).await;
        peer.serve().await;
    });
    let mut dropped = tokio::task::JoinSet::new();
    for address in 0..16 {
        let client = client.clone();
        dropped.spawn(async move {
            tokio::time::timeout(Duration::from_millis(5), client.read_holding_registers(address, 1)).await
        });
    }
    sleep(Duration::from_millis(1)).await;
    let started = Instant::now();
    assert_eq!(client.read_holding_registers(20, 1).await.expect("an answer"), [20]);
    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
    assert!(dropped.join_all().await.iter().all(Result::is_err));
}

/// Answers after a millisecond.
async fn slow(mut peer: fake::Peer<tokio::io::DuplexStream>) {
    while let Some(asked) = peer.try_asked().await {
        sleep(Duration::from_millis(1)).await;
        peer.send(&asked.registers(0)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_polls_holds_up_no_other() {
    let (client, peer) = pipe(Options::default());
    tokio::spawn(slow(peer));
    let mut neglected = pin!(client.read_holding_registers(1, 1));
    assert!(neglected.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let started = Instant::now();
    assert_eq!(client.read_holding_registers(2, 1).await.expect("an answer"), [2]);
    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(neglected.await.expect("its answer has been kept"), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_lone_call_that_nobody_polls_is_answered_all_the_same() {
    let (client, peer) = pipe(Options::default());
    tokio::spawn(slow(peer));
    let mut neglected = pin!(client.read_holding_registers(1, 1));
    assert!(neglected.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    sleep(Duration::from_secs(5)).await;
    let Poll::Ready(read) = neglected.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the driver looks after it when its time is up");
    };
    assert_eq!(read.expect("its answer was there in time"), [1]);
}

#[tokio::test]
async fn it_can_be_used_from_many_threads() {
    let address = fake::registers().await;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    let work = runtime.spawn(async move {
        for depth in [1usize, 16] {
            let options = Options::default().with_depth(depth).with_timeout(Duration::from_secs(60));
            let client = Client::connect_with(dinrail::transport::Tcp::new(address), options).await.expect("a server");
            let mut calls = tokio::task::JoinSet::new();
            for task in 0..20u16 {
                let client = client.clone();
                calls.spawn(async move {
                    for call in 0..200u16 {
                        let address = task * 200 + call;
                        let read = client.read_holding_registers(address, 2).await.expect("an answer");
                        assert_eq!(read, [address, address + 1]);
                    }
                });
            }
            while let Some(result) = calls.join_next().await {
                result.expect("no panic");
            }
        }
    });
    work.await.expect("no panic");
    runtime.shutdown_background();
}

#[tokio::test(start_paused = true)]
async fn calls_that_turn_out_to_be_illegal_hold_up_no_other() {
    let (client, mut peer) = pipe(Options::default().with_depth(16usize));
    tokio::spawn(async move {
        // All at once, so that no later answer helps the call behind them.
        let mut answers = Vec::new();
        for _ in 0..16 {
            answers.extend(peer.asked().await.registers(0));
        }
        peer.send(&answers).await;
        peer.serve().await;
    });
    let mut calls = tokio::task::JoinSet::new();
    // As many as there are slots, then as many that cannot be sent, then one more: all in the order of their spawning.
    for count in [[1; 16], [126; 16]].concat().into_iter().chain([1]) {
        let client = client.clone();
        calls.spawn(async move { (count, client.read_holding_registers(0, count).await) });
    }
    let started = Instant::now();
    while let Some(result) = calls.join_next().await {
        let (count, read) = result.expect("no panic");
        assert_eq!(read.is_ok(), count == 1);
    }
    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
}
