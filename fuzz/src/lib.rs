//! What the fuzz targets check. Each takes arbitrary bytes and panics when a promise of the protocol core is broken.

mod pdus;
mod window;

pub use pdus::{request, response};
pub use window::{Settings, line, server};
