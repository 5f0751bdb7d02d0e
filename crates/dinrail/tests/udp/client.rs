//! The client against devices that answer well, badly, late and twice.

use std::time::Duration;

use dinrail::client::{Options, Retry};
use dinrail::proto::{Adu, Framing, UnitId};
use dinrail::transport::Udp;
use dinrail::{Client, Error};

use crate::device::{Device, connect, frame, socket, soon, until};

#[tokio::test]
async fn s001_7_calls_over_udp() {
    let device = Device::new().await;
    let client = connect(device.address(), Options::default()).await;
    assert!(client.is_connected());
    let (read, ()) = tokio::join!(client.read_holding_registers(7, 1), async {
        let asked = device.asked().await;
        assert_eq!((asked.unit, &asked.pdu[..]), (1, &[3, 0, 7, 0, 1][..]));
        device.send(asked.by, &asked.value(0xABCD)).await;
    });
    assert_eq!(read.unwrap(), [0xABCD]);
    let (written, ()) = tokio::join!(client.write_register(3, 9), async {
        let asked = device.asked().await;
        device.send(asked.by, &frame(asked.transaction, 1, &asked.pdu)).await;
    });
    written.unwrap();
    let (refused, ()) = tokio::join!(client.read_coils(0, 1), async {
        let asked = device.asked().await;
        device.send(asked.by, &frame(asked.transaction, 1, &[0x81, 2])).await;
    });
    assert_eq!(refused.unwrap_err().exception().map(|code| code.code()), Some(2));
}

#[tokio::test]
async fn s001_7c_datagrams_that_are_no_answer_do_not_disturb_the_call() {
    let device = Device::new().await;
    let client = connect(device.address(), Options::default()).await;
    let calls = async {
        for address in 0..20 {
            assert_eq!(client.read_holding_registers(address, 1).await.unwrap(), [1000 + address]);
        }
    };
    let answers = async {
        for _ in 0..20 {
            let asked = device.asked().await;
            let (by, wrong, right) = (asked.by, asked.value(6666), asked.value(1000 + asked.address()));
            device.send(by, &[]).await;
            for length in 1..wrong.len() {
                device.send(by, &wrong[..length]).await;
            }
            let mut other_protocol = wrong.clone();
            other_protocol[3] = 1;
            device.send(by, &other_protocol).await;
            for length in [0, 1, 255, 0xFFFF] {
                let mut unframeable = wrong.clone();
                unframeable[4..6].copy_from_slice(&u16::to_be_bytes(length));
                device.send(by, &unframeable).await;
            }
            device.send(by, &frame(asked.transaction.wrapping_add(1), 1, &[3, 2, 1, 1])).await;
            device.send(by, &frame(asked.transaction, 2, &[3, 2, 1, 1])).await;
            device.send(by, &frame(asked.transaction, 1, &[4, 2, 1, 1])).await;
            device.send(by, &[0xFF; 300]).await;
            device.send(by, &right).await;
            device.send(by, &right).await;
        }
    };
    tokio::join!(calls, answers);
    let stats = client.stats();
    assert_eq!((stats.timeouts, stats.reconnects), (0, 0));
    assert!(stats.noise > 20 * 300 && stats.mismatches == 40 && stats.orphans >= 20 + 19, "{stats:?}");
}

/// A datagram of several frames is taken whole; one that did not fit is not taken by its beginning.
#[tokio::test]
async fn s001_7c_a_datagram_that_was_cut_is_no_answer() {
    let device = Device::new().await;
    let client = connect(device.address(), Options::default()).await;
    let (read, ()) = tokio::join!(client.read_holding_registers(5, 1), async {
        let asked = device.asked().await;
        let mut long = asked.value(6666);
        long.resize(9000, 0);
        device.send(asked.by, &long).await;
        let mut several = frame(asked.transaction.wrapping_sub(1), 1, &[3, 2, 0, 1]);
        several.extend(asked.value(5));
        device.send(asked.by, &several).await;
    });
    assert_eq!(read.unwrap(), [5]);
    assert!(client.stats().noise > 1000, "{:?}", client.stats());
}

#[tokio::test]
async fn s001_7c_a_late_reply_is_not_the_next_calls() {
    let device = Device::new().await;
    let client = connect(device.address(), Options::default().with_timeout(Duration::from_millis(100))).await;
    let mut unanswered = Vec::new();
    for round in 0..5 {
        let (error, asked) = tokio::join!(client.read_holding_registers(1, 1), device.asked());
        assert!(error.unwrap_err().is_timeout());
        unanswered.push(asked);
        let patient = client.with_timeout(Duration::from_secs(60));
        let (read, ()) = tokio::join!(patient.read_holding_registers(1, 1), async {
            let asked = device.asked().await;
            for late in &unanswered {
                device.send(late.by, &late.value(6666)).await;
            }
            device.send(asked.by, &asked.value(round)).await;
        });
        assert_eq!(read.unwrap(), [round]);
    }
    assert_eq!((client.stats().timeouts, client.stats().reconnects), (5, 0));
}

#[tokio::test]
async fn s002_7_nobody_but_the_server_is_heard() {
    let device = Device::new().await;
    let stranger = socket().await;
    let client = connect(device.address(), Options::default()).await;
    let (read, ()) = tokio::join!(client.read_holding_registers(0, 1), async {
        let asked = device.asked().await;
        stranger.send_to(&asked.value(6666), asked.by).await.unwrap();
        device.send(asked.by, &asked.value(8)).await;
    });
    assert_eq!(read.unwrap(), [8]);
    assert_eq!(client.stats().orphans, 0);
}

#[tokio::test]
async fn s001_7_requests_in_flight_are_a_datagram_each_and_answered_in_any_order() {
    let device = Device::new().await;
    let client = connect(device.address(), Options::default().with_depth(8)).await;
    let calls = async {
        let calls: Vec<_> = (0..32)
            .map(|address| {
                let client = client.clone();
                tokio::spawn(async move { client.read_holding_registers(address, 1).await })
            })
            .collect();
        for (address, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap().unwrap(), [address as u16]);
        }
    };
    let answers = async {
        for _ in 0..4 {
            let mut asked = Vec::new();
            for _ in 0..8 {
                asked.push(device.asked().await);
            }
            // The last first, and all but that in one datagram.
            let last = asked.pop().unwrap();
            device.send(last.by, &last.value(last.address())).await;
            let rest: Vec<u8> = asked.iter().rev().flat_map(|asked| asked.value(asked.address())).collect();
            device.send(last.by, &rest).await;
        }
    };
    tokio::join!(calls, answers);
    assert_eq!((client.stats().timeouts, client.stats().orphans), (0, 0));
}

#[tokio::test]
async fn s001_23_other_framings_in_datagrams() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let device = Device::new().await;
        let udp = Udp::new(device.address()).with_framing(framing);
        let client = Client::connect_with(udp, Options::default().with_depth(4)).await.unwrap();
        let encode = |pdu: &[u8]| {
            let mut frame = vec![0; framing.max_adu()];
            let length = framing.encode(&Adu { transaction: 0, unit: UnitId(1), pdu }, &mut frame).unwrap();
            frame.truncate(length);
            frame
        };
        for value in 0..5 {
            let (read, ()) = tokio::join!(client.read_holding_registers(7, 1), async {
                let mut request = [0; 600];
                let (length, by) = soon(device.0.recv_from(&mut request)).await.unwrap();
                assert_eq!(request[..length], encode(&[3, 0, 7, 0, 1]));
                let answer = encode(&[3, 2, 0, value]);
                device.send(by, &answer[..answer.len() - 1]).await;
                device.send(by, &[0x01, 0x03]).await;
                device.send(by, &answer).await;
            });
            assert_eq!(read.unwrap(), [u16::from(value)], "{framing:?}");
        }
        assert_eq!(client.stats().timeouts, 0);
    }
}

#[tokio::test]
async fn it_sends_from_the_address_that_it_is_told() {
    if cfg!(not(target_os = "linux")) {
        return; // elsewhere the loopback interface has one address
    }
    let device = Device::new().await;
    let udp = Udp::new(device.address()).from_source([127, 0, 0, 7].into());
    let client = Client::connect_with(udp, Options::default()).await.unwrap();
    let (read, ()) = tokio::join!(client.read_holding_registers(0, 1), async {
        let asked = device.asked().await;
        assert_eq!(asked.by.ip(), std::net::IpAddr::from([127, 0, 0, 7]));
        device.send(asked.by, &asked.value(1)).await;
    });
    assert_eq!(read.unwrap(), [1]);
    let udp = Udp::new("127.0.0.1:9").from_source([192, 0, 2, 1].into());
    let error = Client::connect_with(udp, Options::default()).await.expect_err("an address of somebody else");
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_line_sound() {
    let device = Device::new().await;
    let client = connect(device.address(), Options::default()).await;
    let dropped = tokio::spawn({
        let client = client.clone();
        async move { client.read_holding_registers(1, 1).await }
    });
    let asked = device.asked().await;
    dropped.abort();
    until("the call is gone", || dropped.is_finished()).await;
    device.send(asked.by, &asked.value(6666)).await;
    tokio::spawn(device.serve());
    let again = client.with_retry(Retry::attempts(3));
    assert_eq!(soon(again.read_holding_registers(2, 1)).await.unwrap(), [2]);
}

#[test]
fn s001_7b_the_blocking_client_over_udp() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let device = runtime.block_on(Device::new());
    let address = device.address();
    runtime.spawn(device.serve());
    let client = dinrail::blocking::Client::connect_with(Udp::new(address), Options::default()).unwrap();
    for register in 0..10 {
        assert_eq!(client.read_holding_registers(register, 1).unwrap(), [register]);
    }
    assert_eq!(client.as_async().peer(), address.to_string());
}
