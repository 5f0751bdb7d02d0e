//! Client and server without `async`: the same methods, each of which waits for its outcome.
//!
//! ```no_run
//! use dinrail::blocking::Client;
//!
//! let client = Client::connect("192.168.0.10:502")?;
//! let registers = client.read_holding_registers(0, 10)?;
//! # Ok::<(), dinrail::Error>(())
//! ```
//!
//! One thread a process, `dinrail-blocking`, watches all connections; it starts with the first client. A call reads and
//! writes in the thread that makes it. It may be made anywhere, even inside of an async runtime, whose thread it then
//! holds up.

mod client;
mod pool;
mod runtime;
mod server;
mod watch;

pub use self::client::Client;
pub use self::pool::{Pool, Pooled};
pub use self::server::Server;
pub use self::watch::Watch;
