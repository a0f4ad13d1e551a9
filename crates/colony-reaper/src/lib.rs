//! Starts commands so that nothing of them can outlive its owner.
//!
//! Commands are not children of the program that wants them (the *owner*: an ant, a worker), but of
//! a small process beside it, a *reaper*: the same program, started again to call [`run`]. A reaper
//! serves one attempt at a time and is a child subreaper: whatever a command starts stays among its
//! descendants, also when it has a session, a name and an environment of its own and its parents are
//! dead. So at the end of an attempt all descendants are killed, found by parenthood alone.
//!
//! ```text
//! owner ══ socket ══ reaper ── sh -c … ── …          one attempt
//!   ║                  └─ daemon of the attempt
//!   ╚═════ socket ══ reaper                          waits for the next one
//! ```
//!
//! * The owner is killed: the socket closes, and the reaper kills what it has and ends.
//! * A reaper is killed: what it had falls to the owner, which is a subreaper as well and kills every
//!   child that is no reaper ([`ReaperCommand::adopts`]). Another reaper takes its place.
//! * A command that leaves nothing behind costs one message there and one back.
//!
//! | file | what it has |
//! | --- | --- |
//! | `pool` | the owner's reapers: taken, given back, replaced, dismissed |
//! | `reaper` | the owner's end of one: start, stop, learn the end, close |
//! | `serve` | the reaper's own life |
//! | `wire` | the messages between them |
//! | `descriptors` | how many files the owner and its commands may open |
//! | `process` | looking at processes, and killing the one that was looked at |

mod command;
pub mod descriptors;
mod pool;
pub mod process;
mod reaper;
mod serve;
mod want;
mod wire;

pub use command::{Command, User};
pub use pool::{ReaperCommand, Reapers};
pub use reaper::{End, Reaper, Stop};
pub use serve::run;
pub use want::is_want;
