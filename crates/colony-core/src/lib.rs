//! Ids, time, states and decisions of Colony.
//!
//! Everything here is pure: no I/O, no async, no clock. Time, randomness and ids arrive from
//! outside, so that whole histories can be replayed from a seed.

pub mod backoff;
pub mod error_code;
pub mod id;
pub mod job;
pub mod ledger;
pub mod method;
pub mod plan;
pub mod queue_key;
pub mod schedule;
pub mod state;
pub mod text;
pub mod time;
