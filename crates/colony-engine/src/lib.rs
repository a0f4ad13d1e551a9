//! Use-cases and loops of the queen.
//!
//! An [`Engine`] is what API, dashboard and command line call. What changes runs of jobs is an
//! operation in a batch (`runs`): one transaction loads the runs, asks `colony-core` for decisions, and
//! stores the new states together with their effects. What must happen outside follows after the
//! commit (`effects`), from rows or as a nudge to one of the loops:
//!
//! | loop | wakes on | does |
//! | --- | --- | --- |
//! | scheduler | request due, slot freed (with its key), definition saved or enabled, ant arrived | launches runs |
//! | dispatcher | task ready, ant has room | leases ready tasks |
//! | render | task ready that must be rendered first | puts it where its ants or workers take it |
//! | timers | next due time | delays, deadlines, expired leases |
//! | effects | operation committed | sends orders and stops, wakes the others and who waits |
//!
//! No loop polls: an idle engine runs no query.

mod ant;
mod artifact;
mod backoff;
mod cancel;
mod compile;
mod definition;
mod derived;
mod dispatcher;
mod effects;
mod engine;
mod error;
mod event;
mod isolate;
mod jump;
mod lane;
pub mod ledger;
mod log;
mod nudge;
mod order;
mod perform;
mod presence;
mod query;
mod readiness;
mod render;
mod report;
mod restart;
mod runs;
mod scheduler;
mod setup;
#[cfg(test)]
mod simulator;
mod submit;
mod sweep;
mod tags;
mod timers;
mod wait;
mod waiter;

pub use ant::AntLink;
pub use artifact::{ArtifactContent, ObjectBytes};
pub use compile::Compiled;
pub use definition::{SaveDefinition, Saved};
pub use derived::Derived;
pub use engine::{Caller, Engine, EngineParts, EngineSettings};
pub use error::EngineError;
pub use event::{RunEvent, RunEventKind};
pub use log::{LogCursor, LogLine, LogPage, LogQuery};
pub use query::{ExecutionView, TaskView};
pub use setup::{AdminToken, DEFAULT_ORGANIZATION, hash_parts, hash_token};
pub use submit::Submit;
pub use sweep::{Leftover, OBJECT_PREFIXES, ObjectSweeper};
