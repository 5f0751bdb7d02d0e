//! Serial lines: clients and servers on pseudo terminals that are joined like an RS-485 bus.
#![allow(missing_docs)]
#![cfg(all(target_os = "linux", feature = "serial"))]

mod bus;
mod client;
mod gateway;
mod lifecycle;
mod noisy;
mod pace;
mod scan;
mod server;
