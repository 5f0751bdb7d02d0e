//! Points of every kind behind a map, and maps that cannot be.

use std::time::{Duration, Instant};

use dinrail::bridge::PointMap;
use dinrail::point::Point;
use dinrail::proto::value::{DataType, Order, Text, Value};
use dinrail::service::{Call, Peer, Service};
use dinrail::{Area, UnitId};

use crate::raw::{Errors, read, registers, write};
use crate::s000_14_map::{Plant, holding, master};

#[tokio::test]
async fn bits_of_a_register_are_written_alone() {
    let plant = Plant::with([("run", Value::Bit(false)), ("fault", Value::Bit(true)), ("auto", Value::Bit(false))]);
    let bit = |name: &str, bit| holding(name, 0).with_type(DataType::Bit(bit));
    let map = PointMap::builder()
        .attach([bit("run", 0), bit("auto", 15)], plant.clone())
        .attach_read_only([bit("fault", 4)], plant.clone())
        .build()
        .unwrap();
    let (_server, mut master) = master(map).await;
    assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [0x0010]);
    plant.log();
    let mask = |and: u16, or: u16| [&[22, 0, 0][..], &and.to_be_bytes(), &or.to_be_bytes()].concat();
    assert_eq!(master.ask(&mask(!0x8000, 0x8000)).await, mask(!0x8000, 0x8000));
    assert_eq!(plant.log(), ["write auto on"], "the others are neither read nor written");
    assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [0x8010]);
    assert_eq!(master.ask(&mask(0xFFFF, 0xFFFF)).await, mask(0xFFFF, 0xFFFF), "nothing is named, nothing is done");
    assert_eq!(master.ask(&mask(!0x0010, 0)).await, [0x96, 2], "fault is only read");
    assert_eq!(master.ask(&mask(!0x0002, 0x0002)).await, [0x96, 2], "no point is there");
    assert_eq!(master.ask(&[6, 0, 0, 0, 1]).await, [0x86, 2], "fault would have to be written");
    assert_eq!(plant.value("run"), Value::Bit(false));
}

#[tokio::test]
async fn a_register_of_bits_is_written_as_a_whole_when_all_of_it_can_be() {
    let plant = Plant::with([("low", Value::Bit(false)), ("high", Value::Bit(false))]);
    // With its bytes swapped, bit 0 is bit 8 on the wire.
    let low = holding("low", 0).with_type(DataType::Bit(0)).with_order(Order::Badc);
    let high = holding("high", 0).with_type(DataType::Bit(0));
    let map = PointMap::builder().attach([low, high], plant.clone()).build().unwrap();
    let (_server, mut master) = master(map).await;
    assert_eq!(master.ask(&[6, 0, 0, 1, 0]).await, [6, 0, 0, 1, 0]);
    assert_eq!((plant.value("low"), plant.value("high")), (Value::Bit(true), Value::Bit(false)));
    assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [0x0100]);
    assert_eq!(master.ask(&[6, 0, 0, 1, 2]).await, [0x86, 2], "bit 1 is nobody's");
    assert_eq!(plant.value("low"), Value::Bit(true));
}

#[tokio::test]
async fn a_value_that_the_point_does_not_hold_is_0x04_and_one_record() {
    let points = [
        holding("nan", 0),
        holding("large", 1),
        holding("half", 2),
        holding("text", 3).with_type(DataType::Text(4)),
        holding("scaled", 5).with_type(DataType::I16).with_scale(0.1),
        holding("single", 6).with_type(DataType::F32),
        Point::new("number", Area::Coil, 0),
        holding("words", 8),
    ];
    let plant = Plant::with([
        ("nan", Value::F64(f64::NAN)),
        ("large", Value::I32(65536)),
        ("half", Value::F32(0.5)),
        ("text", Value::Text(Text::new("12345").unwrap())),
        ("scaled", Value::F64(4000.0)),
        ("single", Value::F64(1e300)),
        ("number", Value::U16(1)),
        ("words", Value::Text(Text::new("1").unwrap())),
    ]);
    let map = PointMap::builder().attach(points.clone(), plant.clone()).build().unwrap();
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let (_server, mut master) = master(map).await;
    for point in &points {
        let before = errors.count();
        let function = if point.area == Area::Coil { 1 } else { 3 };
        let reply = master.ask(&read(function, point.address, point.span().count)).await;
        assert_eq!(reply, [0x80 | function, 4], "{point}");
        assert_eq!(errors.count(), before + 1, "{point}");
        assert!(errors.text().contains(&point.name), "{}", errors.text());
    }
    plant.values.lock().unwrap().insert("single".into(), Value::F64(f64::NAN));
    assert_eq!(registers(&master.ask(&read(3, 6, 2)).await)[0] & 0x7FC0, 0x7FC0, "a float can be no number");
}

#[tokio::test]
async fn what_is_only_read_or_only_written_is_0x02_the_other_way() {
    let map = PointMap::builder()
        .bind_read_only(holding("read", 0), || Ok(7u16))
        .bind_write_only(holding("written", 1), |_: u16| Ok(()))
        .bind(holding("both", 2), || Ok(8u16), |_: u16| Ok(()))
        .build()
        .unwrap();
    let (_server, mut master) = master(map).await;
    assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [7]);
    assert_eq!(master.ask(&[6, 0, 1, 0, 1]).await, [6, 0, 1, 0, 1]);
    assert_eq!(master.ask(&[6, 0, 0, 0, 1]).await, [0x86, 2]);
    assert_eq!(master.ask(&read(3, 1, 1)).await, [0x83, 2]);
    assert_eq!(master.ask(&read(3, 1, 2)).await, [0x83, 2]);
    assert_eq!(master.ask(&write(0, &[1, 2])).await, [0x90, 2]);
    assert_eq!(master.ask(&[22, 0, 1, 0, 0, 0, 1]).await, [0x96, 2]);
    assert_eq!(master.ask(&[22, 0, 2, 0xFF, 0, 0, 1]).await, [22, 0, 2, 0xFF, 0, 0, 1]);
}

#[tokio::test]
async fn parts_of_points_are_read_where_that_is_allowed_and_never_written() {
    let plant = Plant::with([("a", Value::U64(0x0001_0002_0003_0004)), ("b", Value::U16(5))]);
    let points = [holding("a", 0).with_type(DataType::U64), holding("b", 4)];
    let map = PointMap::builder().attach(points, plant.clone()).with_partial_reads(true).build().unwrap();
    let (_server, mut master) = master(map).await;
    assert_eq!(registers(&master.ask(&read(3, 1, 2)).await), [2, 3]);
    assert_eq!(registers(&master.ask(&read(3, 3, 2)).await), [4, 5]);
    assert_eq!(master.ask(&write(1, &[9, 9])).await, [0x90, 2]);
    assert_eq!(master.ask(&read(3, 4, 2)).await, [0x83, 2], "a gap stays one");
}

#[test]
fn a_map_that_cannot_be_says_which_point_and_what_to_do() {
    let plant = Plant::with([]);
    let table: &[(&[Point], &str)] = &[
        (
            &[holding("a", 5).with_type(DataType::F32), holding("b", 6)],
            "points a and b overlap at holding register 6: move one of them",
        ),
        (
            &[holding("a", 5), holding("b", 5).with_type(DataType::Bit(1))],
            "points a and b overlap at holding register 5: move one of them",
        ),
        (
            &[holding("a", 5).with_type(DataType::Bit(1)), holding("b", 5).with_type(DataType::Bit(1))],
            "points a and b overlap at holding register 5: move one of them",
        ),
        (
            &[Point::new("a", Area::Coil, 1), Point::new("b", Area::Coil, 1)],
            "points a and b overlap at coil 1: move one of them",
        ),
        (
            &[Point::new("a", Area::InputRegister, 1)],
            "point a is written, and no input register can be: bind it as one that is only read",
        ),
        (
            &[holding("a", 65535).with_type(DataType::U32)],
            "point a: 2 registers from holding register 65535 end behind the last, 65535",
        ),
        (&[holding("a", 0).with_type(DataType::Bit(16))], "point a: a register has bits 0 to 15, and no bit:16"),
        (
            &[holding("a", 0).with_type(DataType::Text(0))],
            "point a: one request carries text of 1 to 246 bytes, and no str:0",
        ),
        (&[holding("a", 0).with_scale(0.0)], "point a: a scale is a number other than 0, and an offset is a number"),
    ];
    for (points, sentence) in table {
        let error = PointMap::builder().attach(points.to_vec(), plant.clone()).build().unwrap_err();
        assert_eq!(error.to_string(), *sentence);
    }
    let error = PointMap::builder().bind_write_only(holding("a", 0), |_: bool| Ok(())).build().unwrap_err();
    assert_eq!(error.to_string(), "point a is a u16, and the closure that writes it takes a bit");
    let text = holding("a", 0).with_type(DataType::Text(4));
    let error = PointMap::builder().bind_write_only(text, |_: f64| async { Ok(()) }).build().unwrap_err();
    assert_eq!(error.to_string(), "point a is a str:4, and the closure that writes it takes a number");
    let areas = [Point::new("a", Area::InputRegister, 0), Point::new("b", Area::DiscreteInput, 0), holding("c", 0)];
    assert!(PointMap::builder().attach_read_only(areas, plant).build().is_ok(), "areas are apart");
}

/// Finding a point among 20,000 takes no longer to speak of than finding the only one.
#[test]
fn many_points_are_found_as_fast_as_few() {
    let build = |count: u16| {
        let mut map = PointMap::builder();
        for n in 0..count {
            map = map.bind(
                holding(&format!("p{n}"), 3 * n).with_type(DataType::U32),
                move || Ok(u32::from(n)),
                |_: u32| Ok(()),
            );
        }
        map.build().unwrap()
    };
    let (one, many) = (build(1), build(20_000));
    let time = |map: &PointMap, address: u16| {
        let (peer, mut response, pdu) = (Peer::default(), [0; 253], read(3, address, 2));
        let began = Instant::now();
        for _ in 0..1000 {
            let mut call = Call::new(UnitId(1), &peer, &pdu, &mut response);
            assert!(map.call_now(&mut call).is_some());
        }
        assert_eq!(response[..6], [3, 4, 0, 0, ((address / 3) >> 8) as u8, (address / 3) as u8]);
        began.elapsed()
    };
    // The least of several: the machine has other things to do.
    let least = |map: &PointMap, address| (0..20).map(|_| time(map, address)).min().unwrap();
    let (few, many) = (least(&one, 0), least(&many, 3 * 19_999));
    assert!(many < few * 4 + Duration::from_millis(1), "{few:?} for one point, {many:?} among 20,000");
}
