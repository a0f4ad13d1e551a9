//! How a run of a declared job goes on: events in, effects out.
//!
//! [`apply`] is the whole decision: it takes a [`JobRun`], an [`Event`] and the time, and returns
//! the next `JobRun` with the [`Effect`]s to carry out. The caller stores both in one transaction.

mod active;
mod apply;
mod attempt;
mod children;
mod ending;
mod event;
mod review;
mod route;
mod run;
mod suspend;
mod walk;

#[cfg(test)]
mod tests;

pub use apply::{Refused, apply};
pub use event::{AttemptEnd, Effect, EndStatus, Event};
pub use run::{JobError, JobRun, Phase, StopReason, TaskRun, Verdict};
