//! Closures as upstreams: plain and async, of every type, alone and mixed in one request.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use dinrail::bridge::PointMap;
use dinrail::point::Point;
use dinrail::proto::value::{DataType, Text, Value};
use dinrail::service::Failure;
use dinrail::{Area, ExceptionCode};

use crate::raw::{Errors, read, registers, write};
use crate::s000_14_map::{holding, master};

async fn later() -> Result<u16, Failure> {
    tokio::task::yield_now().await;
    Ok(2)
}

#[tokio::test]
async fn plain_and_async_closures_answer_in_one_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (one, two) = (seen.clone(), seen.clone());
    let map = PointMap::builder()
        .bind(
            holding("plain", 0),
            || Ok(1u16),
            move |value: u16| {
                one.lock().unwrap().push(("plain", value));
                Ok(())
            },
        )
        .bind(holding("async", 1), later, move |value: u16| {
            let seen = two.clone();
            async move {
                tokio::task::yield_now().await;
                seen.lock().unwrap().push(("async", value));
                Ok(())
            }
        })
        .bind(holding("mixed", 2), || Ok(3u16), |_: u16| async { Err(ExceptionCode::ServerDeviceBusy.into()) })
        .build()
        .unwrap();
    let (_server, mut master) = master(map).await;
    assert_eq!(registers(&master.ask(&read(3, 0, 1)).await), [1], "answered at once");
    assert_eq!(registers(&master.ask(&read(3, 0, 3)).await), [1, 2, 3]);
    assert_eq!(master.ask(&[6, 0, 0, 0, 7]).await, [6, 0, 0, 0, 7]);
    assert_eq!(master.ask(&write(0, &[8, 9])).await, [16, 0, 0, 0, 2]);
    assert_eq!(master.ask(&[6, 0, 2, 0, 7]).await, [0x86, 6]);
    assert_eq!(*seen.lock().unwrap(), [("plain", 7), ("plain", 8), ("async", 9)]);
}

#[tokio::test]
async fn closures_take_and_give_what_suits_them() {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let show = |name: &'static str| {
        let shown = shown.clone();
        move |text: String| -> Result<(), Failure> {
            shown.lock().unwrap().push(format!("{name} {text}"));
            Ok(())
        }
    };
    let (degrees, on, label, raw, whole) = (show("degrees"), show("on"), show("label"), show("raw"), show("whole"));
    let map = PointMap::builder()
        .bind(
            holding("degrees", 0).with_type(DataType::I16).with_scale(0.1),
            || Ok(21.5),
            move |value: f64| degrees(value.to_string()),
        )
        .bind(Point::new("on", Area::Coil, 0), || Ok(true), move |value: bool| on(value.to_string()))
        .bind(
            holding("label", 1).with_type(DataType::Text(4)),
            || Ok(Text::new("abc")?),
            move |value: String| label(value),
        )
        .bind(
            holding("raw", 3).with_type(DataType::F32),
            || Ok(Value::U16(3)),
            move |value: Value| raw(value.to_string()),
        )
        .bind(holding("whole", 5).with_type(DataType::U32), || Ok(-1i64), move |value: i16| whole(value.to_string()))
        .build()
        .unwrap();
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let (_server, mut master) = master(map).await;
    assert_eq!(registers(&master.ask(&read(3, 0, 5)).await), [215, 0x6162, 0x6300, 0x4040, 0]);
    assert_eq!(master.ask(&read(1, 0, 1)).await, [1, 1, 1]);
    assert_eq!(master.ask(&read(3, 5, 2)).await, [0x83, 4], "-1 is no u32");
    assert_eq!(master.ask(&write(0, &[0xFFFF, 0x7879, 0, 0x3FC0, 0, 0, 5])).await, [16, 0, 0, 0, 7]);
    assert_eq!(master.ask(&[15, 0, 0, 0, 1, 1, 0]).await, [15, 0, 0, 0, 1]);
    let expected = ["degrees -0.1", "label xy", "raw 1.5", "whole 5", "on false"];
    assert_eq!(*shown.lock().unwrap(), expected);
    assert_eq!(errors.count(), 1);
    assert_eq!(master.ask(&write(5, &[1, 0])).await, [0x90, 4], "65536 is no i16");
    assert!(errors.text().contains("65536 is not a whole number from -32768 to 32767"), "{}", errors.text());
}

#[tokio::test]
async fn a_closure_that_panics_costs_one_request() {
    let calls = Arc::new(AtomicU16::new(0));
    let counter = calls.clone();
    let map = PointMap::builder()
        .bind_read_only(holding("bad", 0), || -> Result<u16, Failure> { panic!("a bug") })
        .bind_write_only(holding("worse", 1), move |value: u16| {
            counter.fetch_add(1, Ordering::SeqCst);
            assert!(value < 100, "too much");
            Ok(())
        })
        .build()
        .unwrap();
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let (_server, mut master) = master(map).await;
    assert_eq!(master.ask(&read(3, 0, 1)).await, [0x83, 4]);
    assert_eq!(master.ask(&[6, 0, 1, 0, 200]).await, [0x86, 4]);
    assert_eq!(errors.count(), 2);
    assert_eq!(master.ask(&[6, 0, 1, 0, 99]).await, [6, 0, 1, 0, 99], "it is nobody's turn any more");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}
