//! Many devices, many protocols, one file: what dinrail runs as it stands in a TOML file.
//!
//! [`config`] reads the file and says all that is wrong with it, each with place and mend, before anything is started.
//! What is right is a [`Plan`]; [`Servers`] runs it, and changes over to another one while clients are served.

pub mod config;
pub mod console;
mod live;
pub mod metrics;
mod outcome;
mod plan;
mod read_only;
mod servers;

pub use self::config::load;
pub use self::outcome::{Changes, NotStarted};
pub use self::plan::Plan;
pub use self::servers::Servers;
