//! (placeholder until the next commit) typed values.
