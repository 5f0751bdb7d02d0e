//! What a server knows of its own communication does not depend on the way by which a connection is served.

use dinrail::proto::server::Diagnostics as State;
use dinrail::server::{DiagnosticsMode, MissingUnit, Options};
use dinrail::service::{Call, Memory, Part, Read, Reply, Service, Write, callbacks};
use dinrail::{Area, ExceptionCode, FunctionCode, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// One script, over each way through a connection: all tell the same, and count the same.
#[tokio::test]
async fn every_way_through_a_connection_counts_the_same() {
    let live = || Options::default().with_diagnostics(DiagnosticsMode::Live).with_units([1, 2]);
    let silent = live().with_missing_units(MissingUnit::Ignore);
    for (options, bytes) in [(live(), script()), (silent, script())] {
        let line = told(memory(), options.clone().with_broadcast(true), &bytes).await;
        assert!(line.0.len() > 400 && line.1.is_listen_only(), "{line:?}");
        assert_eq!(told(memory(), options.clone(), &bytes).await, line, "in a task");
        assert_eq!(told(memory(), options.clone().with_threads(1), &bytes).await, line, "on an event loop");
        let slow = callbacks(
            async |read: Read| match read.address {
                0..10 => Ok(vec![7u16; read.count.into()]),
                _ => Err(ExceptionCode::IllegalDataAddress.into()),
            },
            async |_: Write| Ok(()),
        );
        let slow = slow.with_function(FunctionCode::new(0x55).expect("a code"), async |_| panic!("as it may"));
        assert_eq!(told(slow, options, &bytes).await, line, "with a service that takes its time");
    }
}

/// Holds sevens.
fn memory() -> impl Service {
    let memory = Memory::with_sizes(0, 0, 10, 0);
    memory.set(Area::HoldingRegister, 0, &[7; 10]).expect("they fit");
    memory.with_part(Panics)
}

/// Panics at FC 0x55.
struct Panics;

impl Part for Panics {
    fn answer(&self, call: &mut Call<'_>) -> Option<Reply> {
        assert_ne!(call.pdu()[0], 0x55, "as it may");
        None
    }
}

/// Requests as they come, and the silence at their end: of units that are served and not, good and bad ones.
fn script() -> Vec<u8> {
    let pdus: [&[u8]; 12] = [
        &[3, 0, 0, 0, 1],
        &[3, 0, 10, 0, 1],
        &[3, 0, 0, 0, 0],
        &[0x55, 1],
        &[8, 0, 0, 0xA5, 0x37],
        &[8, 0, 11, 0, 0],
        &[8, 0, 13, 0, 0],
        &[8, 0, 15, 0, 0],
        &[8, 0, 5, 0, 0],
        &[11],
        &[12],
        &[0x41],
    ];
    let mut bytes = Vec::new();
    let mut say = |transaction: u16, unit: u8, pdu: &[u8]| {
        let length = u16::try_from(1 + pdu.len()).expect("a PDU is short");
        bytes.extend([transaction.to_be_bytes(), [0, 0], length.to_be_bytes()].concat());
        bytes.push(unit);
        bytes.extend(pdu);
    };
    for number in 0..120u16 {
        say(number, 1 + (number % 3) as u8, pdus[usize::from(number * 7 % 12)]);
    }
    // It only listens, is asked, is restarted, answers, and only listens.
    say(200, 1, &[8, 0, 4, 0, 0]);
    say(201, 1, &[3, 0, 0, 0, 1]);
    say(202, 1, &[11]);
    say(203, 1, &[8, 0, 1, 0, 0]);
    say(204, 1, &[12]);
    say(205, 2, &[8, 0, 4, 0, 0]);
    say(206, 1, &[3, 0, 0, 0, 1]);
    bytes
}

/// All that a server says to these bytes, and what it knows of itself then.
async fn told(service: impl Service, options: Options, bytes: &[u8]) -> (Vec<u8>, State) {
    let server = Server::tcp("127.0.0.1:0", service).with_options(options);
    let address = server.start().await.expect("it starts");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    stream.write_all(bytes).await.expect("it reads");
    stream.shutdown().await.expect("that is all");
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies).await.expect("it answers what was asked, and closes");
    let state = server.diagnostics().snapshot();
    server.stop().await;
    (replies, state)
}
