//! (placeholder until the next commit) transactions in flight.
