//! `dinrail scan` against a host with a few units, each with a few addresses.

use std::time::Duration;

use dinrail::service::{DeviceIdentity, Sparse, Units};
use dinrail::{Area, Server, Service as _};

use crate::harness::{Background, dinrail, failure, stdout};

async fn host() -> (Server<Units>, String) {
    let meter = Sparse::new();
    meter.set(Area::HoldingRegister, 0, &[1, 2, 3]);
    meter.set(Area::HoldingRegister, 100, &[4]);
    meter.set(Area::Coil, 5, &[1]);
    let identity = DeviceIdentity::new("ACME", "M1", "2.0");
    let units = Units::new().with(1, meter.with_identity(identity)).with(17, Sparse::new());
    let server = Server::tcp("127.0.0.1:0", units);
    let address = server.start().await.expect("it starts");
    (server, address.to_string())
}

#[tokio::test]
async fn units_areas_and_addresses_are_found() {
    let (_server, address) = host().await;
    let text = stdout(&["scan", &address, "--units", "1-20", "--areas", "hr,co,ir"]).await;
    let expected = format!(
        "tcp://{address}: 2 units answer: 1, 17\n\n\
         unit 1  ACME, M1, 2.0\n\
         \x20 holding registers  hr:0-2, hr:100  (4 of 1000)\n\
         \x20 coils              co:5  (1 of 1000)\n\
         \x20 input registers    none: exception 0x02 (illegal data address)\n"
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[tokio::test]
async fn programs_get_an_object() {
    let (_server, address) = host().await;
    let text = stdout(&["scan", &address, "--units", "1,2", "--addresses", "0-9,100", "--json"]).await;
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["interrupted"], false);
    assert_eq!(report["units"][0]["unit"], 1);
    assert_eq!(report["units"][0]["identity"][0], "ACME");
    assert_eq!(report["units"][0]["areas"]["hr"]["ranges"], serde_json::json!([[0, 2], [100, 100]]));
    assert_eq!(report["units"][0]["areas"]["hr"]["asked"], 11);
    assert_eq!(report["units"][1], serde_json::Value::Null);
}

#[tokio::test]
async fn a_device_that_takes_no_notice_of_the_unit_is_looked_into_once() {
    let device = Sparse::new();
    device.set(Area::InputRegister, 7, &[1]);
    let server = Server::tcp("127.0.0.1:0", device);
    let address = server.start().await.expect("it starts").to_string();
    let text = stdout(&["scan", &address, "--areas", "ir"]).await;
    assert!(text.contains("every unit answers: it takes no notice of the unit; unit 1 is shown"), "{text}");
    assert!(text.contains("ir:7  (1 of 1000)"), "{text}");
}

#[tokio::test]
async fn an_interrupted_scan_says_what_it_has_found() {
    // Nobody answers for any unit but the first, so that it takes its time.
    let units = Units::new().with(1, Sparse::new()).ignore_missing();
    let server = Server::tcp("127.0.0.1:0", units);
    let address = server.start().await.expect("it starts").to_string();
    let scan = Background::start(&["scan", &address, "--units-only", "--timeout", "10s"]);
    while server.statistics().requests < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scan.signal("INT").await;
    let (status, text, _) = scan.end().await;
    assert_eq!(status.code(), Some(130));
    assert!(text.contains("unit 1 answers"), "{text}");
    assert!(text.contains("interrupted; 2 requests in"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_is_said_at_once() {
    let text = failure(2, &["scan", "rtu:///dev/null", "--units", "0-5"]).await;
    assert!(text.contains("unit 0 is every unit on a serial line"), "{text}");
    let text = failure(2, &["scan", "plc", "--units", "300"]).await;
    assert!(text.contains("300 is no unit"), "{text}");
    let run = dinrail(&["scan", "127.0.0.1:1", "--units", "1"]).await;
    assert_eq!(run.code, Some(3));
}
