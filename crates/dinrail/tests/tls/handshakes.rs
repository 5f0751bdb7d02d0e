//! Handshakes that must succeed, and those that must not.

use dinrail::Server;
use dinrail::service::Memory;
use dinrail::transport::rustls::version;
use dinrail::transport::{ClientAuth, Connect, ServerTls, Tls, TlsVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::pki::{Pki, SOON, ask, refused, remembering, role};

fn expired(params: &mut rcgen::CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
}

#[tokio::test]
async fn s001_9_only_clients_with_a_good_certificate_are_served() {
    let pki = Pki::new();
    let foreign = Pki::foreign();
    let namesake = Pki::new();
    pki.client("expired", expired);
    pki.client("early", |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    for oldest in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let (asked, service) = remembering();
        let tls = match oldest {
            TlsVersion::V1_2 => ServerTls::from_config(crate::old::config(&pki, &[&version::TLS12], true)),
            _ => pki.tls(),
        };
        let server = Server::tls("127.0.0.1:0", tls, service);
        let address = server.start().await.unwrap();
        let of_another_ca =
            pki.stranger(address).with_certificate(foreign.path("operator.pem"), foreign.path("operator.key"));
        let of_a_namesake =
            pki.stranger(address).with_certificate(namesake.path("operator.pem"), namesake.path("operator.key"));
        let made_for_servers = pki.as_client("server", address);
        let table = [
            (pki.stranger(address), "requires a certificate"),
            (of_another_ca, "the peer does not know the CA of our certificate"),
            (of_a_namesake, "it knows another CA of the same name"),
            (pki.as_client("expired", address), "our certificate has expired or is not valid yet"),
            (pki.as_client("early", address), "our certificate has expired or is not valid yet"),
            (made_for_servers, "the peer refuses our certificate"),
        ];
        for (client, sentence) in table {
            let error = refused(client).await;
            assert!(error.contains(sentence), "{oldest:?}: {sentence:?} is missing in {error}");
        }
        assert_eq!(server.statistics().handshakes_failed, 6);
        assert!(asked.lock().unwrap().is_empty());
        assert_eq!(ask(pki.as_client("operator", address)).await.unwrap(), [7]);
        server.stop().await;
    }
}

#[tokio::test]
async fn s001_9_certificates_that_are_optional_are_still_checked() {
    let pki = Pki::new();
    pki.client("expired", expired);
    let (asked, service) = remembering();
    let tls = pki.options().with_client_auth(ClientAuth::Optional).load().unwrap();
    let server = Server::tls("127.0.0.1:0", tls, service);
    let address = server.start().await.unwrap();
    assert_eq!(ask(pki.stranger(address)).await.unwrap(), [7]);
    assert_eq!(ask(pki.as_client("operator", address)).await.unwrap(), [7]);
    assert!(refused(pki.as_client("expired", address)).await.contains("has expired"));
    let roles: Vec<_> = asked.lock().unwrap().iter().map(Option::is_some).collect();
    assert_eq!(roles, [false, true]);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_who_it_should_be_is_not_spoken_with() {
    let pki = Pki::new();
    let foreign = Pki::foreign();
    let namesake = Pki::new();
    let server =
        Server::tls("127.0.0.1:0", pki.options().with_client_auth(ClientAuth::None).load().unwrap(), Memory::new());
    let address = server.start().await.unwrap();
    let table = [
        (foreign.stranger(address), "is of a CA that is not known here: name the file of its CA"),
        (namesake.stranger(address), "only by one of the same name: name the file of the right one"),
        (pki.stranger(address).with_server_name("other"), "set the server name"),
    ];
    for (client, sentence) in table {
        let error = refused(client).await;
        assert!(error.contains(sentence) && !error.contains("is the device on"), "{sentence:?} is missing in {error}");
    }
    assert_eq!(ask(pki.stranger(address).with_server_name("localhost")).await.unwrap(), [0]);
    assert_eq!(ask(pki.stranger(address).with_sni(false)).await.unwrap(), [0]);
    assert_eq!(ask(pki.stranger(address).with_min_version(TlsVersion::V1_3)).await.unwrap(), [0]);
    assert_eq!(ask(Tls::new(address).dangerous_accept_any_server()).await.unwrap(), [0]);
    server.stop().await;

    for (name, sentence) in [("expired", "has expired: renew it"), ("client", "is not made for its side")] {
        pki.server("expired", expired);
        pki.client("client", |params| {
            params.subject_alt_names = vec![rcgen::SanType::IpAddress("127.0.0.1".parse().unwrap())]
        });
        let files =
            dinrail::transport::TlsOptions::new(pki.path(&format!("{name}.pem")), pki.path(&format!("{name}.key")));
        let tls = files.with_client_auth(ClientAuth::None).load().unwrap();
        let server = Server::tls("127.0.0.1:0", tls, Memory::new());
        let address = server.start().await.unwrap();
        let error = refused(pki.stranger(address)).await;
        assert!(error.contains(sentence), "{sentence:?} is missing in {error}");
        assert_eq!(ask(Tls::new(address).dangerous_accept_any_server()).await.unwrap(), [0]);
        server.stop().await;
    }
}

/// What a peer says first that knows no TLS.
#[tokio::test]
async fn a_peer_without_tls_is_told_apart() {
    let pki = Pki::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[0, 1, 0, 0, 0, 3, 1, 0x83, 1]).await.unwrap();
        stream
    });
    let error = refused(pki.stranger(address)).await;
    assert!(error.contains("the peer does not speak TLS: is it plain Modbus TCP?"), "{error}");
    server.await.unwrap();

    let server = Server::tls("127.0.0.1:0", pki.tls(), Memory::new());
    let mut plain = TcpStream::connect(server.start().await.unwrap()).await.unwrap();
    plain.write_all(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, plain.read_to_end(&mut answer)).await.expect("it is closed").unwrap();
    assert_eq!(answer.first(), Some(&21), "an alert, and no answer: {answer:?}");
    drop(plain);
    server.stop().await;
    assert_eq!(ask(pki.as_client("operator", server.start().await.unwrap())).await.unwrap(), [0]);
}

/// So that a client can tell that from a connection that was cut.
#[tokio::test]
async fn a_server_that_stops_says_that_this_is_the_end() {
    let pki = Pki::new();
    let server = Server::tls("127.0.0.1:0", pki.tls(), Memory::new());
    let mut stream = pki.as_client("operator", server.start().await.unwrap()).connect().await.unwrap();
    stream.write_all(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).await.unwrap();
    let mut reply = [0; 11];
    stream.read_exact(&mut reply).await.unwrap();
    server.stop().await;
    assert_eq!(tokio::time::timeout(SOON, stream.read(&mut reply)).await.expect("in time").expect("no cut"), 0);
}

/// The role belongs to the session, and comes back with it (SEC R-65).
#[tokio::test]
async fn a_session_that_is_resumed_keeps_its_role() {
    let pki = Pki::new();
    pki.client("engineer", |params| params.custom_extensions.push(role("engineer")));
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let (asked, service) = remembering();
        let server = Server::tls("127.0.0.1:0", pki.tls(), service);
        let address = server.start().await.unwrap();
        let config = crate::old::client_config(&pki, "engineer", version);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            kinds.push(crate::old::exchange(address, config.clone()).await);
        }
        use dinrail::transport::rustls::HandshakeKind::{Full, Resumed};
        assert_eq!(kinds, [Full, Resumed], "{version:?}");
        let roles: Vec<_> = asked.lock().unwrap().iter().map(|role| role.as_deref() == Some("engineer")).collect();
        assert_eq!(roles, [true, true], "{version:?}");
        server.stop().await;
    }
}
