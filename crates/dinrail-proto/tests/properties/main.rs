//! What must hold for any request, any reply, any bytes and any pieces in which they come.

mod generate;
mod lines;
mod pdus;
mod servers;
