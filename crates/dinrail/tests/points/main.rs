//! Points: plans of few requests, and values by name.
#![allow(missing_docs)]

mod plan;
mod values;
