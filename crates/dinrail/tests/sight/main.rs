//! Seeing and disturbing what is on the wire: taps, captures and bad lines, over loopback.

mod faulty;
mod harness;
mod log;
#[cfg(feature = "capture")]
mod pcapng;
mod s001_31_tracing;
#[cfg(feature = "capture")]
mod sniff;
mod tap;
