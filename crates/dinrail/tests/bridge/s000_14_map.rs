//! A map over a simulated plant: what is bound, what is not, and what fails there.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dinrail::bridge::{PointMap, Upstream};
use dinrail::point::Point;
use dinrail::proto::value::{DataType, Text, Value};
use dinrail::server::Options;
use dinrail::service::Failure;
use dinrail::{Area, ExceptionCode, Server};
use tokio::sync::{Barrier, Semaphore};

use crate::log::Log;
use crate::raw::{Errors, Raw, read, registers, soon, write};

/// Values by name, and what goes wrong with them.
#[derive(Default)]
pub(crate) struct Plant {
    pub(crate) values: Mutex<BTreeMap<String, Value>>,
    pub(crate) log: Mutex<Vec<String>>,
    busy: AtomicUsize,
    most_busy: AtomicUsize,
    hold: Option<Barrier>,
}

impl Plant {
    pub(crate) fn with<const N: usize>(values: [(&str, Value); N]) -> Arc<Self> {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Arc::new(Self { values: Mutex::new(values), ..Self::default() })
    }

    pub(crate) fn value(&self, name: &str) -> Value {
        self.values.lock().unwrap()[name]
    }

    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    /// What the name of a point says is to go wrong.
    async fn trouble(point: &Point) -> Result<(), Failure> {
        let kind = match point.name.as_str() {
            "refusing" => return Err(Failure::message("the controller refuses")),
            "locked" => return Err(ExceptionCode::NegativeAcknowledge.into()),
            "silent" => std::future::pending().await,
            "unplugged" => io::ErrorKind::ConnectionRefused,
            "slow" => io::ErrorKind::TimedOut,
            "broken" => io::ErrorKind::ConnectionReset,
            "busy" => io::ErrorKind::ResourceBusy,
            _ => return Ok(()),
        };
        Err(io::Error::from(kind).into())
    }
}

impl Upstream for Plant {
    async fn read(&self, point: &Point) -> Result<Value, Failure> {
        self.log.lock().unwrap().push(format!("read {}", point.name));
        let now = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_busy.fetch_max(now, Ordering::SeqCst);
        if let Some(barrier) = &self.hold {
            barrier.wait().await;
        }
        self.busy.fetch_sub(1, Ordering::SeqCst);
        Self::trouble(point).await?;
        let value = self.value(&point.name);
        tokio::task::yield_now().await; // others come between
        Ok(value)
    }

    async fn write(&self, point: &Point, value: Value) -> Result<(), Failure> {
        Self::trouble(point).await?;
        self.log.lock().unwrap().push(format!("write {} {value}", point.name));
        self.values.lock().unwrap().insert(point.name.clone(), value);
        Ok(())
    }

    fn concurrency(&self) -> usize {
        3
    }
}

pub(crate) fn holding(name: &str, address: u16) -> Point {
    Point::new(name, Area::HoldingRegister, address)
}

/// A master of a server with this map.
pub(crate) async fn master(map: PointMap) -> (Server<PointMap>, Raw) {
    let server = Server::tcp("127.0.0.1:0", map);
    let address = server.start().await.unwrap();
    (server, Raw::connect(address).await)
}

#[tokio::test]
async fn s000_14_points_are_read_and_written_where_they_live() {
    let plant = Plant::with([
        ("room", Value::F64(21.54)),
        ("energy", Value::U64(0x0001_0002_0003_0004)),
        ("name", Value::Text(Text::new("AHU-1").unwrap())),
        ("pump", Value::Bit(true)),
    ]);
    let points = [
        holding("room", 10).with_type(DataType::I16).with_scale(0.1),
        holding("energy", 11).with_type(DataType::U64),
        holding("name", 20).with_type(DataType::Text(6)),
        Point::new("pump", Area::Coil, 7),
    ];
    let map = PointMap::builder().attach(points, plant.clone()).build().unwrap();
    let (_server, mut master) = master(map).await;
    assert_eq!(registers(&master.ask(&read(3, 10, 5)).await), [215, 1, 2, 3, 4]);
    assert_eq!(registers(&master.ask(&read(3, 20, 3)).await), [0x4148, 0x552D, 0x3100]);
    assert_eq!(master.ask(&read(1, 7, 1)).await, [1, 1, 1]);

    assert_eq!(master.ask(&[5, 0, 7, 0, 0]).await, [5, 0, 7, 0, 0]);
    assert_eq!(master.ask(&[6, 0, 10, 0xFF, 0x9C]).await, [6, 0, 10, 0xFF, 0x9C]);
    assert_eq!(master.ask(&write(20, &[0x4100, 0, 0])).await, [16, 0, 20, 0, 3]);
    assert_eq!(plant.value("pump"), Value::Bit(false));
    assert_eq!(plant.value("room"), Value::F64(-10.0));
    assert_eq!(plant.value("name"), Value::Text(Text::new("A").unwrap()));
    // FC 23 writes, then reads what is there then.
    let pdu = [&[23, 0, 10, 0, 1, 0, 11, 0, 4, 8][..], &[0, 0, 0, 0, 0, 0, 0, 9]].concat();
    assert_eq!(master.ask(&pdu).await, [23, 2, 0xFF, 0x9C]);
    assert_eq!(plant.value("energy"), Value::U64(9));
}

#[tokio::test]
async fn s000_14_what_is_not_bound_is_0x02_and_nobody_is_asked() {
    let plant = Plant::with([("a", Value::U16(1)), ("b", Value::U16(2)), ("c", Value::U32(3))]);
    let points = [holding("a", 0), holding("b", 2), holding("c", 3).with_type(DataType::U32)];
    let map = PointMap::builder().attach(points, plant.clone()).build().unwrap();
    let (_server, mut master) = master(map).await;
    for (pdu, why) in [
        (read(3, 1, 1), "nothing is there"),
        (read(3, 0, 3), "a gap"),
        (read(3, 2, 4), "more behind the last"),
        (read(4, 0, 1), "another area"),
        (read(1, 0, 1), "no coils at all"),
        (read(3, 3, 1), "half a point"),
        (read(3, 4, 1), "the other half"),
        (vec![6, 0, 3, 0, 1], "a write of half a point"),
        (write(2, &[1, 2]), "one point and half of the next"),
        (write(4, &[2]), "the other half"),
        (write(0, &[1, 2, 3]), "a gap in a write"),
        (vec![22, 0, 3, 0, 0, 0, 1], "half a point by FC 22"),
        (vec![22, 0, 9, 0, 0, 0, 1], "nothing by FC 22"),
        (vec![23, 0, 1, 0, 1, 0, 0, 0, 1, 2, 0, 9], "what FC 23 reads is not there"),
        (vec![23, 0, 0, 0, 1, 0, 1, 0, 1, 2, 0, 9], "what FC 23 writes is not there"),
    ] {
        assert_eq!(master.ask(&pdu).await, [pdu[0] | 0x80, 2], "{why}");
    }
    assert_eq!(plant.log(), [""; 0]);
    assert_eq!(registers(&master.ask(&read(3, 2, 3)).await), [2, 0, 3]);
}

#[tokio::test]
async fn s000_14_a_failure_upstream_reaches_the_master() {
    let table = [
        ("refusing", 4, 1),
        ("locked", 7, 0),
        ("unplugged", 0x0A, 0),
        ("slow", 0x0B, 0),
        ("broken", 0x0B, 0),
        ("busy", 6, 0),
        ("silent", 0x0B, 0),
    ];
    let plant = Plant::with([("sound", Value::U16(1))]);
    let points = table.iter().zip(0..).map(|((name, ..), address)| holding(name, address));
    let map = PointMap::builder()
        .attach(points.chain([holding("sound", 100)]), plant.clone())
        .with_deadline(Duration::from_millis(50))
        .build()
        .unwrap();
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let (_server, mut master) = master(map).await;
    for ((name, code, records), address) in table.into_iter().zip(0..) {
        let before = errors.count();
        assert_eq!(master.ask(&[6, 0, address, 0, 9]).await, [0x86, code], "{name} is written");
        assert_eq!(errors.count() - before, records, "{name}: {}", errors.text());
        assert_eq!(master.ask(&read(3, address.into(), 1)).await, [0x83, code], "{name} is read");
    }
    assert!(errors.text().contains("writing refusing: the controller refuses"), "{}", errors.text());
    assert_eq!(master.ask(&[6, 0, 100, 0, 9]).await, [6, 0, 100, 0, 9], "the others are as ever");
    assert_eq!(plant.value("sound"), Value::U16(9));
}

/// A map is shared by servers, so a record that names the point alone tells of no device in particular.
#[tokio::test]
async fn s004_10_records_of_a_map_name_server_and_peer() {
    let refused = || -> Result<u16, Failure> { Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()) };
    let points = [holding("first", 0), holding("locked", 1), holding("unplugged", 2)];
    let map = PointMap::builder()
        .attach(points, Plant::with([]))
        .bind_read_only(holding("at once", 3), refused)
        .build()
        .unwrap();
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.subscriber());
    let server = Server::tcp("127.0.0.1:0", map).with_options(Options::default().with_name("pumps"));
    let mut master = Raw::connect(server.start().await.unwrap()).await;
    assert_eq!(master.ask(&write(0, &[5, 6])).await, [0x90, 7]);
    assert_eq!(master.ask_unit(4, &read(3, 2, 1)).await, [0x83, 0x0A]);
    assert_eq!(master.ask(&[6, 0, 2, 0, 1]).await, [0x86, 0x0A]);
    assert_eq!(master.ask(&read(3, 3, 1)).await, [0x83, 0x0A]);
    let peer = master.stream.local_addr().unwrap();
    let expected = [
        (1, "locked", "writing was refused with exception"),
        (4, "unplugged", "reading failed: answered"),
        (1, "unplugged", "writing failed: answered"),
        (1, "at once", "reading failed: answered"),
    ];
    let text = log.text();
    let warnings: Vec<&str> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), expected.len(), "{text}");
    for (line, (unit, point, what)) in warnings.into_iter().zip(expected) {
        assert!(line.contains(&format!("dinrail::server: {what}")), "{line}");
        assert!(line.contains(&format!(r#" server=pumps peer={peer} unit={unit} point="{point}" "#)), "{line}");
    }
}

#[tokio::test]
async fn s000_14_success_is_said_only_after_the_upstream_has_accepted() {
    struct Held(Semaphore, AtomicUsize);
    impl Upstream for Held {
        async fn read(&self, _: &Point) -> Result<Value, Failure> {
            Ok(Value::U16(0))
        }
        async fn write(&self, _: &Point, _: Value) -> Result<(), Failure> {
            self.0.acquire().await.unwrap().forget();
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }
    let held = Arc::new(Held(Semaphore::new(0), AtomicUsize::new(0)));
    let map = PointMap::builder().attach([holding("a", 0), holding("b", 1)], held.clone()).build().unwrap();
    let (server, mut writer) = master(map).await;
    writer.send(&crate::raw::frame(1, 1, &[6, 0, 0, 0, 1])).await;
    assert!(writer.is_silent().await, "nobody has accepted it yet");
    let mut other = Raw::connect(server.local_addr().unwrap()).await;
    let began = Instant::now();
    assert_eq!(registers(&other.ask(&read(3, 0, 2)).await), [0, 0]);
    assert!(began.elapsed() < Duration::from_millis(250), "another master waits for it");
    assert_eq!(held.1.load(Ordering::SeqCst), 0);
    held.0.add_permits(1);
    assert_eq!(writer.reply().await.2, [6, 0, 0, 0, 1]);
    assert_eq!(held.1.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn points_of_one_request_are_asked_together_as_far_as_the_upstream_allows() {
    let mut plant = Plant { hold: Some(Barrier::new(3)), ..Plant::default() };
    plant.values = Mutex::new((0..6).map(|n: u16| (format!("p{n}"), Value::U16(n))).collect());
    let plant = Arc::new(plant);
    let points: Vec<Point> = (0..6).map(|n| holding(&format!("p{n}"), n)).collect();
    let map = PointMap::builder().attach(points, plant.clone()).build().unwrap();
    let (_server, mut master) = master(map).await;
    // The barrier lets nobody through before three are there: one after the other would hang.
    assert_eq!(registers(&master.ask(&read(3, 0, 6)).await), [0, 1, 2, 3, 4, 5]);
    assert_eq!(plant.most_busy.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn several_points_are_written_in_order_and_the_first_failure_ends_it_and_is_told() {
    let plant = Plant::with([]);
    let points = [holding("first", 0), holding("second", 1), holding("refusing", 2), holding("last", 3)];
    let map = PointMap::builder().attach(points, plant.clone()).build().unwrap();
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let (_server, mut master) = master(map).await;
    assert_eq!(master.ask(&write(0, &[5, 6])).await, [16, 0, 0, 0, 2]);
    assert_eq!(plant.log(), ["write first 5", "write second 6"]);
    assert_eq!(master.ask(&write(0, &[7, 8, 9, 10])).await, [0x90, 4]);
    assert_eq!(plant.log(), ["write first 7", "write second 8"]);
    assert_eq!(errors.count(), 1);
    assert!(errors.text().contains(r#"written before: ["first", "second"]"#), "{}", errors.text());
}

/// Two masters count in halves of one register by FC 22, a thousand times: nothing is lost.
#[tokio::test]
async fn fc_22_is_one_step_for_everybody() {
    let plant = Plant::with([("counter", Value::U16(0))]);
    let map = PointMap::builder().attach([holding("counter", 0)], plant.clone()).build().unwrap();
    let (server, _) = master(map).await;
    let address = server.local_addr().unwrap();
    let count = |high: bool| async move {
        let mut master = Raw::connect(address).await;
        for n in 1..=250u8 {
            let (and, or) = if high { ([0, 0xFF], [n, 0]) } else { ([0xFF, 0], [0, n]) };
            let pdu = [&[22, 0, 0][..], &and, &or].concat();
            assert_eq!(master.ask(&pdu).await, pdu);
            let now = registers(&master.ask(&read(3, 0, 1)).await)[0];
            assert_eq!(if high { now >> 8 } else { now & 0xFF }, u16::from(n));
        }
    };
    soon(async { tokio::join!(count(true), count(false)) }).await;
    assert_eq!(plant.value("counter"), Value::U16(0xFAFA));
}
