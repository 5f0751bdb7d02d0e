//! The dinrail command line.
fn main() {}
