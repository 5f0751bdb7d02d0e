//! Certificates that change while server and client run.

use std::net::SocketAddr;

use dinrail::client::Options;
use dinrail::service::Memory;
use dinrail::transport::rustls::HandshakeKind;
use dinrail::transport::rustls::version::TLS13;
use dinrail::transport::{Connect, TlsVersion};
use dinrail::{Client, Server};

use crate::old::{client_config, config, exchange};
use crate::pki::{Pki, ask, refused, remembering, role};

/// The certificate that the server shows.
async fn shown(pki: &Pki, address: SocketAddr) -> Vec<u8> {
    let stream = pki.as_client("operator", address).connect().await.unwrap();
    stream.peer_certificates()[0].to_vec()
}

#[tokio::test]
async fn renewed_files_are_used_without_a_restart_and_broken_ones_are_not() {
    let pki = Pki::new();
    let tls = pki.tls();
    let server = Server::tls("127.0.0.1:0", tls.clone(), Memory::new());
    let address = server.start().await.unwrap();
    let stay = Options::default().with_reconnect(None);
    let open = Client::connect_with(pki.as_client("operator", address), stay).await.unwrap();
    let first = shown(&pki, address).await;

    pki.server("server", |_| {});
    assert_eq!(shown(&pki, address).await, first, "files alone change nothing");
    tls.reload().unwrap();
    let second = shown(&pki, address).await;
    assert_ne!(second, first);

    pki.write("server.key", "broken");
    let error = tls.reload().expect_err("a broken key").to_string();
    assert!(error.contains("server.key holds no private key"), "{error}");
    assert_eq!(shown(&pki, address).await, second, "the old pair stays in force");
    // Half of a renewal: the certificate is new, the key is not there yet.
    pki.server("server", |_| {});
    pki.write("server.key", &std::fs::read_to_string(pki.path("operator.key")).unwrap());
    assert!(tls.reload().expect_err("they do not belong together").to_string().contains("does not belong to"));
    assert_eq!(shown(&pki, address).await, second);

    open.write_register(0, 5).await.expect("the connection from before goes on");

    pki.server("server", |_| {});
    tls.replace(config(&pki, &[&TLS13], true));
    assert_ne!(shown(&pki, address).await, second);
    server.stop().await;
}

#[tokio::test]
async fn a_ca_that_is_replaced_lets_nobody_in_any_more() {
    let pki = Pki::new();
    let other = Pki::foreign();
    let tls = pki.options().with_client_ca(other.path("ca.pem")).load().unwrap();
    let server = Server::tls("127.0.0.1:0", tls.clone(), Memory::new());
    let address = server.start().await.unwrap();
    let of_other = || pki.stranger(address).with_certificate(other.path("operator.pem"), other.path("operator.key"));
    assert_eq!(ask(of_other()).await.unwrap(), [0]);
    let clients = [TlsVersion::V1_2, TlsVersion::V1_3].map(|version| client_config(&pki, "operator", version));
    for client in &clients {
        assert_eq!(exchange(address, client.clone()).await, HandshakeKind::Full);
        assert_eq!(exchange(address, client.clone()).await, HandshakeKind::Resumed);
    }

    // The second CA takes the place of the first, whose clients have sessions.
    let first = std::fs::read_to_string(pki.path("ca.pem")).unwrap();
    pki.write("ca.pem", &std::fs::read_to_string(other.path("ca.pem")).unwrap());
    tls.reload().unwrap();
    pki.write("ca.pem", &first);
    assert!(refused(pki.as_client("operator", address)).await.contains("does not know the CA of our certificate"));
    assert_eq!(ask(of_other()).await.unwrap(), [0]);
    tls.reload().unwrap();
    for client in clients {
        assert_eq!(exchange(address, client).await, HandshakeKind::Full, "no session outlives a reload");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_uses_its_renewed_files_from_its_next_connection_on() {
    let pki = Pki::new();
    let (asked, service) = remembering();
    let server = Server::tls("127.0.0.1:0", pki.tls(), service);
    let tls = pki.as_client("operator", server.start().await.unwrap());
    ask(tls.clone()).await.unwrap();
    pki.client("operator", |params| params.custom_extensions.push(role("chief operator")));
    ask(tls.clone()).await.unwrap();
    pki.write("operator.pem", "broken");
    ask(tls.clone()).await.expect("what was read before is still good");
    let roles: Vec<_> = asked.lock().unwrap().iter().map(|role| role.as_deref().unwrap().to_owned()).collect();
    assert_eq!(roles, ["operator", "chief operator", "chief operator"]);
    server.stop().await;
}
