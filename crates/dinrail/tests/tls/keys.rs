//! Certificates and keys from files and from configurations.

use std::path::PathBuf;
use std::sync::Arc;

use dinrail::client::Options;
use dinrail::service::Memory;
use dinrail::transport::rustls::crypto::ring;
use dinrail::transport::rustls::pki_types::pem::PemObject;
use dinrail::transport::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use dinrail::transport::rustls::{ClientConfig, RootCertStore, ServerConfig};
use dinrail::transport::{ClientAuth, ServerTls, Tls, TlsOptions};
use dinrail::{Server, blocking};

use crate::pki::{Pki, ask, refused};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls/keys").join(name)
}

fn pair(certificate: &str, key: &str) -> TlsOptions {
    TlsOptions::new(file(certificate), file(key)).with_client_auth(ClientAuth::None)
}

#[tokio::test]
async fn s001_8_certificate_and_key_from_files() {
    let pki = Pki::new();
    let server =
        Server::tls("127.0.0.1:0", pki.options().with_client_auth(ClientAuth::None).load().unwrap(), Memory::new());
    let address = server.start().await.unwrap();
    assert_eq!(ask(pki.stranger(address)).await.unwrap(), [0]);
    server.stop().await;
    assert!(refused(pki.stranger(address)).await.contains("is the device on"), "it has stopped");
    server.start().await.expect("and starts again");
}

#[tokio::test]
async fn s001_8_a_key_with_a_password() {
    // A self-signed certificate that is no CA's can be named as what it is signed by.
    let options = pair("ec-server.pem", "pbes2-aes256.key").with_password("secret");
    let server = Server::tls("127.0.0.1:0", options.load().unwrap(), Memory::new());
    let address = server.start().await.unwrap();
    let client = Tls::new(address).with_ca(file("ec-server.pem")).with_server_name("localhost");
    assert_eq!(ask(client).await.unwrap(), [0]);
    server.stop().await;
}

#[tokio::test]
async fn s001_8_a_prepared_configuration_on_both_sides() {
    let pki = Pki::new();
    let certificates = |name: &str| vec![CertificateDer::from_pem_file(pki.path(name)).unwrap()];
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates("server.pem"), PrivateKeyDer::from_pem_file(pki.path("server.key")).unwrap())
        .unwrap();
    let tls = ServerTls::from_config(config.into());
    let error = tls.reload().expect_err("there are no files").to_string();
    assert_eq!(error, "a prepared TLS configuration has no files to read again: replace it");
    let server = Server::tls("127.0.0.1:0", tls, Memory::new());
    let address = server.start().await.unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(certificates("ca.pem").remove(0)).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert_eq!(ask(Tls::new(address).with_config(config.into())).await.unwrap(), [0]);
    server.stop().await;
}

#[test]
fn s001_8_without_a_runtime() {
    let pki = Pki::new();
    let server = blocking::Server::tls("127.0.0.1:0", pki.tls(), Memory::new());
    let address = server.start().unwrap();
    let client = blocking::Client::connect_with(pki.as_client("operator", address), Options::default()).unwrap();
    client.write_registers(3, &[4, 5]).unwrap();
    assert_eq!(client.read_holding_registers(3, 2).unwrap(), [4, 5]);
    assert!(blocking::Client::connect_with(Tls::new(address), Options::default()).is_err(), "it names no CA");
    assert_eq!(server.stop().unwrap().drained, 1);
}

/// What OpenSSL makes of the shortest commands.
#[tokio::test]
async fn certificates_of_a_ca_and_of_version_1_are_told_apart() {
    let server = Server::tls("127.0.0.1:0", pair("ec.pem", "plain.key").load().unwrap(), Memory::new());
    let address = server.start().await.unwrap();
    let error = refused(Tls::new(address).with_ca(file("ec.pem"))).await;
    assert!(error.contains("is one of a CA: issue one for the peer itself, with CA:FALSE"), "{error}");
    server.stop().await;
    let error = pair("v1.pem", "plain.key").load().expect_err("version 1").to_string();
    assert!(error.contains("v1.pem") && error.contains("is of X.509 version 1: issue one of version 3"), "{error}");
}

#[test]
fn keys_of_every_kind_that_is_read() {
    for key in ["plain.key", "sec1.key", "pbes2-aes256.key", "pbes2-scrypt.key"] {
        pair("ec.pem", key).with_password("secret").load().unwrap_or_else(|error| panic!("{key}: {error}"));
    }
    pair("rsa.pem", "rsa.key").load().expect("PKCS#1");
}

#[test]
fn keys_of_kinds_that_are_not_read_come_with_the_command_that_converts_them() {
    for key in ["pbes2-3des.key", "pkcs12-3des.key", "pbes1-des.key", "traditional.key"] {
        let error = pair("ec.pem", key).with_password("secret").load().expect_err(key).to_string();
        let path = file(key);
        let path = path.display();
        assert!(error.starts_with(&format!("the private key {path} is encrypted in an old way")), "{error}");
        let command = format!("openssl pkcs8 -topk8 -v2 aes-256-cbc -in {path} -out {path}.new");
        assert!(error.contains(&command), "{error}");
    }
}

#[test]
fn what_is_wrong_with_files_is_said_by_name() {
    let pki = Pki::new();
    pki.write("empty.pem", "");
    pki.write("damaged.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    pki.write("damaged.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    pki.write("cut.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n");
    let with = |certificate: &str, key: &str| {
        TlsOptions::new(pki.path(certificate), pki.path(key)).with_client_auth(ClientAuth::None)
    };
    let open = |password: &str| pair("ec.pem", "pbes2-aes256.key").with_password(password);
    let table = [
        (with("absent.pem", "server.key"), "cannot read the certificate ", "absent.pem: No such file"),
        (with("server.pem", "absent.key"), "cannot read the private key ", "absent.key: No such file"),
        (with("empty.pem", "server.key"), "", "empty.pem holds no certificate: it must be PEM"),
        (with("damaged.pem", "server.key"), "the certificate ", "damaged.pem is damaged"),
        (with("server.pem", "empty.pem"), "", "empty.pem holds no private key: it must be PEM"),
        (with("server.pem", "server.pem"), "", "server.pem holds no private key: it must be PEM"),
        (with("server.pem", "damaged.key").with_password("x"), "the private key ", "damaged.key is damaged"),
        (with("server.pem", "cut.key").with_password("x"), "the private key ", "cut.key is damaged"),
        (with("server.pem", "operator.key"), "the private key ", "does not belong to the certificate"),
        (open("wrong"), "the password does not open the private key ", "pbes2-aes256.key"),
        (open(""), "the password does not open the private key ", "pbes2-aes256.key"),
        (pair("ec.pem", "pbes2-aes256.key"), "the private key ", "pbes2-aes256.key is encrypted: give its password"),
        (TlsOptions::new("a", "b"), "clients are to show certificates, and no CA is named", "ClientAuth::None"),
        (
            pki.options().with_client_ca(pki.path("absent.pem")),
            "cannot read the certificate ",
            "absent.pem: No such file",
        ),
    ];
    for (options, start, part) in table {
        let error = options.load().expect_err(part).to_string();
        assert!(error.starts_with(start) && error.contains(part), "{part:?} is missing in {error}");
    }
    assert!(!format!("{:?}", open("a password")).contains("a password"), "no log may show it");

    let error = pki.as_client("absent", "localhost").check().expect_err("no such file").to_string();
    assert!(error.contains("absent.pem: No such file"), "{error}");
    let error = Tls::new("localhost").check().expect_err("no CA").to_string();
    assert!(error.contains("no CA is named"), "{error}");
    let error = pki.stranger("no host").check().expect_err("a space").to_string();
    assert!(error.contains("\"no host\" is no name that a certificate can be for"), "{error}");
    for (address, shown) in [("plc", "plc:802"), ("::1", "[::1]:802"), ("plc:1802", "plc:1802")] {
        assert_eq!(Tls::new(address).to_string(), shown);
    }
}
