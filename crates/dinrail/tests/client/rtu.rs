//! RTU frames over a stream, with and without silence.

use std::time::Duration;

use dinrail::Client;
use dinrail::client::Options;
use dinrail::proto::{Adu, Framing, UnitId};
use dinrail::transport::{Burst, Connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 256];
    let adu = Adu { transaction: 0, unit: UnitId(unit), pdu };
    let length = Framing::Rtu.encode(&adu, &mut out).expect("a PDU");
    out.truncate(length);
    out
}

async fn asked(line: &mut DuplexStream) -> [u8; 8] {
    let mut request = [0; 8];
    line.read_exact(&mut request).await.expect("a request");
    request
}

fn line(options: Options) -> (Client, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1024);
    (Client::over(ours, Framing::Rtu, options), theirs)
}

#[tokio::test(start_paused = true)]
async fn a_call_over_rtu() {
    let (client, mut line) = line(Options::default());
    let server = async {
        assert_eq!(asked(&mut line).await[..], frame(1, &[3, 0, 7, 0, 1]));
        line.write_all(&frame(1, &[3, 2, 0xAB, 0xCD])).await.expect("a client");
    };
    let (read, ()) = tokio::join!(client.read_holding_registers(7, 1), server);
    assert_eq!(read.expect("an answer"), [0xABCD]);
}

/// A line whose frames end by silence, as a port's do, in the runtime's time.
struct Port(std::sync::Mutex<Option<DuplexStream>>);

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a port")
    }
}

impl Connect for Port {
    type Stream = DuplexStream;

    async fn connect(&self) -> std::io::Result<DuplexStream> {
        self.0.lock().expect("nobody panics").take().ok_or_else(|| std::io::ErrorKind::NotConnected.into())
    }

    fn framing(&self) -> Framing {
        Framing::Rtu
    }

    fn burst(&self) -> Burst {
        Burst::Silence(Duration::from_millis(2))
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_may_come_in_pieces_with_pauses_as_usb_adapters_make_them() {
    let (ours, mut line) = tokio::io::duplex(1024);
    let port = Port(std::sync::Mutex::new(Some(ours)));
    let client = Client::connect_with(port, Options::default()).await.expect("a connection");
    let reply = frame(1, &[3, 2, 0xAB, 0xCD]);
    for pause in [3, 6, 45].map(Duration::from_millis) {
        for cut in 1..reply.len() {
            let device = async {
                asked(&mut line).await;
                line.write_all(&reply[..cut]).await.expect("a client");
                tokio::time::sleep(pause).await;
                line.write_all(&reply[cut..]).await.expect("a client");
            };
            let (read, ()) = tokio::join!(client.read_holding_registers(7, 1), device);
            assert_eq!(read.expect("an answer"), [0xABCD], "cut at {cut}, for {pause:?}");
        }
    }
    assert_eq!(client.stats().noise, 0);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_is_not_answered_and_takes_the_turnaround_delay() {
    let (client, mut line) = line(Options::default());
    let started = Instant::now();
    client.unit(0).write_register(1, 2).await.expect("sent");
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(asked(&mut line).await[..], frame(0, &[6, 0, 1, 0, 2]));
    client.unit(0).read_coils(0, 1).await.expect_err("nobody answers");
    assert_eq!(client.stats().timeouts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_is_not_the_next_calls() {
    let (client, mut line) = line(Options::default());
    let server = async {
        asked(&mut line).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        line.write_all(&frame(1, &[3, 2, 0, 1])).await.expect("a client");
        asked(&mut line).await;
        line.write_all(&frame(1, &[3, 2, 0, 2])).await.expect("a client");
    };
    let calls = async {
        assert!(client.read_holding_registers(1, 1).await.expect_err("no answer").is_timeout());
        assert_eq!(client.read_holding_registers(2, 1).await.expect("an answer"), [2]);
    };
    tokio::join!(calls, server);
    assert_eq!(client.stats().late, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_a_late_reply_still_has_its_whole_timeout() {
    let (client, mut line) = line(Options::default());
    let server = async {
        asked(&mut line).await;
        tokio::time::sleep(Duration::from_millis(1900)).await;
        line.write_all(&frame(1, &[3, 2, 0, 1])).await.expect("a client");
        asked(&mut line).await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        line.write_all(&frame(1, &[3, 2, 0, 2])).await.expect("a client");
    };
    let calls = async {
        assert!(client.read_holding_registers(1, 1).await.expect_err("no answer").is_timeout());
        // Sent 0.9 s from now, when the late reply has come, and answered 0.8 s after that.
        assert_eq!(client.read_holding_registers(2, 1).await.expect("an answer"), [2]);
    };
    tokio::join!(calls, server);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_would_read_is_not_sent() {
    let (client, mut line) = line(Options::default());
    let all = client.unit(0);
    let error = all.read_write_registers(0, 1, 0, &[7]).await.expect_err("nobody answers");
    assert!(matches!(error, dinrail::Error::Invalid(_)) && error.to_string().starts_with("not sent"), "{error}");
    drop((client, all));
    let mut sent = Vec::new();
    line.read_to_end(&mut sent).await.expect("the end");
    assert_eq!(sent, [], "nobody has written anything");
}
