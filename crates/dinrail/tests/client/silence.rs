//! A peer that is gone without a word, and options that cannot be.

use std::time::Duration;
use std::{fmt, io};

use dinrail::client::{Backoff, Options, Retry};
use dinrail::proto::{FunctionCode, Request};
use dinrail::transport::{Connect, Endpoint, Tcp};
use dinrail::{Client, Error};
use tokio::io::{AsyncReadExt, DuplexStream};

use crate::fake::{self, Peer, pipe};

fn quick() -> Options {
    Options::default().with_timeout(Duration::from_millis(60))
}

/// Three writes to a peer that takes nothing in; the third one's end is the connection's.
async fn a_silent_peer(client: Client) {
    for call in 0..3 {
        let error = client.write_register(call, 1).await.expect_err("a silent peer");
        assert!(error.is_timeout() && error.outcome_unknown(), "{error}");
    }
}

#[tokio::test]
async fn s003_20_a_silent_peer_is_given_up_after_three_calls() {
    let (listener, address) = fake::listen().await;
    let by_url: Endpoint = format!("tcp://{address}").parse().expect("a URL");
    for by in ["address", "URL"] {
        let client = match by {
            "URL" => Client::connect_with(by_url.clone(), quick()).await,
            _ => Client::connect_with(Tcp::new(address), quick()).await,
        };
        let client = client.expect("a connection");
        let mut silent = Peer::accept(&listener).await;
        let (_, mut second) = tokio::join!(a_silent_peer(client.clone()), Peer::accept(&listener));
        // Not a graceful end, which would have the system deliver what it holds: the connection is reset.
        let mut came = Vec::new();
        let error = silent.0.read_to_end(&mut came).await.expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let (read, asked) = tokio::join!(client.read_holding_registers(7, 1), async {
            let asked = second.asked().await;
            second.send(&asked.registers(0)).await;
            asked
        });
        assert_eq!(read.expect("an answer"), [7]);
        assert_eq!(asked.pdu[0], 3, "none of the writes arrives over the new connection");
        assert_eq!(client.stats().reconnects, 1);
    }
}

#[tokio::test]
async fn a_write_that_was_given_up_never_arrives() {
    // The peer takes in little and reads nothing, so most of what is written stays with the system, as it does when the
    // cable is cut.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2048).expect("an option");
    socket.set_nonblocking(true).expect("an option");
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("a port");
    socket.listen(8).expect("a listener");
    let listener = tokio::net::TcpListener::from_std(socket.into()).expect("a listener");
    let address = listener.local_addr().expect("an address");

    let client = Client::connect_with(Tcp::new(address), quick().with_depth(16usize)).await.expect("a connection");
    let mut silent = Peer::accept(&listener).await;
    for _ in 0..3 {
        let writes = (0..16).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.write_registers(0, &[0x5555; 120]).await })
        });
        for write in writes.collect::<Vec<_>>() {
            assert!(write.await.expect("no panic").expect_err("a silent peer").outcome_unknown());
        }
    }
    let _second = Peer::accept(&listener).await;
    let mut came = Vec::new();
    let error = silent.0.read_to_end(&mut came).await.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(came.len() < 3 * 16 * 240, "what had not arrived when it was given up has come: {} bytes", came.len());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_made_again_is_kept() {
    let (client, mut peer) = pipe(Options::default());
    for _ in 0..10 {
        assert!(client.read_coils(0, 1).await.expect_err("a silent peer").is_timeout());
        peer.asked().await;
    }
    let (read, ()) = tokio::join!(client.read_holding_registers(3, 1), async {
        let asked = peer.asked().await;
        peer.send(&asked.registers(0)).await;
    });
    assert_eq!(read.expect("an answer"), [3]);
}

/// A gateway in memory with one unit, 9, which says nothing for others.
struct Gateway;

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a gateway in memory")
    }
}

impl Connect for Gateway {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let mut peer = Peer(theirs);
            while let Some(asked) = peer.try_asked().await {
                if asked.unit == 9 {
                    peer.send(&asked.registers(0)).await;
                }
            }
        });
        Ok(ours)
    }
}

#[tokio::test(start_paused = true)]
async fn units_that_a_gateway_lacks_are_not_held_against_those_that_it_has() {
    let options = Options::default().with_timeout(Duration::from_millis(200));
    let client = Client::connect_with(Gateway, options).await.expect("a connection");
    for _ in 0..3 {
        for unit in 20..35 {
            let error = client.unit(unit).read_holding_registers(0, 1).await.expect_err("nobody there");
            assert!(error.is_timeout(), "{error}");
        }
        assert_eq!(client.unit(9).read_holding_registers(7, 1).await.expect("an answer"), [7]);
    }
    assert_eq!(client.stats().reconnects, 15, "a gateway that is gone would look the same");
}

#[tokio::test]
async fn whoever_says_something_is_not_given_up() {
    for (options, reconnects) in [
        (quick(), 0),
        (quick().with_give_up_after(None), 0),
        (quick().with_reconnect(None), 0),
        (quick().with_give_up_after(1), 1),
    ] {
        let (listener, address) = fake::listen().await;
        let speaks = options.give_up_after == Some(3) && options.reconnect.is_some();
        let client = Client::connect_with(Tcp::new(address), options).await.expect("a connection");
        let mut peer = Peer::accept(&listener).await;
        for call in 0..5 {
            let error = client.read_coils(0, 1).await.expect_err("no answer");
            if call == 0 {
                assert!(error.is_timeout(), "{error}");
            }
            if reconnects > 0 {
                break;
            }
            peer.asked().await;
            if speaks && call == 1 {
                // What nobody has asked for, and yet a sign of life.
                peer.send(&fake::frame(999, 1, &[0x81, 1])).await;
            }
            if speaks && call == 3 {
                break;
            }
        }
        if reconnects > 0 {
            Peer::accept(&listener).await;
        } else {
            assert!(client.is_connected());
            assert_eq!(client.stats().reconnects, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_of_ones_own_may_have_written() {
    let (client, mut peer) = pipe(Options::default());
    let own = |code| FunctionCode::new(code).expect("a function code");
    for (function, data, unknown) in
        [(43, &[13, 0, 1][..], true), (43, &[14, 1, 0], false), (43, &[], true), (65, &[1], true), (3, &[0, 0], false)]
    {
        let request = Request::Custom { function: own(function), data };
        match client.call(&request).await {
            Err(error @ Error::Timeout { .. }) => {
                assert_eq!(error.outcome_unknown(), unknown, "{function} {data:?}");
                assert_eq!(error.to_string().contains("is unknown"), unknown, "{error}");
                peer.asked().await;
            }
            Err(Error::Invalid(_)) => assert!(function != 65 && data.first() != Some(&13), "{function} {data:?}"),
            other => panic!("{function} {data:?}: {other:?}"),
        }
    }
    let asking = async {
        peer.asked().await;
        drop(peer);
    };
    let (error, ()) = tokio::join!(client.custom(own(43), &[13, 0]), asking);
    let error = error.expect_err("lost");
    assert!(matches!(error, Error::Lost { .. }) && error.outcome_unknown(), "{error}");
}

#[tokio::test]
async fn options_that_cannot_be_are_refused_by_name() {
    let (_listener, address) = fake::listen().await;
    let zero = Duration::ZERO;
    for (options, what) in [
        (Options::default().with_depth(0usize), "depth is out of range: take 1 to 16"),
        (Options::default().with_depth(17usize), "depth is out of range: take 1 to 16"),
        (Options::default().with_timeout(zero), "timeout is 0"),
        (Options::default().with_connect_timeout(zero), "connect_timeout is 0"),
        (Options::default().with_give_up_after(0), "give_up_after is 0"),
        (Options::default().with_reconnect(Backoff::new(zero, zero)), "reconnect waits for 0"),
        (Options::default().with_reconnect(Backoff::new(Duration::from_secs(2), Duration::from_secs(1))), "reconnect"),
        (Options::default().with_retry(Retry::attempts(0)), "retry.attempts is 0"),
    ] {
        let refused = |error: Error| {
            assert!(matches!(error, Error::Option(text) if text.starts_with(what)), "{what}: {error:?}");
            assert!(!error.outcome_unknown());
        };
        refused(Client::connect_with(Tcp::new(address), options.clone()).await.expect_err(what));
        let lazy = Client::lazy(Tcp::new(address), options.clone());
        refused(lazy.write_register(0, 1).await.expect_err(what));
        refused(lazy.read_coils(0, 1).await.expect_err(what));
        assert!(!lazy.is_connected());
        lazy.close();
        assert!(matches!(lazy.read_coils(0, 1).await, Err(Error::Closed { sent: false })));
        let (stream, _other) = tokio::io::duplex(64);
        let over = Client::over(stream, dinrail::proto::Framing::Tcp, options.clone());
        refused(over.read_coils(0, 1).await.expect_err(what));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_says_what_it_asks() {
    let (client, _peer) = pipe(Options::default().with_unit(9).with_timeout(Duration::from_secs(2)));
    assert_eq!((client.unit_id().0, client.timeout()), (9, Duration::from_secs(2)));
    let other = client.unit(5).with_timeout(Duration::from_secs(1));
    assert_eq!((other.unit_id().0, other.timeout()), (5, Duration::from_secs(1)));
    assert_eq!((client.unit_id().0, client.timeout()), (9, Duration::from_secs(2)), "it is a handle of its own");
    assert_eq!(client.peer(), "the stream");
}
