//! Jobs in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dinrail::Error;
use dinrail::client::{Options, Queue};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::fake::pipe;

#[tokio::test(start_paused = true)]
async fn s003_5_results_come_in_order_and_it_ends_when_told() {
    let (client, mut peer) = pipe(Options::default());
    let server = tokio::spawn(async move {
        let mut order = Vec::new();
        while let Some(asked) = peer.try_asked().await {
            order.push(asked.address());
            // The first take longest: it is not for that that they come in order.
            tokio::time::sleep(Duration::from_millis(200 - u64::from(asked.address()))).await;
            peer.send(&asked.registers(0)).await;
        }
        order
    });
    let queue = Queue::new(client, 5);
    let producer = tokio::spawn({
        let queue = queue.clone();
        async move {
            let mut submitted = Vec::new();
            for address in 0..100u16 {
                let job = queue.submit(move |plc| async move { plc.read_holding_registers(address, 1).await });
                submitted.push(job.await.expect("it is open"));
            }
            submitted
        }
    });
    for (address, job) in (0..100u16).zip(producer.await.expect("no panic")) {
        assert_eq!(job.await.expect("an answer"), [address]);
    }
    let last = queue.submit(|plc| async move { plc.read_holding_registers(100, 1).await }).await.expect("it is open");
    queue.close().await;
    assert_eq!(last.await.expect("what was submitted is done"), [100]);
    assert_eq!(server.await.expect("no panic"), (0..=100).collect::<Vec<u16>>(), "and the connection is closed");
    let refused = queue.submit(|plc| async move { plc.read_coils(0, 1).await }).await.expect_err("it is closed");
    assert!(matches!(refused, Error::Closed { sent: false }));
    queue.close().await;
}

#[tokio::test(start_paused = true)]
async fn who_submits_too_much_waits_and_may_give_up() {
    let (client, peer) = pipe(Options::default());
    tokio::spawn(peer.serve());
    let queue = Queue::new(client, 2);
    let done = Arc::new(AtomicUsize::new(0));
    let (release, released) = oneshot::channel::<()>();
    let first = queue.submit(|_| async move { Ok(released.await.is_ok()) }).await.expect("room");
    tokio::task::yield_now().await; // it is being done
    let count = || {
        let done = done.clone();
        move |_| async move {
            done.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    };
    for _ in 0..2 {
        drop(queue.submit(count()).await.expect("room"));
    }
    timeout(Duration::from_secs(60), queue.submit(count())).await.expect_err("it is full");
    release.send(()).expect("it waits for that");
    assert!(first.await.expect("its result"));
    let last = queue.submit(count()).await.expect("room again");
    last.await.expect("done");
    assert_eq!(done.load(Ordering::SeqCst), 3, "what nobody waits for is done, what was not submitted is not");
}

#[tokio::test]
async fn a_job_that_panics_harms_no_other() {
    let (client, peer) = pipe(Options::default());
    let server = tokio::spawn(peer.serve());
    let queue = Queue::new(client, 4);
    let at_once = queue.submit::<(), std::future::Ready<_>>(|_| panic!("on purpose")).await.expect("room");
    let later = queue.submit::<(), _>(|_| async { panic!("on purpose") }).await.expect("room");
    let sound = queue.submit(|plc| async move { plc.read_holding_registers(9, 1).await }).await.expect("room");
    assert!(matches!(at_once.await, Err(Error::Closed { sent: true })));
    assert!(matches!(later.await, Err(Error::Closed { sent: true })));
    assert_eq!(sound.await.expect("an answer"), [9]);
    drop(queue);
    server.await.expect("the connection is closed with the last handle");
}

#[tokio::test]
async fn calls_of_one_job_are_not_parted() {
    let (client, mut peer) = pipe(Options::default());
    let server = tokio::spawn(async move {
        let mut order = Vec::new();
        while let Some(asked) = peer.try_asked().await {
            order.push(asked.address());
            peer.send(&asked.registers(0)).await;
        }
        order
    });
    let queue = Queue::new(client, 4);
    let mut jobs = tokio::task::JoinSet::new();
    for job in 0..4u16 {
        let queue = queue.clone();
        jobs.spawn(async move {
            let pair = queue.submit(move |plc| async move {
                plc.read_holding_registers(job, 1).await?;
                tokio::task::yield_now().await;
                plc.read_holding_registers(job, 1).await
            });
            pair.await?.await
        });
    }
    assert!(jobs.join_all().await.iter().all(Result::is_ok));
    queue.close().await;
    let order = server.await.expect("no panic");
    assert!(order.len() == 8 && order.chunks(2).all(|pair| pair[0] == pair[1]), "{order:?}");
}
