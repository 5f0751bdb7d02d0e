//! Modbus over UDP, on real sockets of the loopback interface. Names carry the row of the mission they hold.

#![allow(clippy::unwrap_used)] // in a test, an unwrap is an assertion

mod both;
mod client;
mod device;
mod raw;
mod refused;
mod relay;
mod server;
mod waiting;
