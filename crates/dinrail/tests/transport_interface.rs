//! Sockets that keep to one network interface.

#![cfg(target_os = "linux")]

use dinrail::server::Options;
use dinrail::service::Memory;
use dinrail::transport::{Endpoint, Tcp, Udp};
use dinrail::{Client, Error, Server, client};

fn options() -> Options {
    Options::default().with_interface("lo")
}

/// Whether the system lets this user; before Linux 5.7 that takes a right.
#[allow(clippy::print_stderr)] // a test that is skipped says so
fn allowed() -> bool {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    match socket.bind_device(Some(b"lo")) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: this user may not bind a socket to an interface");
            false
        }
        bound => {
            bound.expect("there is an interface lo");
            true
        }
    }
}

async fn answers(client: Result<Client, Error>) {
    let client = client.expect("a connection");
    client.write_register(3, 33).await.expect("an answer");
    assert_eq!(client.read_holding_registers(3, 1).await.expect("an answer"), [33]);
}

#[tokio::test]
async fn s001_21_client_and_server_over_one_interface() {
    if !allowed() {
        return;
    }
    let connect = |endpoint: Endpoint| Client::connect_with(endpoint, client::Options::default());
    for threads in [None, Some(1), Some(2)] {
        let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options().with_threads(threads));
        let address = server.start().await.expect("it listens");
        answers(connect(Endpoint::Tcp(Tcp::new(address).via_interface("lo"))).await).await;
        answers(connect(Endpoint::Tcp(Tcp::new(address))).await).await;
        let server = Server::udp("127.0.0.1:0", Memory::new()).with_options(options().with_threads(threads));
        let address = server.start().await.expect("it listens");
        answers(connect(Endpoint::Udp(Udp::new(address).via_interface("lo"))).await).await;
    }
    for scheme in ["tcp", "udp"] {
        let url: Endpoint = format!("{scheme}://127.0.0.1:0?interface=lo").parse().expect("a URL");
        let server = Server::on(url, Memory::new());
        let listens = server.start().await.expect("it listens").to_string();
        let url = format!("{listens}?source=127.0.0.2&interface=lo");
        answers(connect(url.parse().expect("a URL")).await).await;
    }
}

#[tokio::test]
async fn s001_21_an_interface_that_is_not_there_is_named() {
    for name in ["dinrail-none", "a-name-that-is-too-long", "two words"] {
        let tcp = Client::connect_with(Tcp::new("127.0.0.1:1").via_interface(name), client::Options::default());
        let udp = Client::connect_with(Udp::new("127.0.0.1:1").via_interface(name), client::Options::default());
        for error in [tcp.await.expect_err(name), udp.await.expect_err(name)] {
            assert!(matches!(error, Error::Connect { .. }));
            let what = format!("there is no network interface {name:?}; `ip link` lists those there are");
            assert!(error.to_string().ends_with(&what), "{error}");
        }
        let options = options().with_interface(name);
        let tcp = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options.clone());
        let udp = Server::udp("127.0.0.1:0", Memory::new()).with_options(options);
        for error in [tcp.start().await.expect_err(name), udp.start().await.expect_err(name)] {
            assert!(matches!(error, Error::Bind { .. }));
            assert!(error.to_string().contains(&format!("there is no network interface {name:?}")), "{error}");
        }
    }
}

#[tokio::test]
async fn an_interface_takes_only_what_comes_over_it() {
    if !allowed() {
        return;
    }
    // Nothing but this machine is behind `lo`: an address for documentation is reached over none of its own.
    let tcp = Tcp::new("192.0.2.1:502").via_interface("lo");
    let options = client::Options::default().with_connect_timeout(std::time::Duration::from_millis(200));
    let error = Client::connect_with(tcp, options).await.expect_err("nobody is there");
    assert!(matches!(error, Error::Connect { .. }), "{error}");

    let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options_without_name());
    let refused = server.start().await.expect_err("no name");
    assert!(refused.to_string().contains("interface is empty"), "{refused}");
    let url: Endpoint = "tcp://127.0.0.1:0?source=127.0.0.1".parse().expect("a URL");
    let refused = Server::on(url, Memory::new()).start().await.expect_err("a server has no source");
    assert!(refused.to_string().starts_with("source= is where a client connects from"), "{refused}");
}

fn options_without_name() -> Options {
    Options::default().with_interface("")
}

#[tokio::test]
async fn a_server_names_the_part_of_its_address_that_is_wrong() {
    for (address, what) in
        [("localhost:abc", "\"abc\" is no port"), ("[::1", "the bracket"), ("udp-x:99999", "\"99999\"")]
    {
        let tcp = Server::tcp(address, Memory::new()).start().await.expect_err(what);
        let udp = Server::udp(address, Memory::new()).start().await.expect_err(what);
        for error in [tcp, udp] {
            assert!(error.to_string().starts_with(&format!("cannot listen on {address}: {what}")), "{error}");
        }
    }
}
