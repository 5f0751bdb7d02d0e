//! The server against raw sockets: what a master sees, byte for byte. Names carry the row of the mission they hold.

#![allow(clippy::unwrap_used)] // in a test, an unwrap is an assertion

mod accepting;
mod hostile;
mod limits;
mod lost;
mod models;
mod on_threads;
mod raw;
mod s000_callbacks;
mod s000_lifecycle;
mod s001_examples;
mod s001_parts;
mod s001_server;
mod s002_factory;
mod s004_14_metrics;
mod s004_manager;
mod serving;
mod sharing;
