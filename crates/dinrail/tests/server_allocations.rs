//! A server that answers at once allocates nothing for a request.

use std::net::SocketAddr;

use dinrail::bridge::PointMap;
use dinrail::point::Point;
use dinrail::proto::value::DataType;
use dinrail::server::{Metrics, Options};
use dinrail::service::{Access, Memory, Read, Rule, Rules, Units, Values, ValuesMut, Write, callbacks};
use dinrail::{Area, Server, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};

/// FC 3 of 10 registers, FC 16 of two, FC 1 of 20 coils, FC 3 that is refused, all in one segment.
const REQUESTS: &[u8] = &[
    0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 10, //
    0, 2, 0, 0, 0, 11, 1, 16, 0, 5, 0, 2, 4, 1, 2, 3, 4, //
    0, 3, 0, 0, 0, 6, 1, 1, 0, 0, 0, 20, //
    0, 4, 0, 0, 0, 6, 1, 3, 0, 0, 0, 0, //
];
const REPLIES: usize = 29 + 12 + 12 + 9;

/// No answer takes longer than this.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the server listens")
}

async fn ask(master: &mut TcpStream, times: usize) {
    let mut replies = [0; REPLIES];
    for _ in 0..times {
        master.write_all(REQUESTS).await.expect("the server reads");
        tokio::time::timeout(SOON, master.read_exact(&mut replies)).await.expect("in time").expect("four replies");
        assert_eq!(replies[REPLIES - 2..], [0x83, 3]);
    }
}

/// Server and master share this thread, and what it allocates is counted.
fn allocations(runtime: &Runtime, service: impl Service) -> u64 {
    allocations_of(runtime, Server::tcp("127.0.0.1:0", service))
}

fn allocations_of(runtime: &Runtime, server: Server<impl Service>) -> u64 {
    let mut masters = runtime.block_on(async {
        let address = server.start().await.expect("port 0 is free");
        [connect(address).await, connect(address).await]
    });
    let mut both = |times| {
        runtime.block_on(async {
            let [first, second] = &mut masters;
            tokio::join!(ask(first, times), ask(second, times));
        });
    };
    both(10);
    allocation_counter::measure(|| both(500)).count_total
}

fn values(read: &Read) -> Values {
    if read.area.is_bits() { Values::bits([true; 20]) } else { Values::registers(0..read.count) }
}

#[test]
fn requests_that_are_answered_at_once_do_not_allocate() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let table: Vec<u16> = (0..100).collect();
    let in_place = callbacks(
        move |read: Read, out: &mut ValuesMut<'_>| match out {
            ValuesMut::Registers(_) => out.set(&table[read.range()]),
            ValuesMut::Bits(bits) => {
                bits.fill_with(|index| index % 2 == 0);
                Ok(())
            }
        },
        |_: Write| Ok(()),
    );
    let by_value = callbacks(|read: Read| Ok(values(&read)), |_: Write| Ok(()));
    assert_eq!(allocations(&runtime, in_place), 0, "callbacks that write in place");
    assert_eq!(allocations(&runtime, by_value), 0, "callbacks that return values");
    assert_eq!(allocations(&runtime, Memory::new()), 0, "a store");
    assert_eq!(allocations(&runtime, Units::new().with(1, Memory::new())), 0, "a store behind a router");
    let rules = Rules::new()
        .with(Rule::anyone(Access::Read).with_area(Area::HoldingRegister, 0..=4))
        .with(Rule::anyone(Access::All).with_area(Area::HoldingRegister, 5..=9).with_area(Area::Coil, 0..=19));
    assert_eq!(allocations(&runtime, Memory::new().with_rules(rules)), 0, "a store behind rules");
    assert_eq!(allocations(&runtime, points()), 0, "points of closures");
    let waits = callbacks(|read: Read| async move { Ok(values(&read)) }, |_: Write| Ok(()));
    assert_ne!(allocations(&runtime, waits), 0, "the counter counts");
}

/// What the requests are about, as points; registers 5 and 6 are one.
fn points() -> PointMap {
    let mut map = PointMap::builder();
    for address in [0, 1, 2, 3, 4, 7, 8, 9] {
        map = map.bind_read_only(Point::new("register", Area::HoldingRegister, address), || Ok(7u16));
    }
    for address in 0..20 {
        map = map.bind_read_only(Point::new("coil", Area::Coil, address), || Ok(true));
    }
    let written = Point::new("written", Area::HoldingRegister, 5).with_type(DataType::U32);
    map.bind(
        written,
        || Ok(0x0102_0304u32),
        |value: u32| {
            assert_eq!(value, 0x0102_0304);
            Ok(())
        },
    )
    .build()
    .expect("they do not overlap")
}

/// As [`allocations`], for datagrams, each with the same four requests.
fn allocations_over_udp(runtime: &Runtime, service: impl Service) -> u64 {
    let server = Server::udp("127.0.0.1:0", service);
    let master = runtime.block_on(async {
        let address = server.start().await.expect("port 0 is free");
        let master = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        master.connect(address).await.expect("an address");
        master
    });
    let ask = |times| {
        runtime.block_on(async {
            let mut replies = [0; 1500];
            for _ in 0..times {
                master.send(REQUESTS).await.expect("a datagram");
                let length = tokio::time::timeout(SOON, master.recv(&mut replies)).await.expect("in time");
                assert_eq!(length.expect("a datagram"), REPLIES);
            }
        });
    };
    ask(10);
    allocation_counter::measure(|| ask(500)).count_total
}

#[test]
fn datagrams_that_are_answered_at_once_do_not_allocate() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    assert_eq!(allocations_over_udp(&runtime, Memory::new()), 0, "a store");
    let waits = callbacks(|read: Read| async move { Ok(values(&read)) }, |_: Write| Ok(()));
    assert_ne!(allocations_over_udp(&runtime, waits), 0, "the counter counts");
}

#[test]
fn s004_14_counting_allocates_nothing() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let metrics = Metrics::new();
    let options = Options::default().with_metrics(metrics.clone());
    let server = Server::tcp("127.0.0.1:0", Memory::new()).with_options(options);
    assert_eq!(allocations_of(&runtime, server), 0);
    let counted: u64 = metrics.measured().requests.iter().map(|(_, _, count)| count).sum();
    assert_eq!(counted, 4 * 2 * 510);
}
