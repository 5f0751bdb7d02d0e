//! What was not sent is certainly not done: errors say so whenever no byte of a request has left, and never otherwise.

use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use dinrail::client::{Options, Retry};
use dinrail::proto::Framing;
use dinrail::transport::Connect;
use dinrail::{Client, Error, ExceptionCode};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::Instant;

use crate::fake::pipe;

const DEADLINE: Duration = Duration::from_secs(1);

fn hurried(client: &Client) -> Client {
    client.with_retry(Retry::none().with_deadline(DEADLINE))
}

/// A place where nobody answers, not even to refuse.
struct Nowhere;

impl fmt::Display for Nowhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nowhere")
    }
}

impl Connect for Nowhere {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        pending().await
    }
}

fn assert_not_sent(error: &Error) {
    assert!(matches!(error, Error::Connect { .. }) && !error.outcome_unknown(), "{error:?}");
    // A master that asks through us is told the same.
    assert_eq!(error.as_gateway_exception(), Some(ExceptionCode::GatewayPathUnavailable));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_before_there_is_a_connection_says_that_nothing_was_sent() {
    let slow = Options::default().with_timeout(Duration::from_secs(20)).with_connect_timeout(Duration::from_secs(20));
    let client = Client::lazy(Nowhere, slow);
    let started = Instant::now();
    let error = hurried(&client).write_register(5, 1).await.expect_err("there is no connection");
    assert_not_sent(&error);
    assert!(error.to_string().contains("no connection within 1s"), "{error}");
    assert!(started.elapsed() < DEADLINE + Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_behind_another_call_says_that_nothing_was_sent() {
    let (client, mut peer) = pipe(Options::default().with_timeout(Duration::from_secs(9)));
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.read_holding_registers(1, 1).await }
    });
    assert_eq!(peer.asked().await.pdu[0], 3);
    let error = hurried(&client).write_register(5, 1).await.expect_err("the other one is not answered");
    assert_not_sent(&error);
    assert!(error.to_string().contains("other calls had the line for all of 1s"), "{error}");
    first.abort();
    drop(client);
    assert_eq!(peer.try_asked().await, None, "the write was not sent");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_after_sending_leaves_the_outcome_unknown() {
    let (client, mut peer) = pipe(Options::default().with_timeout(Duration::from_secs(9)));
    let (written, asked) = tokio::join!(async { hurried(&client).write_register(5, 1).await }, peer.asked());
    assert_eq!(asked.pdu[0], 6);
    let error = written.expect_err("no answer");
    assert!(error.is_timeout() && error.outcome_unknown(), "{error:?}");
}

/// Takes so many bytes, and then breaks.
struct Breaks(usize);

impl AsyncRead for Breaks {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Breaks {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Poll::Ready(if taken > 0 { Ok(taken) } else { Err(io::ErrorKind::BrokenPipe.into()) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_before_the_first_byte_has_taken_nothing() {
    for framing in [Framing::Tcp, Framing::Rtu] {
        let client = Client::over(Breaks(0), framing, Options::default());
        let error = client.write_register(5, 1).await.expect_err("it is broken");
        assert_not_sent(&error);
        assert!(error.to_string().contains("broken pipe"), "{error}");
        let client = Client::over(Breaks(3), framing, Options::default());
        let error = client.write_register(5, 1).await.expect_err("it breaks");
        assert!(matches!(error, Error::Lost { .. }) && error.outcome_unknown(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_calls_that_go_out_together_none_has_left_when_no_byte_has() {
    for (room, sent) in [(0, 0), (1, 4), (4 * 12, 4)] {
        let client = Client::over(Breaks(room), Framing::Tcp, Options::default().with_depth(4usize));
        let calls = (0..4).map(|address| {
            let client = client.clone();
            tokio::spawn(async move { client.write_register(address, 1).await })
        });
        let mut unknown = 0;
        for call in calls.collect::<Vec<_>>() {
            let error = call.await.expect("no panic").expect_err("it breaks, or nobody answers");
            unknown += usize::from(error.outcome_unknown());
        }
        assert!(unknown <= sent && (unknown > 0) == (sent > 0), "{unknown} of {sent}, {room} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_try_that_was_not_sent_does_not_hide_that_the_one_before_it_was() {
    let retry = Retry::attempts(2).with_writes(true);
    for retry in [retry, retry.with_deadline(Duration::from_secs(90))] {
        let (client, mut peer) = pipe(Options::default().with_retry(retry));
        let gone = async {
            peer.asked().await;
            // The first try is lost with the connection, and there will be no other.
            drop(peer);
        };
        let (written, ()) = tokio::join!(client.write_register(5, 1), gone);
        let error = written.expect_err("nobody is there any more");
        assert!(matches!(error, Error::Lost { .. }) && error.outcome_unknown(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_device_does_not_hide_that_a_try_before_was_left_without_an_answer() {
    let (client, mut peer) = pipe(Options::default().with_retry(Retry::attempts(2).with_writes(true)));
    let device = async {
        peer.asked().await;
        let second = peer.asked().await;
        peer.send(&second.frame(&[second.pdu[0] | 0x80, 6])).await;
    };
    let (written, ()) = tokio::join!(client.write_register(5, 1), device);
    let error = written.expect_err("it is busy");
    assert!(error.is_timeout() && error.outcome_unknown(), "{error:?}");
    // A read changes nothing, so it says what came last.
    let device = async {
        peer.asked().await;
        let second = peer.asked().await;
        peer.send(&second.frame(&[second.pdu[0] | 0x80, 6])).await;
    };
    let (read, ()) = tokio::join!(client.read_holding_registers(5, 1), device);
    assert_eq!(read.expect_err("it is busy").exception(), Some(ExceptionCode::ServerDeviceBusy));
}
