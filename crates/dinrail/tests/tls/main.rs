//! TLS and Modbus Security: keys and certificates of every kind, roles, handshakes that must fail, and the server's limits.
//! Names carry the row of the mission they hold. Certificates are made as they are needed; `keys` has what OpenSSL made of
//! one key, all of it with the password "secret".

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)] // in a test, an unwrap is an assertion

mod handshakes;
mod keys;
mod limits;
mod old;
mod pki;
mod reload;
mod roles;
