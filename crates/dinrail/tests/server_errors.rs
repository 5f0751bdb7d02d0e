//! Document 000: what a server says of errors. Who listens to log records is known to the whole process, so this has one
//! for itself.

#![allow(clippy::unwrap_used, missing_docs)] // in a test, an unwrap is an assertion

#[allow(dead_code, reason = "others need more of it")]
#[path = "server/raw.rs"]
mod raw;

use dinrail::Server;
use dinrail::service::{Failure, Read, read_only};

use crate::raw::{Errors, Raw, read, registers};

#[tokio::test]
async fn s000_5_any_other_error_is_0x04_with_one_error_record() {
    let service = read_only(|read: Read| -> Result<Vec<u16>, Failure> {
        match read.address {
            0 => Err(std::io::Error::other("the sensor is unplugged"))?,
            1 => panic!("a bug"),
            2 => Ok(vec!["x".parse()?]),
            _ => Ok(vec![7]),
        }
    });
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let server = Server::tcp("127.0.0.1:0", service);
    let address = server.start().await.expect("port 0 is free");
    let mut master = Raw::connect(address).await;
    for (address, text) in [(0, "the sensor is unplugged"), (1, "a bug"), (2, "invalid digit")] {
        let before = errors.count();
        assert_eq!(master.ask(&read(3, address, 1)).await, [0x83, 4]);
        assert_eq!(errors.count(), before + 1);
        assert!(errors.text().contains(text), "{}", errors.text());
    }
    assert_eq!(registers(&master.ask(&read(3, 9, 1)).await), [7], "the connection is still usable");
    assert_eq!(server.active_connections(), 1);
}
