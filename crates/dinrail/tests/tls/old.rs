//! What is too old or too weak, and rustls by hand where a test needs it.

use std::net::SocketAddr;
use std::sync::Arc;

use dinrail::Server;
use dinrail::service::Memory;
use dinrail::transport::TlsVersion;
use dinrail::transport::rustls::crypto::ring;
use dinrail::transport::rustls::pki_types::pem::PemObject;
use dinrail::transport::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use dinrail::transport::rustls::server::WebPkiClientVerifier;
use dinrail::transport::rustls::{self, ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pki::{Pki, SOON};

fn roots(pki: &Pki) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.path("ca.pem")).unwrap()).unwrap();
    roots
}

fn pair(pki: &Pki, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_file(pki.path(&format!("{name}.pem"))).unwrap();
    (vec![certificate], PrivateKeyDer::from_pem_file(pki.path(&format!("{name}.key"))).unwrap())
}

/// A server's configuration as its user may make it.
pub(crate) fn config(
    pki: &Pki,
    versions: &[&'static rustls::SupportedProtocolVersion],
    clients: bool,
) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(pki).into(), provider).build().unwrap();
    let builder = if clients { builder.with_client_cert_verifier(verifier) } else { builder.with_no_client_auth() };
    let (chain, key) = pair(pki, "server");
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// A client's configuration with this version of TLS alone.
pub(crate) fn client_config(pki: &Pki, name: &str, version: TlsVersion) -> Arc<ClientConfig> {
    let version = if version == TlsVersion::V1_2 { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots(pki));
    let (chain, key) = pair(pki, name);
    Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
}

/// Asks for a register, and says how the handshake went.
pub(crate) async fn exchange(address: SocketAddr, config: Arc<ClientConfig>) -> HandshakeKind {
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(config).connect(name, tcp).await.unwrap();
    stream.write_all(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).await.unwrap();
    stream.read_exact(&mut [0; 11]).await.unwrap();
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    stream.shutdown().await.unwrap();
    kind
}

/// A hello of a client that speaks nothing newer than `version`, and these suites alone.
fn hello(version: u8, suites: &[u16]) -> Vec<u8> {
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let extensions = [
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..], // groups: x25519, P-256
        &[0, 11, 0, 2, 1, 0],                   // points: uncompressed
        &[0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1], // signatures: ECDSA and RSA with SHA-256
        &[0, 23, 0, 0],                         // extended master secret
        &[0xff, 1, 0, 1, 0],                    // renegotiation info
    ]
    .concat();
    let mut body = vec![3, version];
    body.extend([7; 32]);
    body.push(0);
    body.extend((suites.len() as u16).to_be_bytes());
    body.extend(&suites);
    body.extend([1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(&extensions);
    let mut record = vec![22, 3, 1];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(&body);
    record
}

/// All that a server says to these bytes, until it closes.
async fn answer(address: SocketAddr, hello: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(hello).await.unwrap();
    let mut answer = vec![0; 16];
    let length = tokio::time::timeout(SOON, stream.read(&mut answer)).await.expect("in time").unwrap();
    answer.truncate(length);
    answer
}

#[tokio::test]
async fn tls_1_1_and_weak_suites_are_refused_with_an_alert() {
    const PROTOCOL_VERSION: u8 = 70;
    const HANDSHAKE_FAILURE: u8 = 40;
    let pki = Pki::new();
    let server = Server::tls("127.0.0.1:0", pki.tls(), Memory::new());
    let address = server.start().await.unwrap();
    let good = [0xc02b, 0xc02f];
    let table: [(&str, u8, &[u16], u8); 6] = [
        ("TLS 1.0", 1, &good, PROTOCOL_VERSION),
        ("TLS 1.1", 2, &good, PROTOCOL_VERSION),
        ("RSA-AES128-CBC-SHA256", 3, &[0x003c], HANDSHAKE_FAILURE),
        ("RSA-NULL-SHA256", 3, &[0x003b], HANDSHAKE_FAILURE),
        ("ECDHE-ECDSA-AES128-CBC-SHA", 3, &[0xc009], HANDSHAKE_FAILURE),
        ("RSA-AES128-GCM-SHA256", 3, &[0x009c], HANDSHAKE_FAILURE),
    ];
    for (name, version, suites, alert) in table {
        let answer = answer(address, &hello(version, suites)).await;
        assert_eq!(answer.first(), Some(&21), "{name}: {answer:?}");
        assert_eq!(answer[answer.len() - 2..], [2, alert], "{name}: {answer:?}");
    }
    // The same hello with a suite that is spoken goes through: what was refused was the suite.
    assert_eq!(answer(address, &hello(3, &good)).await.first(), Some(&22));
    assert_eq!(server.statistics().accepted, 7);
    server.stop().await;

    let tls = pki.options().with_min_version(TlsVersion::V1_3).load().unwrap();
    let server = Server::tls("127.0.0.1:0", tls, Memory::new());
    let address = server.start().await.unwrap();
    let answer = answer(address, &hello(3, &good)).await;
    assert_eq!(answer[answer.len() - 2..], [2, PROTOCOL_VERSION], "TLS 1.2 is too old for this one");
    server.stop().await;
}
