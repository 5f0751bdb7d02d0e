//! Modbus for Rust.

mod backoff;
pub mod blocking;
pub mod bridge;
pub mod client;
mod error;
#[cfg(test)]
#[path = "../tests/sight/log.rs"]
mod log;
pub mod point;
pub mod server;
pub mod service;
pub mod sniff;
mod timer;
pub mod transport;
pub mod watch;
mod wire;

pub use dinrail_proto as proto;
pub use dinrail_proto::{Area, ExceptionCode, FunctionCode, UnitId};

pub use self::client::Client;
pub use self::error::Error;
pub use self::server::Server;
pub use self::service::Service;
