//! The binary as people and scripts use it: as a process, over loopback, with a deadline on everything.
#![cfg(unix)] // it sends signals

mod bench;
mod config;
mod console;
mod guide;
mod harness;
mod help;
mod logs;
mod metrics;
mod pki;
mod read;
mod scan;
mod serve;
mod sniff;
mod watch;
mod write;
mod ws_bridge;
