//! A worker that runs a command for each task that it claims: a worker in any language.
//!
//! The command gets the task's input as JSON on stdin, and in its environment `COLONY_TASK_ID`,
//! `COLONY_RUN_ID`, `COLONY_TASK_TYPE`, `COLONY_ATTEMPT` (1 at first, one more with each retry) and
//! `COLONY_WORKER_ID`. Exit 0 completes the task with its stdout as output: as JSON if it is JSON,
//! else as a text without the line ends at its end, or null when there is none. Any other exit
//! fails it, with the end of stderr as the reason: it is tried again while retries are left.
//!
//! Leases are renewed meanwhile. The command's whole process group is stopped, softly and then
//! hard, when the task was cancelled, its lease is over, or the worker has to end; in the last case
//! the task is given back, which uses up no retry. Nothing that a command started outlives it, whatever
//! session and environment it has: see `colony-reaper`.
//!
//! | file | what it has |
//! | --- | --- |
//! | `options` | how a worker works |
//! | `claim` | the loop: claim, start, and the two steps of the end |
//! | `task` | one task under its lease |
//! | `command` | one command, started by a reaper |
//! | `report` | what a command's end means for its task |

mod claim;
mod command;
mod options;
mod report;
mod task;

pub use claim::{Stop, Summary, work};
/// What makes and serves [`WorkerOptions::reapers`].
pub use colony_reaper::{self as reaper, ReaperCommand, Reapers};
pub use options::WorkerOptions;
