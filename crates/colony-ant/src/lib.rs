//! The ant: runs the tasks that a queen leases to it, and reports how they ended.
//!
//! An [`Ant`] speaks the messages of `colony-wire` over a [`Link`], two bounded channels. The
//! embedded ant is joined to its queen by nothing else; a remote one has its channels bridged to a
//! socket. One loop owns what the ant knows; every attempt is a task of its own that runs the
//! phases of an order, captures the output, and hands the loop its report.
//!
//! Reading order: [`Ant`] and its loop, the attempt and its phases, the [`Executor`] trait and the
//! shell behind it, the log, artifacts and dependencies, and last what makes sure that no process
//! outlives its attempt ([`reaper`] and the sweep).
//!
//! What is deliberately absent: the job language, any database, any retry of a task.

mod ant;
mod artifacts;
mod attempt;
mod config;
mod dependencies;
mod digest;
mod environment;
mod executor;
mod groups;
mod log;
mod objects;
pub mod reaper;
mod redact;
mod shell;
mod stop;
mod sweep;
mod work_root;

pub use ant::{Ant, AntError, Link, Shutdown};
pub use config::{AntConfig, Limits, Periods, ReaperCommand};
pub use executor::{Description, Event, Executor, Place, Session, StartError, Stop, Stream};
pub use objects::{DirectObjects, ObjectError, Objects};
pub use shell::ShellExecutor;
pub use work_root::WorkRootError;
