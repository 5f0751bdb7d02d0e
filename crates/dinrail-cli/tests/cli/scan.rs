//! `dinrail scan` against a host with a few units, each with a few addresses.

use std::time::Duration;

use dinrail::service::{DeviceIdentity, Sparse, Units};
use dinrail::transport::Endpoint;
use dinrail::{Area, Server, Service as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
async fn s003_3b_units_that_say_nothing_do_not_end_the_scan_of_a_host() {
    for scheme in ["tcp", "rtu+tcp"] {
        let units = Units::new().with(20, Sparse::new()).ignore_missing();
        let place: Endpoint = format!("{scheme}://127.0.0.1:0").parse().expect("a URL");
        let server = Server::on(place, units);
        let url = server.start().await.expect("it starts").to_string();
        assert!(url.starts_with(scheme), "{url}");
        let text = stdout(&["scan", &url, "--units", "1-20", "--units-only", "--timeout", "100ms"]).await;
        assert!(text.starts_with(&format!("{url}: unit 20 answers\n")), "{text}");
    }
}

#[tokio::test]
async fn s003_3b_a_host_that_closes_for_units_that_it_lacks_is_asked_on() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 12];
            while stream.read_exact(&mut asked).await.is_ok() && asked[6] == 12 {
                let refusal = [&asked[..4], &[0, 3, 12, 0x83, 2]].concat();
                stream.write_all(&refusal).await.expect("the client is there");
            }
        }
    });
    let text = stdout(&["scan", &url, "--units", "1-12", "--units-only", "--timeout", "500ms"]).await;
    assert!(text.starts_with(&format!("{url}: unit 12 answers\n")), "{text}");
}

/// A device with holding registers 0 to 249, which is gone for good after so many requests.
async fn goes_away_after(requests: usize) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        drop(listener);
        for _ in 0..requests {
            let mut asked = [0; 12];
            stream.read_exact(&mut asked[..8]).await.expect("a request");
            let rest = usize::from(asked[5]) - 2;
            stream.read_exact(&mut asked[8..8 + rest]).await.expect("the rest of it");
            let (first, count) = (u16::from_be_bytes([asked[8], asked[9]]), u16::from_be_bytes([asked[10], asked[11]]));
            let mut reply = asked[..8].to_vec();
            match asked[7] {
                3 if asked[6] == 1 && first + count <= 250 => {
                    reply[5] = 3 + 2 * count as u8;
                    reply.push(2 * count as u8);
                    reply.resize(9 + 2 * usize::from(count), 0);
                }
                function => {
                    reply[5] = 3;
                    reply[7] = function | 0x80;
                    reply.push(if asked[6] == 1 { 1 } else { 0x0B });
                }
            }
            stream.write_all(&reply).await.expect("the client is there");
        }
    });
    address
}

#[tokio::test]
async fn a_device_that_goes_away_leaves_what_was_found_until_then() {
    // Units 1 and 2, the identification, and two blocks of the first area.
    let address = goes_away_after(5).await;
    let run = dinrail(&["scan", &address, "--units", "1-2", "--areas", "hr", "--json"]).await;
    assert_eq!(run.code, Some(3), "{run:?}");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert!(report["error"].as_str().expect("a sentence").starts_with("cannot connect to"), "{report}");
    assert_eq!((&report["interrupted"], &report["units_asked"]), (&false.into(), &2.into()));
    let area = &report["units"][0]["areas"]["hr"];
    assert_eq!((&area["ranges"], &area["given_up"]), (&serde_json::json!([[0, 249]]), &true.into()), "{report}");
    assert!(run.stderr.starts_with("dinrail: cannot connect to"), "{run:?}");

    // While units are looked for.
    let address = goes_away_after(2).await;
    let run = dinrail(&["scan", &address, "--units", "1-9"]).await;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stdout.contains("unit 1 answers"), "{run:?}");
    assert!(run.stdout.contains("\nended early: cannot connect to"), "{run:?}");

    // One that was not there to begin with leaves nothing.
    let run = dinrail(&["scan", "127.0.0.1:1", "--units", "1", "--json"]).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
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
