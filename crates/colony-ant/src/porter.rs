//! Porters: what an ant that is root has done among the files of another user.
//!
//! A path in which a user may write can mean anything at the moment when it is used. So root opens,
//! makes and changes nothing there; a *porter* does, a process of that user for one errand, started
//! by a reaper like a command. It is the user's: what it says is checked and bounded by the ant.
//!
//! ```text
//! ant (root) ── reaper (root) ── porter (user)      reach | make | unpack | pack
//!   ▲                              │  reads and writes in the attempt's directory
//!   └──────────── pipe ────────────┘  notes: files, what is missing, how it ended
//! ```
//!
//! | file | what it has |
//! | --- | --- |
//! | `errand` | the porter's own life |
//! | `note` | what a porter says, as bytes |
//! | `collect` | the archive that an ant makes of the files that a porter brings |
//! | `porters` | the ant's side: sends porters on errands |

mod collect;
mod errand;
mod note;
mod porters;

use std::io;

pub use errand::run;
pub(crate) use porters::{Packing, Porters};

/// Why an errand failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PorterError {
    #[error("start a process as the user {user}")]
    Start {
        user: String,
        #[source]
        source: io::Error,
    },
    /// In the porter's words; the source only where the host is short of something.
    #[error("{text}")]
    Told {
        text: String,
        #[source]
        want: Option<io::Error>,
    },
    #[error("follow the process that works as the user {user}")]
    Broken {
        user: String,
        #[source]
        source: io::Error,
    },
    #[error("the process that works as the user {user} ended too early ({status})")]
    Ended {
        user: String,
        status: std::process::ExitStatus,
    },
    #[error("the process that works as the user {user} was not done within {limit_ms} ms")]
    Late { user: String, limit_ms: u128 },
    #[error("a process that works as another user said what it cannot say: {0}")]
    Nonsense(&'static str),
    #[error("hear the process that works as another user")]
    Hear(#[source] io::Error),
    #[error("more than {limit} bytes match")]
    TooLarge { limit: u64 },
    #[error("more than {limit} files match")]
    TooMany { limit: usize },
}
