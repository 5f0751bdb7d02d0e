//! The Modbus protocol: what the bytes mean, and nothing else.
//!
//! This crate has no I/O, no clock and no allocation; it runs on a microcontroller and in a gateway alike. Everything
//! that can go wrong on a wire is decided here, once, so that it can be tested without a wire and in virtual time.
//!
//! How bytes become answers, in reading order:
//!
//! 1. [`adu`]: bytes of a line become frames ([`adu::Decoder`], for every [`Framing`], those of your own included). A
//!    frame is an [`Adu`]: a transaction, a unit and the bytes of a PDU.
//! 2. [`pdu`]: those bytes become a [`Request`] or a [`Response`], which hold only legal values; what is illegal becomes
//!    the [`ExceptionCode`] that the specification asks for.
//! 3. [`server::Connection`]: which frames of a line are for us, and how we answer.
//! 4. [`client::Connection`]: transactions in flight, deadlines, and which reply belongs to which call.
//! 5. [`value`]: registers become integers, floats and text, in every word and byte order.
//!
//! Section numbers in these pages refer to *Modbus Application Protocol Specification V1.1b3* ("AP"), *Modbus Messaging
//! on TCP/IP Implementation Guide V1.0b* ("MG") and *Modbus over Serial Line V1.02* ("SL").
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod adu;
pub mod client;
pub mod error;
pub mod pdu;
pub mod server;
mod time;
mod unit;
pub mod value;

pub use adu::{Adu, Framing};
pub use pdu::{Area, ExceptionCode, FunctionCode, Pdu, Request, Response};
pub use time::Instant;
pub use unit::UnitId;
