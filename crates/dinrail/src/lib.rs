//! Modbus for Rust.
pub use dinrail_proto as proto;
