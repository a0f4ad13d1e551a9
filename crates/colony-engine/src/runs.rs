//! Operations on runs of jobs: what is decided about them, in batches.
//!
//! An [`Operation`] names the rows that it decides on. A batch of them is one transaction: all rows
//! are loaded and locked at once (`batch`), each operation decides on them in memory (`stage`, and
//! what the operations are about: `launch`, `end`, `fire`, `worker`), tasks that became ready go
//! straight to ants with room (`dispatch`), and everything that changed is written at once. What
//! decides sees rows and values, never the engine, the clock or the database.
//!
//! | file | what it has |
//! | --- | --- |
//! | `operation` | what an operation is, and how it gets into a batch |
//! | `batch` | loading, deciding, writing |
//! | `stage` | one event on one run |
//! | `launch` | requests that are submitted or due |
//! | `end` | attempts that end |
//! | `fire` | timers, deadlines, cancels |
//! | `worker` | job tasks in the hands of users' workers |
//! | `dispatch` | leases for ants with room |

mod batch;
mod dispatch;
mod end;
mod fire;
mod launch;
mod operation;
mod stage;
mod worker;

pub(crate) use batch::{Ground, run_operations};
pub(crate) use dispatch::{Dispatch, flow};
pub(crate) use end::{End, Lose};
pub(crate) use fire::{Cancel, Cancelled, Control, Fire, JobOverdue, Overdue};
pub(crate) use launch::{Launch, Launched, Pass, Readiness, Submission, Submitted, closed};
pub(crate) use operation::{Ask, Operation};
pub(crate) use worker::{Change, Claims, Offer, Rendering, WorkerClaim, lease_to_worker};
