//! Messages between queen and ant.
//!
//! An ant opens one link to a queen; both sides send frames. The embedded ant uses the same
//! messages over an in-process channel, a remote one as JSON text. Additive changes keep
//! [`VERSION`]; a queen talks to ants of its own version and the one before.

mod message;
mod order;
mod report;

pub use message::{AntMessage, Hello, LogChunk, QueenMessage};
pub use order::{ArtifactRules, Dependency, Environment, Order, Phases, UploadWhen};
pub use report::{Failure, LogRef, Outcome, Report, StoredObject, Timings};

/// Version of this protocol, said in [`Hello`].
pub const VERSION: u32 = 1;
