//! Our client and our server, each in every form.

use std::net::SocketAddr;
use std::sync::Arc;

use dinrail::client::Options as ClientOptions;
use dinrail::proto::Framing;
use dinrail::server::Options;
use dinrail::service::Memory;
use dinrail::transport::Udp;
use dinrail::{Client, Server, blocking};

use crate::device::soon;

async fn converse(client: &Client) {
    client.write_registers(10, &[1, 2, 3]).await.unwrap();
    assert_eq!(client.read_holding_registers(9, 5).await.unwrap(), [0, 1, 2, 3, 0]);
    client.write_coils(0, &[true, false, true]).await.unwrap();
    assert_eq!(client.read_coils(0, 4).await.unwrap(), [true, false, true, false]);
    client.mask_write_register(10, 0, 0x55).await.unwrap();
    assert_eq!(client.read_write_registers(10, 2, 11, &[9]).await.unwrap(), [0x55, 9]);
    let longest = vec![7; 123];
    client.write_registers(100, &longest).await.unwrap();
    assert_eq!(client.read_holding_registers(100, 123).await.unwrap(), longest);
    assert_eq!(client.read_input_registers(0, 125).await.unwrap(), [0; 125]);
    assert_eq!(client.read_coils(0, 0).await.unwrap_err().exception(), None);
    assert_eq!(client.read_coils(65535, 2).await.unwrap_err().exception(), None);
    assert_eq!(client.stats().timeouts, 0);
}

#[tokio::test]
async fn s001_28_every_framing() {
    for framing in [Framing::Tcp, Framing::Rtu, Framing::Ascii, Framing::Pdu] {
        let server = Server::udp("127.0.0.1:0", Memory::new()).with_options(Options::default().with_framing(framing));
        let udp = Udp::new(server.start().await.unwrap()).with_framing(framing);
        soon(converse(&Client::connect_with(udp, ClientOptions::default()).await.unwrap())).await;
    }
}

#[tokio::test]
async fn s001_28_over_ipv6() {
    let server = Server::udp("[::1]:0", Memory::new());
    let Ok(address) = server.start().await else { return }; // a machine without IPv6
    soon(converse(&Client::connect_with(Udp::new(address), ClientOptions::default()).await.unwrap())).await;
}

/// What the blocking ones do, a thread a client.
fn converse_blocking(address: SocketAddr) {
    let threads: Vec<_> = (0..3)
        .map(|number: u16| {
            std::thread::spawn(move || {
                let client = blocking::Client::connect_with(Udp::new(address), ClientOptions::default()).unwrap();
                for value in 0..50 {
                    client.write_register(number, value).unwrap();
                    assert_eq!(client.read_holding_registers(number, 1).unwrap(), [value]);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn s001_7b_the_blocking_server_over_udp() {
    let server = Arc::new(blocking::Server::udp("127.0.0.1:0", Memory::new()));
    let address = server.start().unwrap();
    converse_blocking(address);
    assert_eq!(server.statistics().requests, 300);
    server.stop().unwrap();
    drop(std::net::UdpSocket::bind(address).expect("the port is free"));
    assert_eq!(server.start().unwrap().ip(), address.ip());
    converse_blocking(server.local_addr().unwrap());
}

#[tokio::test]
async fn on_threads_of_its_own() {
    if cfg!(not(target_os = "linux")) {
        return; // elsewhere sockets that share a port do not share the load
    }
    let server = Server::udp("127.0.0.1:0", Memory::new()).with_options(Options::default().with_threads(3));
    let address = server.start().await.unwrap();
    soon(tokio::task::spawn_blocking(move || converse_blocking(address))).await.unwrap();
    assert_eq!(server.statistics().requests, 300);
    soon(server.stop()).await;
    drop(tokio::net::UdpSocket::bind(address).await.expect("every socket is closed"));
}
