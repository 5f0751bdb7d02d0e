//! Rows S003-3 and 3b: looking for the units of a bus.

use std::time::Duration;

use dinrail::client::{Client, Options};
use dinrail::service::Units;
use dinrail::transport::Serial;
use dinrail::{Error, Server};

use crate::bus::{Bus, LONG};
use crate::server::memory;

async fn scan(present: &[u8], last: u8) -> Vec<Result<Vec<u16>, Error>> {
    let bus = Bus::new(2);
    let service = present.iter().fold(Units::new(), |all, unit| all.with(*unit, memory()));
    let server = Server::serial(Serial::rtu(bus.port(1)), service);
    server.start().await.expect("the port opens");
    let options = Options::default().with_timeout(Duration::from_millis(60));
    let client = Client::connect_with(Serial::rtu(bus.port(0)), options).await.expect("the port opens");
    let mut found = Vec::new();
    for unit in 1..=last {
        // Who is there has as long as a loaded machine may take.
        let one = client.unit(unit);
        let one = if present.contains(&unit) { one.with_timeout(LONG) } else { one };
        found.push(one.read_holding_registers(0, 1).await);
    }
    assert!(client.is_connected(), "silence is no reason to give up a port");
    found
}

fn answered(found: &[Result<Vec<u16>, Error>]) -> Vec<usize> {
    for result in found {
        match result {
            Ok(values) => assert_eq!(values, &[0x0102]),
            Err(error) => assert!(error.is_timeout(), "{error}"),
        }
    }
    (1..).zip(found).filter(|(_, result)| result.is_ok()).map(|(unit, _)| unit).collect()
}

#[tokio::test]
async fn s003_3_a_silent_unit_is_an_error_and_the_others_answer() {
    assert_eq!(answered(&scan(&[1, 2, 4], 4).await), [1, 2, 4]);
}

#[tokio::test]
async fn s003_3b_ten_silent_units_of_twelve_do_not_end_a_scan() {
    assert_eq!(answered(&scan(&[5, 12], 12).await), [5, 12]);
}
