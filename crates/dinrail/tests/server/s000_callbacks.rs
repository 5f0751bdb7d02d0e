//! Document 000: a callback server, from the master's side.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::server::{MissingUnit, Options};
use dinrail::service::{Failure, Read, Values, ValuesMut, Write, blocking, callbacks, read_only};
use dinrail::{Area, ExceptionCode, Server, Service};

use crate::raw::{Errors, Raw, SOON, read, registers, soon, until, write};

async fn started<S: Service>(service: S) -> (Server<S>, SocketAddr) {
    let server = Server::tcp("127.0.0.1:0", service);
    let address = server.start().await.expect("port 0 is free");
    (server, address)
}

type Points = Arc<Mutex<HashMap<(Area, u16), u16>>>;

fn over(points: &Points) -> impl Service {
    let (reading, writing) = (points.clone(), points.clone());
    callbacks(
        move |read: Read| {
            let points = reading.lock().unwrap();
            let found = read.range().map(|address| points.get(&(read.area, address as u16)).copied());
            let found: Option<Vec<u16>> = found.collect();
            let found = found.ok_or_else(|| Failure::message("not mapped"))?;
            Ok(if read.area.is_bits() { Values::bits(found.iter().map(|v| *v != 0)) } else { Values::registers(found) })
        },
        move |write: Write| {
            let mut points = writing.lock().unwrap();
            let cells = write.range().map(|address| (write.area, address as u16));
            points.extend(cells.zip(write.values.to_vec()));
            Ok(())
        },
    )
}

#[tokio::test]
async fn s000_1_a_server_that_owns_no_data_serves_the_callers_map() {
    let points = Points::default();
    let (server, address) = started(over(&points)).await;
    let mut master = Raw::connect(address).await;

    assert_eq!(master.ask(&[5, 0, 3, 0xFF, 0]).await, [5, 0, 3, 0xFF, 0]);
    assert_eq!(master.ask(&[6, 0, 7, 0x12, 0x34]).await, [6, 0, 7, 0x12, 0x34]);
    assert_eq!(master.ask(&[15, 0, 8, 0, 10, 2, 0b1100_1101, 0b01]).await, [15, 0, 8, 0, 10]);
    assert_eq!(master.ask(&write(100, &[1, 0xFFFF, 3])).await, [16, 0, 100, 0, 3]);
    assert_eq!(points.lock().unwrap()[&(Area::HoldingRegister, 101)], 0xFFFF);

    assert_eq!(master.ask(&read(1, 3, 1)).await, [1, 1, 1]);
    assert_eq!(master.ask(&read(1, 8, 10)).await, [1, 2, 0b1100_1101, 0b01]);
    assert_eq!(registers(&master.ask(&read(3, 100, 3)).await), [1, 0xFFFF, 3]);
    points.lock().unwrap().insert((Area::InputRegister, 5), 77);
    points.lock().unwrap().insert((Area::DiscreteInput, 6), 1);
    assert_eq!(registers(&master.ask(&read(4, 5, 1)).await), [77]);
    assert_eq!(master.ask(&read(2, 6, 1)).await, [2, 1, 1]);

    assert_eq!(master.ask(&read(3, 9000, 1)).await, [0x83, 4], "an unmapped key");
    assert_eq!(server.active_connections(), 1);
    drop(server);
    until("a dropped server frees its port", || std::net::TcpListener::bind(address).is_ok()).await;
}

#[tokio::test]
async fn s000_2_each_function_reaches_its_area_once_with_typed_values() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (reads, writes) = (seen.clone(), seen.clone());
    let service = callbacks(
        move |read: Read| {
            reads.lock().unwrap().push(format!("read {:?} {} {}", read.area, read.address, read.count));
            Ok(if read.area.is_bits() {
                Values::bits(vec![true; read.count.into()])
            } else {
                Values::registers(vec![9; read.count.into()])
            })
        },
        move |write: Write| {
            writes.lock().unwrap().push(format!("write {:?} {} {:?}", write.area, write.address, write.values));
            Ok(())
        },
    );
    let (_server, address) = started(service).await;
    let mut master = Raw::connect(address).await;
    for pdu in [
        read(1, 10, 3),
        read(2, 11, 4),
        read(3, 12, 5),
        read(4, 13, 6),
        vec![5, 0, 14, 0xFF, 0],
        vec![6, 0, 15, 0, 16],
        vec![15, 0, 17, 0, 3, 1, 0b101],
        write(18, &[19, 20]),
    ] {
        assert!(master.ask(&pdu).await[0] < 0x80);
    }
    let expected = [
        "read Coil 10 3",
        "read DiscreteInput 11 4",
        "read HoldingRegister 12 5",
        "read InputRegister 13 6",
        "write Coil 14 [1]",
        "write HoldingRegister 15 [16]",
        "write Coil 17 [1, 0, 1]",
        "write HoldingRegister 18 [19, 20]",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

fn answer(read: Read) -> Result<[u16; 1], Failure> {
    Ok([read.address + 1])
}

async fn answer_later(read: Read) -> Result<Vec<u16>, Failure> {
    tokio::task::yield_now().await;
    Ok(vec![read.address + 1])
}

#[tokio::test]
async fn s000_3_callbacks_may_be_plain_async_blocking_functions_or_closures() {
    async fn check<S: Service>(what: &str, service: S) {
        let (_server, address) = started(service).await;
        let mut master = Raw::connect(address).await;
        assert_eq!(registers(&master.ask(&read(3, 41, 1)).await), [42], "{what}");
        assert_eq!(master.ask(&[6, 0, 1, 0, 2]).await, [6, 0, 1, 0, 2], "{what}");
    }
    let offset = 1;
    check("functions", callbacks(answer, |_: Write| Ok(()))).await;
    check("an async function", callbacks(answer_later, |_: Write| async { Ok(()) })).await;
    check("a closure with state", callbacks(move |read: Read| Ok([read.address + offset]), |_: Write| Ok(()))).await;
    check("a boxed future", callbacks(|read: Read| Box::pin(answer_later(read)), |_: Write| Ok(()))).await;
    check("blocking", callbacks(blocking(answer), blocking(|_: Write| Ok(())))).await;
    check("mixed", callbacks(answer, |_: Write| async { Ok(()) })).await;
}

/// The test, the server and both masters have one thread: were the callback to run on it, nothing could free it.
#[tokio::test]
async fn s000_3_a_callback_that_blocks_holds_up_its_own_master_only() {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (free, is_freed) = std::sync::mpsc::channel::<u16>();
    let (begun, is_freed) = (Mutex::new(Some(begun)), Mutex::new(is_freed));
    let service = callbacks(
        blocking(move |read: Read| match read.address {
            7 => {
                let begun = begun.lock().unwrap().take().expect("7 is read once");
                begun.send(std::thread::current().id()).expect("the test lives");
                Ok(vec![is_freed.lock().unwrap().recv_timeout(SOON)?; read.count.into()])
            }
            8 => panic!("a buggy driver"),
            9 => Err(ExceptionCode::ServerDeviceBusy.into()),
            address => Ok(vec![address; read.count.into()]),
        }),
        blocking(|write: Write| if write.address == 8 { panic!("a buggy driver") } else { Ok(()) }),
    );
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let (_server, address) = started(service).await;
    let (mut held, mut other) = (Raw::connect(address).await, Raw::connect(address).await);
    held.send(&crate::raw::frame(1, 1, &read(3, 7, 1))).await;
    let thread = soon(has_begun).await.expect("it is called");
    assert_ne!(thread, std::thread::current().id(), "the thread that serves");

    for address in 20..30 {
        assert_eq!(registers(&other.ask(&read(3, address, 1)).await), [address], "the other master does not wait");
    }
    assert_eq!(other.ask(&[6, 0, 1, 0, 2]).await, [6, 0, 1, 0, 2]);
    assert!(held.is_silent().await, "it is not answered yet");
    free.send(77).expect("the callback waits");
    let (transaction, _, reply) = held.reply().await;
    assert_eq!((transaction, registers(&reply)), (1, vec![77]));

    assert_eq!(held.ask(&read(3, 9, 1)).await, [0x83, 6]);
    assert_eq!(errors.count(), 0, "{}", errors.text());
    assert_eq!(held.ask(&read(3, 8, 1)).await, [0x83, 4], "a panic");
    assert_eq!(held.ask(&[6, 0, 8, 0, 2]).await, [0x86, 4], "a panic");
    assert_eq!(errors.count(), 2, "{}", errors.text());
    assert_eq!(registers(&held.ask(&read(3, 20, 1)).await), [20], "the connection stays usable");
}

#[tokio::test]
async fn s000_4_exceptions_of_a_callback_reach_the_master_as_they_are() {
    let service = callbacks(
        |read: Read| -> Result<Vec<u16>, Failure> { Err(ExceptionCode::from(read.address as u8).into()) },
        |write: Write| Err(ExceptionCode::from(write.address as u8).into()),
    );
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let (_server, address) = started(service).await;
    let mut master = Raw::connect(address).await;
    // 5 and 7 are row S000-4b; 0x2A is one of the application's own.
    for code in [1, 2, 3, 4, 5, 6, 7, 8, 0x0A, 0x0B, 0x2A] {
        assert_eq!(master.ask(&read(3, code, 1)).await, [0x83, code as u8]);
        assert_eq!(master.ask(&[6, 0, code as u8, 0, 0]).await, [0x86, code as u8]);
    }
    assert_eq!(errors.count(), 0, "an exception that is meant is no error: {}", errors.text());
}

#[test]
fn s000_4b_every_code_of_the_specification_has_a_name() {
    use ExceptionCode::*;
    let named = [
        (IllegalFunction, 1),
        (IllegalDataAddress, 2),
        (IllegalDataValue, 3),
        (ServerDeviceFailure, 4),
        (Acknowledge, 5),
        (ServerDeviceBusy, 6),
        (NegativeAcknowledge, 7),
        (MemoryParityError, 8),
        (GatewayPathUnavailable, 0x0A),
        (GatewayTargetFailedToRespond, 0x0B),
    ];
    for (code, byte) in named {
        assert_eq!((code.code(), ExceptionCode::from(byte)), (byte, code));
    }
}

#[tokio::test]
async fn s000_6_a_result_of_the_wrong_shape_makes_no_malformed_frame() {
    let service = read_only(|read: Read| {
        Ok(match read.address {
            0 => Values::registers([1]),
            1 => Values::registers([1, 2, 3]),
            2 => Values::bits([true, true]),
            _ => Values::registers([5, 6]),
        })
    });
    let (_server, address) = started(service).await;
    let mut master = Raw::connect(address).await;
    for address in 0..3 {
        assert_eq!(master.ask(&read(3, address, 2)).await, [0x83, 4]);
    }
    assert_eq!(registers(&master.ask(&read(3, 3, 2)).await), [5, 6]);
    assert_eq!(master.ask(&read(1, 3, 2)).await, [0x81, 4], "registers are no coils");
}

#[tokio::test]
async fn s000_7_malformed_requests_never_reach_the_callback() {
    let calls = Arc::new(AtomicUsize::new(0));
    let (reads, writes) = (calls.clone(), calls.clone());
    let service = callbacks(
        move |read: Read| {
            reads.fetch_add(1, Ordering::SeqCst);
            Ok(vec![0u16; read.count.into()])
        },
        move |_: Write| {
            writes.fetch_add(1, Ordering::SeqCst);
            Ok(())
        },
    );
    let (_server, address) = started(service).await;
    let mut master = Raw::connect(address).await;
    for (pdu, reply) in [
        (read(3, 0, 0), [0x83, 3]),
        (read(3, 0, 126), [0x83, 3]),
        (read(1, 0, 2001), [0x81, 3]),
        (vec![0x42, 1, 2], [0xC2, 1]),
        (vec![5, 0, 0, 0x12, 0x34], [0x85, 3]),
        (vec![16, 0, 0, 0, 1, 4, 0, 0], [0x90, 3]),
        (vec![16, 0, 0, 0, 2, 4, 0, 0], [0x90, 3]),
        (vec![3, 0, 0], [0x83, 3]),
        (vec![3, 0, 0, 0, 1, 0], [0x83, 3]),
        (vec![0x83, 0, 0, 0, 1], [0x83, 1]),
        (vec![0, 0, 0, 0, 1], [0x80, 1]),
        (read(3, 0xFFFF, 2), [0x83, 2]),
    ] {
        assert_eq!(master.ask(&pdu).await, reply, "{pdu:02x?}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert!(master.ask(&read(3, 0xFFFF, 1)).await[0] == 3, "the last register exists");
}

#[tokio::test]
async fn s000_8_a_write_is_answered_after_the_upstream_write_and_others_do_not_wait() {
    let upstream = Arc::new(Mutex::new(Vec::new()));
    let stored = upstream.clone();
    let (others, may_go_on) = tokio::sync::watch::channel(false);
    let service = callbacks(
        |read: Read| async move { Ok(vec![1u16; read.count.into()]) },
        move |write: Write| {
            let (stored, mut may_go_on) = (stored.clone(), may_go_on.clone());
            async move {
                may_go_on.wait_for(|yes| *yes).await.expect("the test lives");
                if write.address == 1 {
                    return Err(ExceptionCode::ServerDeviceBusy.into());
                }
                stored.lock().unwrap().push(write.values.to_vec());
                Ok(())
            }
        },
    );
    let (_server, address) = started(service).await;
    let (mut writer, mut reader) = (Raw::connect(address).await, Raw::connect(address).await);
    let write = async {
        let reply = writer.ask(&[6, 0, 0, 0, 9]).await;
        (reply, upstream.lock().unwrap().clone())
    };
    let read = async {
        assert_eq!(reader.ask(&read(3, 0, 1)).await, [3, 2, 0, 1], "the other master does not wait");
        // Had the writer been answered by now, that would be before the upstream had it.
        others.send(true).expect("the upstream waits");
    };
    let ((reply, stored), ()) = tokio::join!(write, read);
    assert_eq!(reply, [6, 0, 0, 0, 9]);
    assert_eq!(stored, [[9]], "answered before the upstream had it");
    assert_eq!(writer.ask(&[6, 0, 1, 0, 9]).await, [0x86, 6]);
}

#[tokio::test]
async fn s000_13_no_writer_is_0x01_other_units_are_0x0b_and_nonsense_options_are_refused() {
    let (_server, address) = started(read_only(|read: Read| Ok(vec![3u16; read.count.into()]))).await;
    let mut master = Raw::connect(address).await;
    assert_eq!(master.ask(&[6, 0, 0, 0, 1]).await, [0x86, 1]);
    assert_eq!(master.ask(&[5, 0, 0, 0xFF, 0]).await, [0x85, 1]);
    assert_eq!(registers(&master.ask_unit(200, &read(3, 0, 1)).await), [3], "every unit unless one is chosen");

    let options = Options::default().with_units([7u8]);
    let server = Server::tcp("127.0.0.1:0", read_only(answer)).with_options(options.clone());
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    assert_eq!(registers(&master.ask_unit(7, &read(3, 1, 1)).await), [2]);
    assert_eq!(master.ask_unit(8, &read(3, 1, 1)).await, [0x83, 0x0B]);

    let options = options.with_missing_units(MissingUnit::Ignore);
    let server = Server::tcp("127.0.0.1:0", read_only(answer)).with_options(options);
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    master.send(&crate::raw::frame(1, 8, &read(3, 1, 1))).await;
    assert!(master.is_silent().await);
    assert_eq!(registers(&master.ask_unit(7, &read(3, 1, 1)).await), [2]);

    let server =
        Server::tcp("127.0.0.1:0", read_only(answer)).with_options(Options::default().with_max_connections(0usize));
    let error = server.start().await.expect_err("no connection at all is no server");
    assert!(error.to_string().contains("max_connections"), "{error}");
}

#[tokio::test]
async fn s000_13_without_a_writer_nothing_is_read_for_a_write_either() {
    let calls = Arc::new(AtomicUsize::new(0));
    let failing = |calls: &Arc<AtomicUsize>| {
        let calls = calls.clone();
        move |_: Read| {
            calls.fetch_add(1, Ordering::SeqCst);
            Err::<Vec<u16>, _>(Failure::from(ExceptionCode::ServerDeviceBusy))
        }
    };
    let (plain, later, in_place, blocked) = (failing(&calls), failing(&calls), failing(&calls), failing(&calls));
    let services = [
        read_only(plain).boxed(),
        read_only(move |read: Read| std::future::ready(later(read))).boxed(),
        read_only(move |read: Read, out: &mut ValuesMut<'_>| in_place(read).and_then(|values| out.set(&values)))
            .boxed(),
        read_only(blocking(blocked)).boxed(),
    ];
    let writes: [&[u8]; 6] = [
        &[5, 0, 1, 0xFF, 0],
        &[6, 0, 1, 0, 9],
        &[15, 0, 1, 0, 3, 1, 0b101],
        &[16, 0, 1, 0, 1, 2, 0, 9],
        &[22, 0, 1, 0, 0xF2, 0, 0x25],
        &[23, 0, 3, 0, 2, 0, 1, 0, 1, 2, 0, 9],
    ];
    for service in services {
        let (_server, address) = started(service).await;
        let mut master = Raw::connect(address).await;
        for write in writes {
            assert_eq!(master.ask(write).await, [write[0] | 0x80, 1]);
        }
        assert_eq!(calls.swap(0, Ordering::SeqCst), 0, "it was asked to read for a write");
        assert_eq!(master.ask(&read(3, 1, 1)).await, [0x83, 6]);
        assert_eq!(calls.swap(0, Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_clients_error_inside_a_callback_is_answered_as_a_gateway_would() {
    let service = read_only(|read: Read| async move {
        let peer: Arc<str> = "10.0.0.9:502".into();
        let function = dinrail::FunctionCode::READ_COILS;
        Err::<Vec<u16>, Failure>(match read.address {
            0 => dinrail::Error::Exception(ExceptionCode::ServerDeviceBusy).into(),
            1 => {
                dinrail::Error::Connect { peer, source: Arc::new(std::io::ErrorKind::ConnectionRefused.into()) }.into()
            }
            _ => dinrail::Error::Timeout { peer, function, after: Duration::ZERO, instead: None, may_write: false }
                .into(),
        })
    });
    let (_server, address) = started(service).await;
    let mut master = Raw::connect(address).await;
    for (address, code) in [(0, 6), (1, 0x0A), (2, 0x0B)] {
        assert_eq!(master.ask(&read(3, address, 1)).await, [0x83, code]);
    }
}
