//! Modbus for Rust.

mod error;
pub mod service;

pub use dinrail_proto as proto;

pub use self::error::Error;
pub use self::service::Service;
