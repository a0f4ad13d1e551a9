//! The ledger as the Runs API sees it: runs, tasks and run data.
//!
//! Verbs take many rows at once, since on PostgreSQL a statement costs a round trip and on SQLite
//! a parse. What is decided about those rows is the engine's business. Verbs that lock rows take
//! them in the order of their ids, so that two transactions never wait for each other.

pub mod block;
pub mod count;
pub mod data;
pub mod idempotency;
pub mod key;
pub mod list;
mod row;
pub mod run;
pub mod task;

pub use row::{DataRow, RunRow, TaskRow, Waiting};
