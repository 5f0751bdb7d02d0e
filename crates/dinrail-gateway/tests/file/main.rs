//! Files: what is wrong with them is said, what is right is served, and another file takes the place of one. Names carry
//! the row of the mission they hold.

#![allow(clippy::unwrap_used)] // in a test, an unwrap is an assertion

mod changing;
mod console;
mod exposition;
mod harness;
mod metrics;
mod problems;
mod serving;
