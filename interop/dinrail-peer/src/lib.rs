//! What both Rust programs of the suite share: the script they run and the cells they serve.

pub mod cells;
pub mod script;
