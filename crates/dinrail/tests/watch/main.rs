//! Watching points: what is told, and when. Names carry the rows of the mission they prove.

#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../client/fake.rs"]
mod fake;
mod rates;
mod restart;
mod told;
