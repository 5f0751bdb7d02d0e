//! A function code of one's own, over every transport, from one table of lengths.

use std::time::Duration;

use dinrail::client::{self, Client};
use dinrail::proto::Framing;
use dinrail::proto::adu::{CustomLength, LengthRule};
use dinrail::server::{self, serve_line};
use dinrail::service::{Failure, Memory, Peer};
use dinrail::transport::{Burst, Tcp, Udp};
use dinrail::{ExceptionCode, FunctionCode, Server, Service};

const OWN: FunctionCode = FunctionCode::new(0x55).expect("between 1 and 127");
/// Both directions begin with how many bytes follow.
static LENGTHS: &[CustomLength] = &[CustomLength::new(OWN, LengthRule::ByteCountAt(1), LengthRule::ByteCountAt(1))];

/// Sends the bytes back in reverse order; refuses what begins with 0xFF.
async fn reverse(mut data: Vec<u8>) -> Result<Vec<u8>, Failure> {
    match data[..] {
        [_, 0xFF, ..] => Err(ExceptionCode::IllegalDataAddress.into()),
        [_, ref mut bytes @ ..] => {
            bytes.reverse();
            Ok(data)
        }
        [] => Err(ExceptionCode::IllegalDataValue.into()),
    }
}

fn service() -> impl Service {
    Memory::new().with_function(OWN, reverse)
}

async fn converse(client: Client, over: &str) {
    assert_eq!(client.custom(OWN, &[3, 1, 2, 3]).await.expect(over), [3, 3, 2, 1], "{over}");
    let long: Vec<u8> = [200].into_iter().chain((0..200).rev()).collect();
    assert_eq!(client.custom(OWN, &long).await.expect(over)[1..], (0..200).collect::<Vec<u8>>()[..], "{over}");
    let refused = client.custom(OWN, &[2, 0xFF, 0]).await.expect_err(over);
    assert_eq!(refused.exception(), Some(ExceptionCode::IllegalDataAddress), "{over}");
    client.write_register(1, 7).await.expect(over);
    assert_eq!(client.custom(OWN, &[0]).await.expect(over), [0], "{over}");
    assert_eq!(client.read_holding_registers(1, 1).await.expect(over), [7], "{over}");
}

fn options() -> (server::Options, client::Options) {
    let client = client::Options::default().with_timeout(Duration::from_secs(2));
    (server::Options::default().with_custom_lengths(LENGTHS), client.with_custom_lengths(LENGTHS))
}

#[tokio::test]
async fn s001_13_a_function_of_ones_own_works_over_every_network() {
    for framing in [Framing::Tcp, Framing::Rtu, Framing::Ascii] {
        let (server_options, client_options) = options();
        let server = Server::tcp("127.0.0.1:0", service()).with_options(server_options.with_framing(framing));
        let address = server.start().await.expect("it starts");
        let client = Client::connect_with(Tcp::new(address).with_framing(framing), client_options).await;
        converse(client.expect("it connects"), &format!("{framing:?} over TCP")).await;
    }
    let (server_options, client_options) = options();
    let server = Server::udp("127.0.0.1:0", service()).with_options(server_options);
    let address = server.start().await.expect("it starts");
    let client = Client::connect_with(Udp::new(address), client_options).await.expect("it connects");
    converse(client, "UDP").await;
}

#[tokio::test(start_paused = true)]
async fn s001_13_a_function_of_ones_own_works_on_serial_lines() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        // Alone on the line, and among others, where requests and replies are both seen.
        for units in [None, Some([1])] {
            let (mut server_options, client_options) = options();
            if let Some(units) = units {
                server_options = server_options.with_units(units);
            }
            let (ours, theirs) = tokio::io::duplex(4096);
            let burst = Burst::Silence(Duration::from_millis(2));
            tokio::spawn(serve_line(theirs, burst, Peer::default(), service(), server_options.with_framing(framing)));
            let client = Client::over(ours, framing, client_options);
            converse(client, &format!("{framing:?}, units {units:?}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s001_13_the_exception_has_the_codes_high_bit() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut ours, theirs) = tokio::io::duplex(4096);
    let burst = Burst::Silence(Duration::from_millis(2));
    let (server_options, _) = options();
    tokio::spawn(serve_line(theirs, burst, Peer::default(), service(), server_options.with_framing(Framing::Ascii)));
    ours.write_all(b":015501FFAA\r\n").await.expect("it is sent");
    let mut reply = [0; 11];
    ours.read_exact(&mut reply).await.expect("a reply");
    assert_eq!(&reply, b":01D50228\r\n");
}
