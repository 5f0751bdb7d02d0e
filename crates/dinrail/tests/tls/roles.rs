//! The role in a certificate, on both sides (SEC ), and what rules make of it.

use dinrail::client::Options;
use dinrail::service::{Access, Memory, Rule, Rules, Service};
use dinrail::transport::rustls;
use dinrail::{Area, Client, Error, ExceptionCode, Server};
use rcgen::CustomExtension;

use crate::pki::{Pki, ask, extension, refused, remembering, role};

const OF_OUR_OWN: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[tokio::test]
async fn the_server_learns_the_role_of_each_client() {
    let pki = Pki::new();
    pki.client("engineer", |params| params.custom_extensions.push(role("Ingenieur für Ähnliches")));
    pki.client("nobody", |_| {});
    let (asked, service) = remembering();
    let server = Server::tls("127.0.0.1:0", pki.tls(), service);
    let address = server.start().await.unwrap();
    for name in ["operator", "engineer", "nobody", "operator"] {
        assert_eq!(ask(pki.as_client(name, address)).await.unwrap(), [7]);
    }
    let roles: Vec<_> = asked.lock().unwrap().iter().map(|role| role.as_deref().map(str::to_owned)).collect();
    let expected = [Some("operator"), Some("Ingenieur für Ähnliches"), None, Some("operator")];
    assert_eq!(roles, expected.map(|role| role.map(str::to_owned)));
    server.stop().await;
}

/// What may stand where the role should.
fn invalid() -> Vec<(&'static str, Vec<CustomExtension>)> {
    let with = |content: &[u8]| vec![extension(content)];
    vec![
        ("two", vec![role("operator"), role("operator")]),
        ("printable", with(b"\x13\x08operator")),
        ("octets", with(b"\x04\x08operator")),
        ("no-utf8", with(b"\x0c\x02\xff\xfe")),
        ("trailing", with(b"\x0c\x08operator\x00")),
        ("second-string", with(b"\x0c\x08operator\x0c\x08engineer")),
        ("cut", with(b"\x0c\x09operator")),
        ("empty-string", with(b"\x0c\x00")),
        ("nothing", with(b"")),
    ]
}

#[tokio::test]
async fn a_client_whose_role_is_not_what_it_should_be_is_refused() {
    let pki = Pki::new();
    let (asked, service) = remembering();
    let server = Server::tls("127.0.0.1:0", pki.tls(), service);
    let address = server.start().await.unwrap();
    for ((name, extensions), failed) in invalid().into_iter().zip(1..) {
        pki.client(name, |params| params.custom_extensions = extensions);
        let sentence = refused(pki.as_client(name, address)).await;
        assert!(sentence.contains("the peer refuses our certificate"), "{name}: {sentence}");
        assert_eq!(server.statistics().handshakes_failed, failed);
    }
    assert!(asked.lock().unwrap().is_empty(), "nothing was asked on their behalf");
    assert_eq!(ask(pki.as_client("operator", address)).await.unwrap(), [7]);
    server.stop().await;
}

/// A configuration of the user's own does not look at roles; the server does.
#[tokio::test]
async fn a_prepared_configuration_lets_no_such_client_through_either() {
    let pki = Pki::new();
    let (asked, service) = remembering();
    let tls = dinrail::transport::ServerTls::from_config(crate::old::config(&pki, OF_OUR_OWN, true));
    let server = Server::tls("127.0.0.1:0", tls, service);
    let address = server.start().await.unwrap();
    for (name, extensions) in invalid() {
        pki.client(name, |params| params.custom_extensions = extensions);
        ask(pki.as_client(name, address)).await.expect_err(name);
    }
    assert!(asked.lock().unwrap().is_empty(), "nothing was asked on their behalf");
    assert_eq!(ask(pki.as_client("operator", address)).await.unwrap(), [7]);
    assert_eq!(asked.lock().unwrap()[0].as_deref(), Some("operator"));
    server.stop().await;
}

#[tokio::test]
async fn a_client_can_require_the_servers_role() {
    for (change, required, sentence) in [
        (Some(role("plc")), Some("plc"), None),
        (Some(role("plc")), None, None),
        (None, None, None),
        (Some(role("plc")), Some("meter"), Some("has the role \"plc\", not \"meter\"")),
        (None, Some("plc"), Some("has no role, and \"plc\" is required")),
        (Some(extension(b"\x13\x03plc")), Some("plc"), Some("is no UTF8String")),
        (Some(extension(b"\x13\x03plc")), None, Some("is no UTF8String")),
    ] {
        let pki = Pki::new();
        pki.server("server", |params| params.custom_extensions.extend(change));
        let server = Server::tls("127.0.0.1:0", pki.tls(), Memory::new());
        let mut client = pki.as_client("operator", server.start().await.unwrap());
        if let Some(required) = required {
            client = client.with_required_role(required);
        }
        match sentence {
            None => assert_eq!(ask(client).await.unwrap(), [0]),
            Some(sentence) => {
                let error = refused(client).await;
                assert!(error.contains(sentence) && !error.contains("is the device on"), "{error}");
            }
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn rules_decide_by_role_before_anything_is_done() {
    let pki = Pki::new();
    pki.client("engineer", |params| params.custom_extensions.push(role("engineer")));
    pki.client("nobody", |_| {});
    let rules = Rules::new()
        .with(Rule::anyone(Access::Read).with_area(Area::HoldingRegister, 0..=99))
        .with(Rule::new("operator", Access::Write).with_area(Area::HoldingRegister, 10..=19))
        .with(Rule::new("engineer", Access::All));
    let memory = Memory::new();
    let server = Server::tls("127.0.0.1:0", pki.tls(), memory.clone().with_rules(rules));
    let address = server.start().await.unwrap();
    let client = async |name| Client::connect_with(pki.as_client(name, address), Options::default()).await.unwrap();
    let denied = |done: Result<(), Error>| {
        assert_eq!(done.expect_err("no rule allows it").exception(), Some(ExceptionCode::IllegalFunction));
    };

    let operator = client("operator").await;
    operator.write_registers(10, &[1; 10]).await.unwrap();
    denied(operator.write_registers(10, &[2; 11]).await);
    denied(operator.write_register(20, 2).await);
    denied(operator.mask_write_register(9, 0, 2).await);
    denied(operator.write_coil(10, true).await);
    denied(operator.read_write_registers(95, 10, 10, &[2]).await.map(drop));
    denied(operator.read_input_registers(0, 1).await.map(drop));
    assert_eq!(memory.values(Area::HoldingRegister, 9, 12).unwrap(), [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);

    let nobody = client("nobody").await;
    assert_eq!(nobody.read_holding_registers(19, 2).await.unwrap(), [1, 0]);
    denied(nobody.write_register(10, 3).await);

    client("engineer").await.write_coil(10, true).await.unwrap();
    assert_eq!(memory.value(Area::Coil, 10), Some(1));
    server.stop().await;
}
