//! Servers of every framing but Modbus TCP's, over streams and serial ports.
#![allow(missing_docs)]

mod diagnostics;
mod streams;
