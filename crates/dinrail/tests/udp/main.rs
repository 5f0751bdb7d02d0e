//! Modbus over UDP, on real sockets of the loopback interface. Names carry the row of the mission they hold.

#![allow(clippy::unwrap_used)] // in a test, an unwrap is an assertion

mod client;
mod device;
mod refused;
mod relay;
