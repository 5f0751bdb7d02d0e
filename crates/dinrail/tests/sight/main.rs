//! Seeing and disturbing what is on the wire: taps, captures and bad lines, over loopback.

mod faulty;
mod harness;
mod s001_31_tracing;
