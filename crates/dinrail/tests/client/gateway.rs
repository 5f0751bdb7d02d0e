//! A client as a service: a server in front of it is a gateway.

use std::time::Duration;

use dinrail::client::{Options, Retry};
use dinrail::transport::Tcp;
use dinrail::{Client, Error, ExceptionCode, Server};
use tokio::time::timeout;

use crate::fake::{self, Peer};

/// A gateway to `device`, and a client of it.
async fn gateway(device: Client) -> (Server<Client>, Client) {
    let server = Server::tcp("127.0.0.1:0", device);
    let address = server.start().await.expect("a port");
    let client = Client::connect_with(Tcp::new(address), Options::default().with_timeout(Duration::from_secs(5)));
    (server, client.await.expect("the gateway"))
}

fn code(error: &Error) -> Option<ExceptionCode> {
    error.exception()
}

#[tokio::test]
async fn requests_go_to_their_unit_and_answers_come_back() {
    let (listener, address) = fake::listen().await;
    let device = Client::lazy(Tcp::new(address), Options::default());
    let (_server, client) = gateway(device).await;
    let answers = async {
        let mut peer = Peer::accept(&listener).await;
        let asked = peer.asked().await;
        assert_eq!((asked.unit, asked.pdu.as_slice()), (7, &[3, 0, 5, 0, 2][..]));
        peer.send(&asked.registers(0)).await;
        let asked = peer.asked().await;
        assert_eq!((asked.unit, asked.pdu.as_slice()), (8, &[0x41, 1][..]));
        peer.send(&asked.frame(&[0xC1, 4])).await;
    };
    let calls = async {
        assert_eq!(client.unit(7).read_holding_registers(5, 2).await.expect("an answer"), [5, 6]);
        let function = dinrail::FunctionCode::new(0x41).expect("a function code");
        let error = client.unit(8).custom(function, &[1]).await.expect_err("an exception");
        assert_eq!(code(&error), Some(ExceptionCode::ServerDeviceFailure));
    };
    tokio::join!(answers, calls);
}

#[tokio::test]
async fn without_a_connection_it_is_0a() {
    let (listener, address) = fake::listen().await;
    drop(listener);
    let (_server, client) = gateway(Client::lazy(Tcp::new(address), Options::default())).await;
    let error = client.write_register(0, 1).await.expect_err("no device");
    assert_eq!(code(&error), Some(ExceptionCode::GatewayPathUnavailable));
}

#[tokio::test]
async fn without_an_answer_it_is_0b_and_writes_are_sent_once() {
    let (listener, address) = fake::listen().await;
    let retry = Retry::attempts(2).with_writes(true);
    let options = Options::default().with_timeout(Duration::from_millis(50)).with_retry(retry).with_give_up_after(None);
    let (_server, client) = gateway(Client::lazy(Tcp::new(address), options)).await;
    let silent = async {
        let mut peer = Peer::accept(&listener).await;
        assert_eq!(peer.asked().await.pdu[0], 6);
        // The read comes twice, the write did not.
        assert_eq!((peer.asked().await.pdu[0], peer.asked().await.pdu[0]), (3, 3));
        timeout(Duration::from_millis(200), peer.asked()).await.expect_err("nothing more");
    };
    let calls = async {
        let error = client.write_register(0, 1).await.expect_err("no answer");
        assert_eq!(code(&error), Some(ExceptionCode::GatewayTargetFailedToRespond));
        let error = client.read_holding_registers(0, 1).await.expect_err("no answer");
        assert_eq!(code(&error), Some(ExceptionCode::GatewayTargetFailedToRespond));
    };
    tokio::join!(silent, calls);
}
