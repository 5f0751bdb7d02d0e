//! Points of a real server: types, scales, refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dinrail::point::{Point, Reader};
use dinrail::proto::value::{DataType, Order, Text, Value};
use dinrail::service::{Failure, Memory, Read, Sparse, Write, callbacks};
use dinrail::{Area, Client, Error, ExceptionCode, Server, Service};

async fn device<S: Service>(service: S) -> (Server<S>, Client) {
    let server = Server::tcp("127.0.0.1:0", service);
    let client = Client::connect(server.start().await.expect("it starts")).await.expect("it connects");
    (server, client)
}

fn holding(name: &str, address: u16) -> Point {
    Point::new(name, Area::HoldingRegister, address)
}

#[tokio::test]
async fn values_are_written_and_read_by_name_and_type() {
    let memory = Memory::new();
    let (_server, client) = device(memory.clone()).await;
    let written: Vec<(Point, Value)> = vec![
        (holding("count", 0), Value::U16(7)),
        (holding("flow", 1).with_type(DataType::F32).with_order(Order::Cdab), Value::F32(21.5)),
        (holding("big", 3).with_type(DataType::U64), Value::U64(u64::MAX - 1)),
        (holding("name", 10).with_type(DataType::Text(8)), Value::Text(Text::new("ACME").expect("short"))),
        (holding("outside", 20).with_type(DataType::I16).with_scale(0.1), Value::F64(-12.5)),
        (holding("tank", 21).with_scale(0.5).with_offset(-10.0), Value::F64(90.0)),
        (holding("alarm", 30).with_type(DataType::Bit(3)), Value::Bit(true)),
        (Point::new("pump", Area::Coil, 5), Value::Bit(true)),
    ];
    for (point, value) in &written {
        client.write_point(point, *value).await.expect("it is written");
        assert_eq!(client.read_point(point).await.expect("it is read"), *value, "{point}");
    }
    assert_eq!(memory.value(Area::HoldingRegister, 20), Some((-125i16) as u16));
    assert_eq!(memory.value(Area::HoldingRegister, 21), Some(200));
    memory.set(Area::HoldingRegister, 30, &[0xF0F0]).expect("it fits");
    client.write_point(&written[6].0, true).await.expect("it is written");
    assert_eq!(memory.value(Area::HoldingRegister, 30), Some(0xF0F8), "the other bits are left alone");

    let points: Vec<Point> = written.iter().map(|(point, _)| point.clone()).collect();
    let values = client.read_points(&points).await;
    for ((point, expected), value) in written.iter().zip(values) {
        assert_eq!(value.expect("it is read"), *expected, "{point}");
    }
}

#[tokio::test]
async fn numbers_that_a_point_does_not_hold_are_refused_before_anything_is_sent() {
    let (server, client) = device(Memory::new()).await;
    let table: [(Point, Value, &str); 6] = [
        (holding("a", 0), Value::I32(-1), "point a: out of range: u16 takes"),
        (holding("b", 0), Value::F64(1.5), "point b: no whole number: u16 takes"),
        (holding("c", 0).with_type(DataType::I64), Value::U64(u64::MAX), "point c: out of range: i64"),
        (holding("d", 0).with_scale(0.1), Value::F64(6553.6), "point d: out of range"),
        (holding("e", 0), Value::Bit(true), "point e: the value is of another type than u16"),
        (Point::new("f", Area::Coil, 0), Value::U16(2), "point f: neither on nor off"),
    ];
    for (point, value, message) in table {
        let error = client.write_point(&point, value).await.expect_err("it is refused").to_string();
        assert!(error.starts_with(message), "{error}");
    }
    let input = Point::new("g", Area::InputRegister, 0);
    let error = client.write_point(&input, 1u16).await.expect_err("nobody can write that");
    assert_eq!(error.exception(), Some(ExceptionCode::IllegalFunction));
    assert_eq!(server.statistics().requests, 0);
    client.write_point(&holding("h", 0).with_type(DataType::F64), 3u16).await.expect("a float holds it");
}

#[tokio::test]
async fn a_refused_block_is_halved_and_the_hole_remembered() {
    let sparse = Sparse::new();
    sparse.set(Area::HoldingRegister, 0, &[10, 11, 12, 13]);
    sparse.set(Area::HoldingRegister, 8, &[18, 19]);
    let (server, client) = device(sparse).await;
    // 4 to 7 are not there, and 6 is asked for: three blocks, one of which has nothing.
    let points: Vec<Point> = [0, 1, 3, 6, 8, 9].map(|address| holding("point", address)).to_vec();
    let mut reader = Reader::new(client, points);
    assert_eq!(reader.blocks().count(), 1);
    let expected = |values: Vec<Result<Value, Error>>| {
        let exceptions: Vec<_> = values.iter().map(|value| value.as_ref().err().and_then(Error::exception)).collect();
        assert_eq!(exceptions, [None, None, None, Some(ExceptionCode::IllegalDataAddress), None, None]);
        let values: Vec<_> = values.into_iter().flatten().collect();
        assert_eq!(values, [10, 11, 13, 18, 19].map(Value::U16));
    };
    expected(reader.read().await);
    let asked = server.statistics().requests;
    assert!(asked <= 7, "{asked}");
    assert_eq!(reader.blocks().count(), 3, "{:?}", reader.blocks().collect::<Vec<_>>());
    expected(reader.read().await);
    assert_eq!(server.statistics().requests, asked + 3, "nothing is refused that was known");
}

#[tokio::test]
async fn a_device_that_takes_fewer_registers_is_learned_as_well() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let service = callbacks(
        move |read: Read| {
            counter.fetch_add(1, Ordering::Relaxed);
            if read.count > 32 {
                Err(Failure::from(ExceptionCode::IllegalDataValue))
            } else {
                Ok(vec![read.address; read.count.into()])
            }
        },
        |_: Write| Err(Failure::from(ExceptionCode::IllegalFunction)),
    );
    let (_server, client) = device(service).await;
    let points: Vec<Point> = (0..100).map(|address| holding("point", address)).collect();
    let mut reader = Reader::new(client, points);
    let mut requests = Vec::new();
    for _ in 0..3 {
        assert!(reader.read().await.iter().all(Result::is_ok));
        requests.push(asked.swap(0, Ordering::Relaxed));
    }
    assert!(requests[0] > 4 && requests[2] == 4, "{requests:?}");
}

#[tokio::test]
async fn points_that_share_registers_or_overlap_are_all_read() {
    let memory = Memory::new();
    memory.set(Area::HoldingRegister, 0, &[0x0001, 0x0002, 0x4142]).expect("it fits");
    let (server, client) = device(memory).await;
    let points = [
        holding("whole", 0).with_type(DataType::U32),
        holding("low", 1),
        holding("bit", 1).with_type(DataType::Bit(1)),
        holding("text", 2).with_type(DataType::Text(2)),
        holding("again", 0).with_type(DataType::U32),
    ];
    let values: Vec<Value> =
        client.read_points(&points).await.into_iter().map(|value| value.expect("it is read")).collect();
    let text = Value::Text(Text::new("AB").expect("short"));
    assert_eq!(values, [Value::U32(0x0001_0002), Value::U16(2), Value::Bit(true), text, Value::U32(0x0001_0002)]);
    assert_eq!(server.statistics().requests, 1);
}

#[tokio::test]
async fn a_dead_device_fails_every_point_and_nothing_else() {
    let (server, client) = device(Memory::new()).await;
    server.stop().await;
    let values = client.read_points(&[holding("a", 0), holding("b", 500)]).await;
    assert!(values.iter().all(|value| matches!(value, Err(Error::Lost { .. } | Error::Connect { .. }))), "{values:?}");
    assert_eq!(client.read_points(&[]).await.len(), 0);
}
