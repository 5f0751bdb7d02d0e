//! FC 8, 11 and 12 as the server answers them: on serial lines by itself, on TCP when it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::client::{self, Client};
use dinrail::proto::Framing;
use dinrail::proto::pdu::diagnostics::Diagnostic;
use dinrail::server::{DiagnosticsMode, Hooks, Options, serve_line};
use dinrail::service::{Access, Memory, Peer, Rule, Rules, Service, Units};
use dinrail::transport::{Burst, Tcp, Udp};
use dinrail::{Area, Error, ExceptionCode, Server, UnitId};

async fn tcp(mode: impl Into<Option<DiagnosticsMode>>) -> (Server<Memory>, SocketAddr) {
    let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(Options::default().with_diagnostics(mode));
    let address = server.start().await.expect("it starts");
    (server, address)
}

async fn connect(address: SocketAddr) -> Client {
    let options = client::Options::default().with_timeout(Duration::from_millis(200));
    Client::connect_with(Tcp::new(address), options).await.expect("it connects")
}

/// A client and the server it asks, on a line of RTU that has silences.
async fn rtu(service: impl Service, options: Options) -> Client {
    let (ours, theirs) = tokio::io::duplex(4096);
    let burst = Burst::Silence(Duration::from_millis(2));
    tokio::spawn(serve_line(theirs, burst, Peer::default(), service, options.with_framing(Framing::Rtu)));
    let options = client::Options::default().with_timeout(Duration::from_millis(200));
    Client::over(ours, Framing::Rtu, options)
}

#[tokio::test(start_paused = true)]
async fn s001_27_a_serial_line_answers_diagnostics_unasked() {
    let client = rtu(Memory::with_sizes(0, 0, 10, 0), Options::default()).await;
    client.return_query_data(&[0xA5, 0x37]).await.expect("an echo");
    client.return_query_data(&[1, 2, 3, 4, 5, 6, 7]).await.expect("an echo of any length");
    client.clear_diagnostic_counters().await.expect("they are cleared");

    client.read_holding_registers(0, 1).await.expect("values");
    client.read_holding_registers(10, 1).await.expect_err("there is no such register");
    let count = |sub_function| client.diagnostic_counter(sub_function);
    assert_eq!(count(Diagnostic::BUS_MESSAGE_COUNT).await.expect("a count"), 3);
    assert_eq!(count(Diagnostic::SERVER_MESSAGE_COUNT).await.expect("a count"), 4);
    assert_eq!(count(Diagnostic::BUS_EXCEPTION_ERROR_COUNT).await.expect("a count"), 1);
    assert_eq!(count(Diagnostic::BUS_CHARACTER_OVERRUN_COUNT).await.expect("a count"), 0);

    let counter = client.comm_event_counter().await.expect("a counter");
    assert_eq!((counter.status, counter.events), (0, 5), "one read and four counts");
    let log = client.comm_event_log().await.expect("a log");
    assert_eq!((log.status, log.events, log.messages), (0, 5, 8));
    assert_eq!(log.log[..5], [0x80, 0x40, 0x80, 0x40, 0x80], "the newest first");
    assert!(log.log.contains(&0x41), "the refused request");
    let reserved = client.diagnostics(Diagnostic(5), &[0, 0]).await.expect_err("a reserved sub-function");
    assert_eq!(reserved.exception(), Some(ExceptionCode::IllegalFunction));
}

#[tokio::test(start_paused = true)]
async fn s001_27_who_only_listens_does_nothing_until_a_restart() {
    let memory = Memory::with_sizes(0, 0, 10, 0);
    let client = rtu(memory.clone(), Options::default()).await;
    client.force_listen_only().await.expect("it is sent, and never answered");
    assert!(matches!(client.write_register(1, 7).await, Err(Error::Timeout { .. })));
    client.unit(0).write_register(2, 7).await.expect("a broadcast is never answered");
    assert!(matches!(client.restart_communications(false).await, Err(Error::Timeout { .. })), "not answered either");
    assert_eq!(memory.values(Area::HoldingRegister, 0, 3), Ok(vec![0, 0, 0]), "nothing was done");
    client.write_register(1, 7).await.expect("it is written");
    assert_eq!(client.comm_event_log().await.expect("a log").log[..4], [0x80, 0x40, 0x80, 0x00]);
    client.restart_communications(true).await.expect("now it is answered");
    assert_eq!(client.comm_event_log().await.expect("a log").log, [0x80, 0x00]);
}

#[tokio::test(start_paused = true)]
async fn broadcasts_are_counted_and_their_refusals_too() {
    let client = rtu(Memory::with_sizes(0, 0, 10, 0), Options::default()).await;
    client.unit(0).write_register(1, 7).await.expect("it is sent");
    client.unit(0).write_register(10, 7).await.expect("it is sent");
    let count = |sub_function| client.diagnostic_counter(sub_function);
    assert_eq!(count(Diagnostic::SERVER_NO_RESPONSE_COUNT).await.expect("a count"), 2);
    assert_eq!(count(Diagnostic::BUS_EXCEPTION_ERROR_COUNT).await.expect("a count"), 1);
    assert_eq!(client.comm_event_counter().await.expect("a counter").events, 3, "one write and two counts");
    client.unit(0).clear_diagnostic_counters().await.expect("it is sent");
    assert_eq!(client.comm_event_counter().await.expect("a counter").events, 0);
}

/// The server answers in the service's stead, so it asks the service's rules.
#[tokio::test(start_paused = true)]
async fn rules_hold_for_what_the_server_answers_itself() {
    let rules = || Rules::new().with(Rule::anyone(Access::Read));
    let behind_layers = Units::new().with(1, Memory::new().with_rules(rules()).boxed());
    let clients = [
        rtu(Memory::new().with_rules(rules()), Options::default()).await,
        rtu(behind_layers, Options::default()).await,
    ];
    for client in clients {
        let refusals = [
            client.clear_diagnostic_counters().await.expect_err("it writes"),
            client.force_listen_only().await.expect_err("it writes"),
        ];
        assert_eq!(refusals.map(|refused| refused.exception()), [Some(ExceptionCode::IllegalFunction); 2]);
        client.unit(0).clear_diagnostic_counters().await.expect("it is sent");
        client.unit(0).force_listen_only().await.expect("it is sent");
        let log = client.comm_event_log().await.expect("reading is allowed, and it does not only listen");
        assert_eq!(log.messages, 5, "nothing was cleared");
    }
    let allowed = rtu(Memory::new().with_rules(Rules::new().with(Rule::anyone(Access::All))), Options::default()).await;
    allowed.unit(0).force_listen_only().await.expect("it is sent");
    assert!(allowed.comm_event_log().await.expect_err("it only listens").is_timeout());
}

#[tokio::test]
async fn s001_27_on_tcp_the_service_is_asked_unless_told_otherwise() {
    let (server, address) = tcp(None).await;
    let client = connect(address).await;
    let refusals = [
        client.return_query_data(&[1, 2]).await.expect_err("refused"),
        client.comm_event_counter().await.expect_err("refused"),
        client.comm_event_log().await.expect_err("refused"),
    ];
    for refused in refusals {
        assert_eq!(refused.exception(), Some(ExceptionCode::IllegalFunction));
    }
    assert_eq!(server.diagnostics().snapshot().counters().bus_messages, 0);
}

#[tokio::test]
async fn s001_27_connections_of_a_server_share_its_diagnostics() {
    let (server, address) = tcp(DiagnosticsMode::Live).await;
    let (one, other) = (connect(address).await, connect(address).await);
    for _ in 0..5 {
        one.read_coils(0, 1).await.expect("values");
        other.unit(77).read_coils(0, 1).await.expect("values");
    }
    assert_eq!(one.diagnostic_counter(Diagnostic::BUS_MESSAGE_COUNT).await.expect("a count"), 11);
    assert_eq!(other.comm_event_counter().await.expect("a counter").events, 11);

    let diagnostics = server.diagnostics();
    diagnostics.set_register(0xBEEF);
    diagnostics.set_busy(true);
    assert_eq!(one.diagnostic_counter(Diagnostic::RETURN_DIAGNOSTIC_REGISTER).await.expect("it"), 0xBEEF);
    assert_eq!(other.comm_event_counter().await.expect("a counter").status, 0xFFFF);

    one.force_listen_only().await.expect("it is sent");
    assert!(matches!(other.read_coils(0, 1).await, Err(Error::Timeout { .. })));
    assert!(diagnostics.snapshot().is_listen_only());
    assert!(matches!(other.restart_communications(false).await, Err(Error::Timeout { .. })), "it is not answered");
    one.read_coils(0, 1).await.expect("the way back, for all connections");
    one.force_listen_only().await.expect("it is sent");
    assert!(matches!(other.read_coils(0, 1).await, Err(Error::Timeout { .. })));

    server.stop().await;
    let address = server.start().await.expect("it starts again");
    let snapshot = diagnostics.snapshot();
    assert_eq!((snapshot.counters().bus_messages, snapshot.is_listen_only()), (0, false));
    assert_eq!(snapshot.register(), 0xBEEF, "the application's own");
    connect(address).await.read_coils(0, 1).await.expect("values");
    assert_eq!(diagnostics.snapshot().counters().bus_messages, 1);
}

#[tokio::test]
async fn s001_27_datagrams_are_counted_too() {
    let options = Options::default().with_diagnostics(DiagnosticsMode::Live);
    let server = Server::udp("127.0.0.1:0", Memory::with_sizes(10, 0, 0, 0)).with_options(options);
    let address = server.start().await.expect("it starts");
    let options = client::Options::default().with_timeout(Duration::from_millis(200));
    let client = Client::connect_with(Udp::new(address), options).await.expect("it connects");
    client.read_coils(0, 1).await.expect("values");
    client.read_coils(10, 1).await.expect_err("there are no such coils");
    assert_eq!(client.diagnostic_counter(Diagnostic::BUS_MESSAGE_COUNT).await.expect("a count"), 3);
    assert_eq!(client.comm_event_counter().await.expect("a counter").events, 2);
    assert_eq!(client.comm_event_log().await.expect("a log").log[..5], [0x80, 0x40, 0x80, 0x40, 0x80]);
    client.force_listen_only().await.expect("it is sent");
    assert!(matches!(client.read_coils(0, 1).await, Err(Error::Timeout { .. })));
    assert!(server.diagnostics().snapshot().is_listen_only());
    assert!(matches!(client.restart_communications(false).await, Err(Error::Timeout { .. })), "it is not answered");
    client.read_coils(0, 1).await.expect("the way back");
}

#[tokio::test]
async fn s001_27_frozen_counters_never_move() {
    let (server, address) = tcp(DiagnosticsMode::Frozen).await;
    let client = connect(address).await;
    client.read_coils(0, 1).await.expect("values");
    assert_eq!(client.diagnostic_counter(Diagnostic::BUS_MESSAGE_COUNT).await.expect("a count"), 0);
    assert_eq!(client.comm_event_counter().await.expect("a counter").events, 0);
    assert_eq!(client.comm_event_log().await.expect("a log").log, []);
    assert_eq!(server.diagnostics().snapshot().events_logged(), []);
}

#[tokio::test]
async fn a_unit_that_is_not_served_has_no_diagnostics_and_hooks_see_those_that_have() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<Vec<u8>>>>);
    impl Hooks for Seen {
        fn request(&self, _: &Peer, unit: UnitId, pdu: &[u8]) {
            self.0.lock().expect("nobody panics").push([&[unit.0], pdu].concat());
        }
    }
    let seen = Seen::default();
    let options = Options::default().with_diagnostics(DiagnosticsMode::Live).with_units([1]);
    let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options).with_hooks(seen.clone());
    let client = connect(server.start().await.expect("it starts")).await;
    let refused = client.unit(2).comm_event_counter().await.expect_err("no such unit");
    assert_eq!(refused.exception(), Some(ExceptionCode::GatewayTargetFailedToRespond));
    client.comm_event_counter().await.expect("a counter");
    assert_eq!(*seen.0.lock().expect("nobody panics"), [[1, 11]]);
}
