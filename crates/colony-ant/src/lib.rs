//! The ant: runs the tasks that a queen leases to it, and reports how they ended.
//!
//! An [`Ant`] speaks the messages of `colony-wire` over a [`Link`], two bounded channels. The
//! embedded ant is joined to its queen by nothing else; a remote one has its channels bridged to a
//! socket. One loop owns what the ant knows; every attempt is a task of its own that runs the
//! phases of an order, captures the output, and hands the loop its report.
//!
//! Reading order: [`Ant`] and its loop, the attempt and its phases, the [`Executor`] trait and the
//! shell behind it, the log, artifacts and dependencies. That no process outlives its attempt is the
//! work of `colony-reaper`, and of a sweep at the start for what a machine's crash may leave. Where
//! commands run as another user ([`RunAs`]), what has to be done among that user's files is done by
//! [`porter`]s.
//!
//! A queen embeds an ant like this:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use colony_ant::{Ant, AntConfig, DirectObjects, Link, ReaperCommand, Shutdown};
//! # use colony_core::{id::MonotonicIds, time::SystemClock};
//! # async fn embed(store: Arc<dyn object_store::ObjectStore>) -> Result<(), Box<dyn std::error::Error>> {
//! let (to_queen, mut from_ant) = tokio::sync::mpsc::channel(256);
//! let (to_ant, from_queen) = tokio::sync::mpsc::channel(256);
//! let reaper = ReaperCommand::of_this_program(); // which then calls `colony_reaper::run()`
//! let config = AntConfig::new("embedded", "/var/lib/colony/work", reaper);
//! let ant = Ant::new(
//!     config,
//!     Link { to_queen, from_queen },
//!     Arc::new(DirectObjects::new(store)),
//!     Arc::new(SystemClock),
//!     Arc::new(MonotonicIds::new(SystemClock)),
//! );
//! let shutdown = Shutdown::new();
//! let ant = tokio::spawn(ant.run(shutdown.clone()));
//! // … hear `Hello` from `from_ant`, answer `Welcome` to `to_ant`, then send orders …
//! shutdown.drain(); // soft; `shutdown.now()` stops what runs
//! ant.await??;
//! # Ok(())
//! # }
//! ```
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
mod log;
mod objects;
pub mod porter;
mod redact;
mod run_as;
mod shell;
mod stop;
mod sweep;
mod work_root;

pub use ant::{Ant, AntError, Link, Shutdown};
pub use colony_reaper::{ReaperCommand, User};
pub use config::{AntConfig, Limits, Periods};
pub use executor::{Description, Event, Executor, Place, Session, StartError, Stop, Stream};
pub use objects::{DirectObjects, ObjectError, Objects};
pub use run_as::RunAs;
pub use shell::ShellExecutor;
pub use work_root::WorkRootError;
