//! S001-28: one conversation with every function code, over every transport and every framing, with the asynchronous and
//! the blocking server, and with the asynchronous and the blocking client.
#![allow(missing_docs, clippy::unwrap_used)]
#![cfg(all(target_os = "linux", feature = "serial", feature = "tls"))]

#[path = "../serial/bus.rs"]
#[allow(dead_code)]
mod bus;
#[path = "../tls/pki.rs"]
#[allow(dead_code)]
mod pki;

use std::time::{Duration, Instant};

use dinrail::client::{Backoff, Options};
use dinrail::proto::adu::{Adu, CustomLength, Decoded, Decoder, LengthRule, Side};
use dinrail::proto::pdu::device_id::ReadDeviceId;
use dinrail::proto::pdu::diagnostics::Diagnostic;
use dinrail::server::{self, DiagnosticsMode};
use dinrail::service::{
    BoxService, DeviceIdentity, ExceptionStatus, Failure, Fifos, Files, Memory, ServerId, Service as _,
};
use dinrail::transport::{Connect, Direction, Endpoint, Faults, Faulty, Rewrite, TlsOptions};
use dinrail::{Client, ExceptionCode, FunctionCode, Server, blocking};

use self::bus::Bus;
use self::pki::Pki;

/// A function of one's own, and one that nobody knows; both say how long they are.
const OWN: FunctionCode = FunctionCode::new(0x55).expect("between 1 and 127");
const UNKNOWN: FunctionCode = FunctionCode::new(0x42).expect("between 1 and 127");
static LENGTHS: &[CustomLength] = &[
    CustomLength::new(OWN, LengthRule::ByteCountAt(1), LengthRule::ByteCountAt(1)),
    CustomLength::new(UNKNOWN, LengthRule::Fixed(2), LengthRule::Fixed(2)),
];

/// What is said, with `.await` behind each call or without: every function code, in both of its directions.
macro_rules! converse {
    ($client:expr $(, $wait:tt)*) => {{
        let client = $client;
        client.write_coil(3, true)$(.$wait)*.expect("FC 5");
        client.write_coils(8, &[true, false, true])$(.$wait)*.expect("FC 15");
        let coils = client.read_coils(3, 8)$(.$wait)*.expect("FC 1");
        assert_eq!(coils, [true, false, false, false, false, true, false, true]);
        assert_eq!(client.read_discrete_inputs(0, 2)$(.$wait)*.expect("FC 2"), [false; 2]);
        client.write_register(0, 0x7B7D)$(.$wait)*.expect("FC 6");
        let many: Vec<u16> = (0..123).map(|value| value * 529).collect();
        client.write_registers(1, &many)$(.$wait)*.expect("FC 16");
        let registers = client.read_holding_registers(0, 124)$(.$wait)*.expect("FC 3");
        assert_eq!((registers[0], &registers[1..]), (0x7B7D, &many[..]));
        assert_eq!(client.read_input_registers(0, 125)$(.$wait)*.expect("FC 4"), [0; 125]);
        client.mask_write_register(0, 0xFF00, 0x0011)$(.$wait)*.expect("FC 22");
        let read = client.read_write_registers(0, 1, 200, &[5, 6])$(.$wait)*.expect("FC 23");
        assert_eq!(read, [0x7B11]);

        assert_eq!(client.read_exception_status()$(.$wait)*.expect("FC 7"), 0x6D);
        assert_eq!(client.report_server_id()$(.$wait)*.expect("FC 17"), b"\x11\xFFpump");
        client.write_file_record(4, 1, &[0x06AF, 0x04BE])$(.$wait)*.expect("FC 21");
        assert_eq!(client.read_file_record(4, 0, 4)$(.$wait)*.expect("FC 20"), [1, 0x06AF, 0x04BE, 4]);
        assert_eq!(client.read_fifo_queue(0x04DE)$(.$wait)*.expect("FC 24"), [0x01B8, 0x1284]);
        let identity = client.read_device_identification(ReadDeviceId::Basic)$(.$wait)*.expect("FC 43");
        assert_eq!(identity[&0], b"ACME");

        client.clear_diagnostic_counters()$(.$wait)*.expect("FC 8 / 10");
        client.return_query_data(&[0x7D, 0x7B])$(.$wait)*.expect("FC 8 / 0");
        let messages = client.diagnostic_counter(Diagnostic::SERVER_MESSAGE_COUNT)$(.$wait)*;
        assert_eq!(messages.expect("FC 8 / 14"), 2);
        let counted = client.comm_event_counter()$(.$wait)*.expect("FC 11");
        let log = client.comm_event_log()$(.$wait)*.expect("FC 12");
        assert_eq!((log.events, &log.log[..4]), (counted.events, &[0x80, 0x40, 0x80, 0x40][..]));

        assert_eq!(client.custom(OWN, &[3, 1, 2, 3])$(.$wait)*.expect("FC 0x55"), [3, 3, 2, 1]);
        let unknown = client.custom(UNKNOWN, &[0])$(.$wait)*.expect_err("nobody knows it");
        assert_eq!(unknown.exception(), Some(ExceptionCode::IllegalFunction));
        let refused = client.read_holding_registers(999, 2)$(.$wait)*.expect_err("it ends there");
        assert_eq!(refused.exception(), Some(ExceptionCode::IllegalDataAddress));
        for value in 0..20 {
            client.write_register(7, value)$(.$wait)*.expect("FC 6");
            assert_eq!(client.read_holding_registers(7, 1)$(.$wait)*.expect("FC 3"), [value]);
        }
    }};
}

/// A device that has everything. Each is its own, so that the conversation begins anew.
fn service() -> BoxService {
    Memory::with_sizes(1000, 1000, 1000, 1000)
        .with_part(ExceptionStatus::new(0x6D))
        .with_part(ServerId::new([0x11]).with_additional("pump"))
        .with_part(Files::new().with_file(4, [1, 2, 3, 4]))
        .with_part(Fifos::new().with_queue(0x04DE, [0x01B8, 0x1284]).apart())
        .with_identity(DeviceIdentity::new("ACME", "M1", "1.0"))
        .with_function(OWN, reverse)
        .boxed()
}

async fn reverse(mut data: Vec<u8>) -> Result<Vec<u8>, Failure> {
    data[1..].reverse();
    Ok(data)
}

fn server_options() -> server::Options {
    server::Options::default().with_diagnostics(DiagnosticsMode::Live).with_custom_lengths(LENGTHS)
}

/// Where the server listens, and where the client connects once it knows where that is.
struct Place {
    listen: Endpoint,
    /// `None` for where the server says that it is.
    connect: Option<Endpoint>,
    /// What the client trusts.
    pki: Option<Pki>,
    /// What joins the ports.
    _bus: Option<Bus>,
}

impl Place {
    fn network(url: &str) -> Self {
        Self { listen: url.parse().expect(url), connect: None, pki: None, _bus: None }
    }

    fn tls(url: &str) -> Self {
        let pki = Pki::new();
        let tls = TlsOptions::new(pki.path("server.pem"), pki.path("server.key")).with_client_ca(pki.path("ca.pem"));
        let listen = url.parse::<Endpoint>().expect(url).with_server_tls(tls.load().expect("the files are right"));
        Self { listen, connect: None, pki: Some(pki), _bus: None }
    }

    fn serial(scheme: &str) -> Self {
        let bus = Bus::new(2);
        let [listen, connect] = [0, 1].map(|port| {
            let url = format!("{scheme}://{}?baud=115200", bus.port(port));
            url.parse().expect("a port")
        });
        Self { listen, connect: Some(connect), pki: None, _bus: Some(bus) }
    }

    fn client_of(&self, local: Endpoint) -> Endpoint {
        let endpoint = self.connect.clone().unwrap_or(local);
        match &self.pki {
            None => endpoint,
            Some(pki) => endpoint.map_tls(|tls| {
                tls.with_ca(pki.path("ca.pem")).with_certificate(pki.path("operator.pem"), pki.path("operator.key"))
            }),
        }
    }
}

fn options() -> Options {
    let at_once = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
    Options::default().with_timeout(Duration::from_secs(20)).with_reconnect(at_once).with_custom_lengths(LENGTHS)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Both clients talk, and find a server again that was away.
fn talk(place: &Place, local: Endpoint, restart: impl Fn()) {
    let endpoint = place.client_of(local);
    let runtime = runtime();
    let client = runtime.block_on(Client::connect_with(endpoint.clone(), options())).expect("it connects");
    runtime.block_on(async { converse!(&client, await) });
    runtime.block_on(async {
        let tasks: Vec<_> = (0..4u16).map(|task| tokio::spawn(cross_talk(client.clone(), 300 + task))).collect();
        for task in tasks {
            task.await.expect("nobody gets another's answer");
        }
    });
    restart();
    runtime.block_on(async {
        // What was lost with the old connection may be told once.
        if client.read_coils(0, 1).await.is_err() {
            client.read_coils(0, 1).await.expect("it finds the server again");
        }
    });
    client.close();
    // A serial port is one client's alone until it is closed.
    drop((client, runtime));

    let client = connect_blocking(endpoint);
    converse!(&client);
    client.close();
}

fn connect_blocking(endpoint: Endpoint) -> blocking::Client {
    for _ in 0..100 {
        match blocking::Client::connect_with(endpoint.clone(), options()) {
            Ok(client) => return client,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    panic!("nobody closes {endpoint}");
}

async fn cross_talk(client: Client, address: u16) {
    for value in 0..20 {
        client.write_register(address, value).await.expect("FC 6");
        assert_eq!(client.read_holding_registers(address, 1).await.expect("FC 3"), [value]);
    }
}

/// Every server with every client, at one place.
fn everybody(place: &Place) {
    let runtime = runtime();
    let server = Server::on(place.listen.clone(), service()).with_options(server_options());
    let local = runtime.block_on(server.start()).expect("it starts");
    assert!(server.is_running());
    // It comes back to where it was, not to another free port.
    let again = std::sync::Mutex::new(None);
    talk(place, local.clone(), || {
        runtime.block_on(server.stop());
        let server = Server::on(local.clone(), service()).with_options(server_options());
        runtime.block_on(server.start()).expect("it starts again");
        *again.lock().expect("whole") = Some(server);
    });
    let again = again.into_inner().expect("whole").expect("it was started again");
    runtime.block_on(again.stop());
    drop(again);

    let server = blocking::Server::on(place.listen.clone(), service()).with_options(server_options());
    let local = server.start().expect("it starts");
    talk(place, local, || ());
    server.stop().expect("it stops");
    assert!(!server.is_running());
}

/// A line that takes its time, and one that loses everything: a server on any medium can be either.
#[test]
fn a_bad_line_on_every_medium() {
    const SLOW: Duration = Duration::from_millis(20);
    let places = [
        Place::network("tcp://127.0.0.1:0"),
        Place::network("ascii+tcp://127.0.0.1:0"),
        Place::network("udp://127.0.0.1:0"),
        Place::network("rtu+udp://127.0.0.1:0"),
        Place::tls("tls://localhost:0"),
        Place::tls("pdu+tls://localhost:0"),
        Place::serial("rtu"),
    ];
    for place in places {
        let begin = |faults| {
            let listen = Faulty::new(place.listen.clone(), faults);
            let server = blocking::Server::on(listen, service()).with_options(server_options());
            let local = server.start().expect("it starts");
            (server, place.client_of(local))
        };
        let (server, endpoint) = begin(Faults::default().with_delay(SLOW..SLOW));
        let client = connect_blocking(endpoint.clone());
        for value in 0..3 {
            let begun = Instant::now();
            client.write_register(7, value).expect("FC 6");
            assert_eq!(client.read_holding_registers(7, 1).expect("FC 3"), [value], "{endpoint}");
            assert!(begun.elapsed() >= 4 * SLOW, "twice there and back: {endpoint}");
        }
        client.close();
        drop(client);
        server.stop().expect("it stops");
        assert!(!server.is_running());

        let (server, endpoint) = begin(Faults::default().with_drop(1.0));
        let brief = options().with_timeout(SLOW).with_connect_timeout(5 * SLOW);
        match blocking::Client::connect_with(endpoint.clone(), brief) {
            Ok(client) => assert!(client.read_coils(0, 1).expect_err("nothing comes").is_timeout(), "{endpoint}"),
            Err(error) => assert!(place.pki.is_some(), "only TLS has a handshake: {error}"),
        }
        server.stop().expect("it stops");
    }
}

/// A server on any medium can have a closure that alters replies, and drops them. It is given whole frames.
#[test]
fn s001_31_replies_are_altered_and_dropped_on_every_medium() {
    let places = [
        Place::network("tcp://127.0.0.1:0"),
        Place::network("rtu+tcp://127.0.0.1:0"),
        Place::network("udp://127.0.0.1:0"),
        Place::network("ascii+udp://127.0.0.1:0"),
        Place::tls("tls://localhost:0"),
        Place::tls("pdu+tls://localhost:0"),
        Place::serial("rtu"),
        Place::serial("ascii"),
    ];
    for place in places {
        let framing = Connect::framing(&place.listen);
        let listen = Rewrite::new(place.listen.clone(), move |direction, bytes| {
            if direction == Direction::Received {
                return;
            }
            // Decoding may be done in place.
            let mut frame = bytes.clone();
            let Decoded::Frame { adu, length } = Decoder::new(framing, Side::Replies).decode(&mut frame, true) else {
                panic!("a whole frame of {framing:?}")
            };
            let (transaction, unit, mut pdu) = (adu.transaction, adu.unit, adu.pdu.to_vec());
            assert_eq!(length, bytes.len());
            match pdu[0] {
                3 => pdu[3] ^= 0x80, // the high bit of the first register's low byte
                4 => return bytes.clear(),
                _ => return,
            }
            bytes.resize(framing.max_adu(), 0);
            let length = framing.encode(&Adu { transaction, unit, pdu: &pdu }, bytes).expect("it fits");
            bytes.truncate(length);
        });
        let server = blocking::Server::on(listen, service()).with_options(server_options());
        let endpoint = place.client_of(server.start().expect("it starts"));
        let client = connect_blocking(endpoint.clone());
        client.write_registers(7, &[1, 2]).expect("FC 16");
        assert_eq!(client.read_holding_registers(7, 2).expect("FC 3"), [0x81, 2], "altered: {endpoint}");
        let brief = client.with_timeout(Duration::from_millis(100));
        assert!(brief.read_input_registers(7, 1).expect_err("dropped").is_timeout(), "{endpoint}");
        assert_eq!(client.read_coils(0, 1).expect("FC 1"), [false], "the others pass: {endpoint}");
        client.close();
        server.stop().expect("it stops");
        assert!(!server.is_running());
    }
}

macro_rules! over {
    ($($name:ident: $place:expr;)*) => {$(
        #[test]
        fn $name() {
            everybody(&$place);
        }
    )*};
}

over! {
    s001_28_tcp: Place::network("tcp://127.0.0.1:0");
    s001_28_udp: Place::network("udp://127.0.0.1:0");
    s001_28_tls: Place::tls("tls://localhost:0");
    s001_28_serial_rtu: Place::serial("rtu");
    s001_28_serial_ascii: Place::serial("ascii");
    s001_28_rtu_over_tcp: Place::network("rtu+tcp://127.0.0.1:0");
    s001_28_ascii_over_tcp: Place::network("ascii+tcp://127.0.0.1:0");
    s001_28_binary_over_tcp: Place::network("binary+tcp://127.0.0.1:0");
    s001_28_rtu_over_udp: Place::network("rtu+udp://127.0.0.1:0");
    s001_28_ascii_over_udp: Place::network("ascii+udp://127.0.0.1:0");
    s001_28_rtu_over_tls: Place::tls("rtu+tls://localhost:0");
    s001_28_ascii_over_tls: Place::tls("ascii+tls://localhost:0");
    s001_28_bare_pdu_over_tls: Place::tls("pdu+tls://localhost:0");
    s001_28_ipv6: Place::network("tcp://[::1]:0");
}
