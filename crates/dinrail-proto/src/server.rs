//! (placeholder until the next commit) which frames of a line are for us.
