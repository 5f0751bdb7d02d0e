//! What the specifications say, byte for byte: examples in both directions, what is refused and with which exception,
//! checksums and frames.

mod examples;
mod exchanges;
mod frames;
mod lengths;
mod refusals;
