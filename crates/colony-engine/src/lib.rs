//! Use-cases and loops of the queen.
//!
//! An [`Engine`] is what API, dashboard and command line call. Every change is one transaction of
//! the store: it loads a run, asks `colony-core` for a decision, and stores the new state together
//! with its effects (`advance`). What must happen outside follows after the commit, from rows or
//! as a nudge to one of the loops:
//!
//! | loop | wakes on | does |
//! | --- | --- | --- |
//! | scheduler | request due, slot freed, definition saved or enabled, ant arrived | launches runs |
//! | the same | task ready, ant has room | leases ready tasks and sends them to ants |
//! | offers | task ready for a worker | renders it and puts it where workers claim |
//! | timers | next due time | delays, deadlines, expired leases |
//!
//! No loop polls: an idle engine runs no query.

mod action;
mod advance;
mod ant;
mod artifact;
mod backoff;
mod cancel;
mod compile;
mod definition;
mod derived;
mod dispatcher;
mod engine;
mod error;
mod event;
mod isolate;
mod jump;
pub mod ledger;
mod log;
mod nudge;
mod offers;
mod order;
mod presence;
mod query;
mod report;
mod restart;
mod scheduler;
mod setup;
mod submit;
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
