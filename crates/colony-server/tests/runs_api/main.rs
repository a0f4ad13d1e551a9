//! The Runs API over HTTP, on both databases. `line_…` tests are the lines of the conformance
//! checklist (`foreman-api` 14); the others are about what is ours.

mod bounds;
mod control;
mod data;
mod dialects;
mod documents;
mod durability;
mod events;
mod fixture;
mod jobs;
mod keys;
mod once;
mod outage;
mod queue;
mod runs;
mod support;
mod tasks;
mod transport;
mod unchanged;
mod worker;
