//! Rules of the ledger as the Runs API shows it (`foreman-api` 8 and 9): pure functions over plain
//! values.
//!
//! - [`Marks`] are the times that a status change leaves on a run or task (8.1, 8.2).
//! - [`counted`] says which counter of the run a task's change moves (8.3).
//! - [`update_tags`] is the tag algorithm (8.4).
//! - [`DataFilter`] and [`KeyPattern`] decide which entries of run data match (9.2, 9.3).

mod filter;
mod pattern;
mod status;
mod tags;

pub use filter::{DataFilter, TagMode};
pub use pattern::KeyPattern;
pub use status::{Counted, Marks, counted};
pub use tags::update_tags;
