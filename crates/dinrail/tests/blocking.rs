//! The blocking client: the asynchronous one's methods, no more and no less, from any thread.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use dinrail::blocking::{Client, Pool, Server, Watch};
use dinrail::client::Options;
use dinrail::point::Point;
use dinrail::proto::value::Value;
use dinrail::service::Memory;
use dinrail::transport::Tcp;
use dinrail::{Area, Error, ExceptionCode};

/// A server whose registers hold their addresses, and which has none from 100 on.
fn registers() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        answer(&mut stream)?;
    }
}

fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut request = [0; 12];
    stream.read_exact(&mut request)?;
    let address = u16::from_be_bytes([request[8], request[9]]);
    let [high, low] = address.to_be_bytes();
    let pdu = if address < 100 { vec![request[7], 2, high, low] } else { vec![request[7] | 0x80, 2] };
    let mut reply = request[..7].to_vec();
    reply[5] = pdu.len() as u8 + 1;
    reply.extend(pdu);
    stream.write_all(&reply)
}

#[test]
fn s003_18_calls_wait_for_their_answers() {
    let client = Client::connect(registers()).expect("a connection");
    assert!(client.is_connected());
    assert_eq!(client.read_holding_registers(7, 1).expect("an answer"), [7]);
    let error = client.read_holding_registers(100, 1).expect_err("an exception");
    assert_eq!(error.exception(), Some(ExceptionCode::IllegalDataAddress));
    let mut value = [0];
    client.unit(3).read_input_registers_into(9, &mut value).expect("an answer");
    assert_eq!(value, [9]);
    client.close();
    assert!(matches!(client.read_coils(0, 1), Err(Error::Closed { sent: false })));
}

#[test]
fn s003_18_the_connection_is_closed_with_the_last_handle_and_by_close() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    for closes in [false, true] {
        let client = Client::connect(address).expect("a connection");
        let (mut stream, _) = listener.accept().expect("the client");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
        let other = client.unit(2);
        // The first handle goes; the second one has the connection still.
        for handle in [client, other.clone()] {
            let reading = thread::spawn(move || handle.read_holding_registers(7, 1));
            answer(&mut stream).expect("a request");
            assert_eq!(reading.join().expect("no panic").expect("an answer"), [7]);
        }
        let kept = closes.then(|| other.clone());
        if let Some(client) = &kept {
            client.close();
        }
        drop(other);
        assert_eq!(stream.read(&mut [0; 12]).expect("no reset"), 0, "closed: {closes}");
        assert!(kept.is_none_or(|client| !client.is_connected()));
    }
}

#[test]
fn s003_18_nobody_listens() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    assert!(matches!(Client::connect(address), Err(Error::Connect { .. })));
    let client = Client::lazy(Tcp::new(address), Options::default()).expect("a thread");
    assert!(matches!(client.read_coils(0, 1), Err(Error::Connect { .. })));
}

#[test]
fn time_runs_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = Client::connect(listener.local_addr().expect("an address")).expect("a connection");
    let started = Instant::now();
    let error = client.with_timeout(Duration::from_millis(50)).read_coils(0, 1).expect_err("no answer");
    assert!(error.is_timeout() && started.elapsed() >= Duration::from_millis(50));
}

#[test]
fn threads_share_a_client() {
    let client = Client::connect(registers()).expect("a connection");
    thread::scope(|scope| {
        for address in 0..20 {
            let client = client.clone();
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(client.read_holding_registers(address, 1).expect("an answer"), [address]);
                }
            });
        }
    });
}

#[test]
fn s003_4_what_changes_is_an_iterator() {
    let memory = Memory::new();
    let server = Server::tcp("127.0.0.1:0", memory.clone());
    let client = Client::connect(server.start().expect("a port")).expect("a connection");
    let point = Point::new("level", Area::HoldingRegister, 0);
    let mut watch = Watch::new(&client).every(Duration::from_millis(5), [point]);
    for value in 1..4 {
        assert_eq!(watch.next().and_then(|change| change.value), Some(Value::U16(value - 1)));
        memory.set(Area::HoldingRegister, 0, &[value]).expect("it fits");
    }
    watch.next();
    assert!(watch.next_within(Duration::from_millis(50)).is_none(), "nothing changes");
    assert_eq!(watch.image().len(), 1);
    client.close();
    assert!(watch.next().is_some_and(|last| !last.quality.is_good()));
    assert!(watch.next().is_none());
    watch.stop();
    server.stop().expect("it stops");
}

#[test]
fn s003_9_a_hundred_calls_one_after_the_other_get_their_own_answers() {
    let client = Client::connect(registers()).expect("a connection");
    for address in 0..100 {
        assert_eq!(client.read_holding_registers(address, 1).expect("an answer"), [address]);
    }
}

#[test]
fn s003_21_threads_share_a_pool() {
    let (address, pool) = (registers(), Pool::new(2));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for address_of_register in 0..15 {
                    let client = pool.client(address).expect("a connection");
                    let read = client.read_holding_registers(address_of_register, 1).expect("an answer");
                    assert_eq!(read, [address_of_register]);
                }
            });
        }
    });
    assert!((1..=2).contains(&pool.connections()), "{pool:?}");
}

#[tokio::test]
async fn it_may_be_used_inside_of_a_runtime() {
    let client = Client::connect(registers()).expect("a connection");
    assert_eq!(client.read_holding_registers(7, 1).expect("an answer"), [7]);
    assert_eq!(client.as_async().read_holding_registers(8, 1).await.expect("an answer"), [8]);
}

/// What stands between `start` and `end`, for every `start`.
fn between<'s>(source: &'s str, start: &str, end: &str) -> Vec<&'s str> {
    source.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

fn normal(signature: &str) -> String {
    let signature: String = signature.split_whitespace().collect::<Vec<_>>().join(" ");
    signature.replace("( ", "(").replace(", )", ")").replace(",)", ")")
}

#[test]
fn both_clients_have_the_same_methods() {
    let sources = [
        include_str!("../src/client/mod.rs"),
        include_str!("../src/client/methods.rs"),
        include_str!("../src/client/records.rs"),
        include_str!("../src/client/maintenance.rs"),
        include_str!("../src/point/access.rs"),
    ];
    let mut expected: Vec<String> = sources
        .iter()
        .flat_map(|source| between(source, "    pub ", " {\n"))
        // What is waited for, written in either way.
        .filter_map(|method| method.strip_prefix("async fn ").or_else(|| method.strip_prefix("fn ")))
        .filter(|method| method.contains("&self"))
        .filter_map(|method| method.split_once(", Error>").map(|(method, _)| normal(method)))
        .map(|method| method.replace("(&self, ", "(").replace("(&self", "("))
        .map(|method| method.replace("-> impl Future<Output = Result<", "-> ").replace("-> Result<", "-> "))
        .collect();
    let blocking = include_str!("../src/blocking/client.rs");
    let list = blocking.split("\nwaiting! {").nth(1).expect("the list of methods");
    let mut found: Vec<String> = between(list, "    fn ", ";\n").into_iter().map(normal).collect();
    expected.sort();
    found.sort();
    assert!(expected.len() > 30, "methods were found");
    assert_eq!(found, expected);

    let plain = |source: &str| {
        let mut names: Vec<String> = between(source, "    pub fn ", "(").into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    let asynchronous: Vec<_> = plain(sources[0]);
    let blocking: Vec<_> = plain(blocking.split("macro_rules!").next().unwrap_or_default())
        .into_iter()
        .filter(|name| !["as_async", "connect", "connect_with"].contains(&name.as_str()))
        .collect();
    assert_eq!(blocking, asynchronous);
}

#[test]
fn s003_20_a_silent_peer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let options = Options::default().with_timeout(Duration::from_millis(60)).with_give_up_after(2);
    let client = Client::connect_with(Tcp::new(address), options).expect("a connection");
    let (mut silent, _) = listener.accept().expect("the client");
    for register in 0..2 {
        let error = client.unit(4).write_register(register, 1).expect_err("a silent peer");
        assert!(error.is_timeout() && error.outcome_unknown(), "{error}");
    }
    let (second, _) = listener.accept().expect("the client again");
    thread::spawn(move || serve(second));
    assert_eq!(client.read_holding_registers(7, 1).expect("an answer"), [7]);
    let error = silent.read_to_end(&mut Vec::new()).expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!((client.unit(4).unit_id().0, client.timeout()), (4, Duration::from_millis(60)));

    let refused = Client::connect_with(Tcp::new(address), Options::default().with_depth(17usize));
    assert!(matches!(refused, Err(Error::Option(what)) if what.contains("1 to 16")));
}

#[test]
fn a_bad_port_is_named_and_not_looked_up() {
    for (address, port) in [("localhost:abc", "\"abc\""), ("tcp://localhost:99999", "\"99999\"")] {
        let error = Client::connect(address).expect_err("no port").to_string();
        assert_eq!(error, format!("cannot connect to {address}: {port} is no port: take a number from 0 to 65535"));
    }
}
