//! Row S001-19: the peer goes away while its request is worked on. What was begun is finished, and nothing is left behind.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use dinrail::server::{Options, serve_stream};
use dinrail::service::{Peer, Read, Write, callbacks};
use dinrail::{Server, Service};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::watch;

use crate::raw::{Raw, frame, read, soon, until};

/// What became of the writes to a service.
#[derive(Default)]
struct Writes {
    begun: AtomicUsize,
    done: AtomicUsize,
    cut_off: AtomicUsize,
}

/// Counts a write that does not come to its end.
struct UnderWay(Arc<Writes>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.cut_off.fetch_add(1, Ordering::SeqCst);
    }
}

impl Writes {
    /// How many were begun, done and cut off.
    fn counts(&self) -> (usize, usize, usize) {
        let [begun, done, cut_off] = [&self.begun, &self.done, &self.cut_off].map(|count| count.load(Ordering::SeqCst));
        (begun, done, cut_off)
    }
}

/// A service whose writes take until those of their address are told to end, in two steps.
fn slow(writes: &Arc<Writes>, told: &watch::Sender<u16>) -> impl Service {
    let (writes, told) = (writes.clone(), told.subscribe());
    callbacks(
        |read: Read| async move { Ok(vec![0u16; read.count.into()]) },
        move |write: Write| {
            let (writes, mut told) = (writes.clone(), told.clone());
            async move {
                writes.begun.fetch_add(1, Ordering::SeqCst);
                let under_way = UnderWay(writes.clone());
                told.wait_for(|told| *told >= write.address).await?;
                tokio::task::yield_now().await;
                writes.done.fetch_add(1, Ordering::SeqCst);
                std::mem::forget(under_way);
                Ok(())
            }
        },
    )
}

const ALL: u16 = u16::MAX;

/// So many requests at once: writes to addresses from 1 on.
fn burst(count: u8) -> Vec<u8> {
    (1..=count).flat_map(|number| frame(number.into(), 1, &[6, 0, number, 0, 9])).collect()
}

#[tokio::test]
async fn s001_19_a_write_that_was_begun_is_finished_when_its_master_is_gone() {
    let ways = [(None, 1u8), (None, 3), (Some(1), 1), (Some(1), 3)];
    for ((threads, concurrency), by_reset) in ways.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let (writes, (tell, _told)) = (Arc::new(Writes::default()), watch::channel(0));
        let options = Options::default().with_threads(threads).with_concurrency(usize::from(concurrency));
        let server = Server::tcp("127.0.0.1:0", slow(&writes, &tell)).with_options(options);
        let address = server.start().await.unwrap();
        let mut master = Raw::connect(address).await;
        // As many as are worked on at once, or fewer: then the connection is read meanwhile.
        let all = usize::from(concurrency.min(2));
        master.send(&burst(all as u8)).await;
        until("they are begun", || writes.counts() == (all, 0, 0)).await;
        if by_reset {
            master.stream.set_zero_linger().unwrap();
        }
        drop(master);
        // Time for another master to be answered several times, and for the server to notice where it can.
        let mut other = Raw::connect(address).await;
        for _ in 0..20 {
            other.ask(&read(3, 0, 1)).await;
        }
        drop(other);
        until("the other one is released", || server.active_connections() == 1).await;
        assert_eq!(writes.counts(), (all, 0, 0), "{threads:?} {concurrency} {by_reset}");
        tell.send(ALL).unwrap();
        until("the connection is released", || server.active_connections() == 0).await;
        assert_eq!(writes.counts(), (all, all, 0), "{threads:?} {concurrency} {by_reset}");
        soon(server.stop()).await;
    }
}

#[tokio::test]
async fn s001_19_a_reply_that_cannot_be_sent_ends_no_other_write() {
    let (writes, (tell, _told)) = (Arc::new(Writes::default()), watch::channel(0));
    let (mut near, far) = tokio::io::duplex(1024);
    let options = Options::default().with_concurrency(2usize);
    let task = tokio::spawn(serve_stream(far, Peer::default(), slow(&writes, &tell), options));
    near.write_all(&burst(3)).await.unwrap();
    until("two are begun", || writes.counts() == (2, 0, 0)).await;
    drop(near);
    tell.send(1).unwrap();
    until("one is done", || writes.counts().1 == 1).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(writes.counts(), (2, 1, 0), "the third has not been begun");
    assert!(!task.is_finished());
    tell.send(ALL).unwrap();
    soon(task).await.unwrap().unwrap();
    assert_eq!(writes.counts(), (2, 2, 0));
}

#[tokio::test]
async fn s001_19_a_write_that_never_ends_is_ended_by_the_deadline() {
    for (threads, concurrency) in [(None, 1usize), (None, 3), (Some(1), 1), (Some(1), 3)] {
        let (writes, (tell, _told)) = (Arc::new(Writes::default()), watch::channel(0));
        let options = Options::default()
            .with_threads(threads)
            .with_concurrency(concurrency)
            .with_request_deadline(Duration::from_millis(100));
        let server = Server::tcp("127.0.0.1:0", slow(&writes, &tell)).with_options(options);
        let mut master = Raw::connect(server.start().await.unwrap()).await;
        master.send(&burst(1)).await;
        until("it is begun", || writes.counts().0 == 1).await;
        drop(master);
        until("the connection is released", || server.active_connections() == 0).await;
        assert_eq!(writes.counts(), (1, 0, 1));
    }
}

/// A stream that counts what the server could send.
struct Counted(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.1.fetch_add(count, Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn s001_19_nothing_is_sent_to_who_is_gone_and_nothing_more_is_begun_for_them() {
    for concurrency in [1u8, 3] {
        let (writes, (tell, _told)) = (Arc::new(Writes::default()), watch::channel(0));
        let sent = Arc::new(AtomicUsize::new(0));
        let (mut near, far) = tokio::io::duplex(1024);
        let options = Options::default().with_concurrency(usize::from(concurrency));
        let serving = serve_stream(Counted(far, sent.clone()), Peer::default(), slow(&writes, &tell), options);
        let task = tokio::spawn(serving);
        // Two more than are worked on at once.
        near.write_all(&burst(concurrency + 2)).await.unwrap();
        let all = usize::from(concurrency);
        until("they are begun", || writes.counts() == (all, 0, 0)).await;
        drop(near);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(writes.counts(), (all, 0, 0));
        assert!(!task.is_finished());
        tell.send(ALL).unwrap();
        soon(task).await.unwrap().unwrap();
        assert_eq!(writes.counts(), (all, all, 0));
        assert_eq!(sent.load(Ordering::SeqCst), 0);
    }
}
