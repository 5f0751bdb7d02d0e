//! Bridges: what a master sees of points that live elsewhere. Names carry the row of the mission they hold.

#![allow(clippy::unwrap_used)] // in a test, an unwrap is an assertion

mod closures;
mod points;
mod s000_14_map;
mod s004_14_gateway;

#[path = "../sight/log.rs"]
mod log;
#[allow(dead_code, reason = "the server's tests use more of it")]
#[path = "../server/raw.rs"]
mod raw;
