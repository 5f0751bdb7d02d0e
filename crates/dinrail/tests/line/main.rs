//! Servers of every framing but Modbus TCP's, over streams and serial ports.
#![allow(missing_docs)]

mod custom;
mod diagnostics;
mod streams;
mod ways;
