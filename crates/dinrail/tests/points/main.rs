//! Points: plans of few requests, and values by name.
#![allow(missing_docs)]

mod learned;
mod plan;
mod s000_16_pymod;
mod values;
