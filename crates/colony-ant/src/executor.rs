//! What an attempt needs of the machinery that does a method's work.
//!
//! The phases, the log, artifacts and reports are the same for every method; an executor only opens
//! a [`Session`] per attempt, and a session runs one command after the other. A new method is a new
//! implementation of these two traits.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use colony_core::method::Method;
pub use colony_reaper::Stop;
use colony_wire::Environment;
use futures_util::future::BoxFuture;

/// Does the work of some methods.
pub trait Executor: Send + Sync {
    /// What it can do.
    fn describe(&self) -> Description;

    /// Makes ready what the commands of one attempt share.
    fn open(&self, place: Place) -> BoxFuture<'_, Result<Box<dyn Session>, StartError>>;
}

/// What an executor can do.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// The methods it serves.
    pub methods: &'static [Method],
}

/// Where an attempt works.
#[derive(Debug, Clone)]
pub struct Place {
    /// Directory of the commands; exists.
    pub directory: PathBuf,
}

/// Runs the commands of one attempt, one at a time. Dropping it ends all that it started.
pub trait Session: Send {
    /// Starts a command. The one before is over.
    fn start<'a>(
        &'a mut self,
        command: &'a str,
        environment: &'a Environment,
    ) -> BoxFuture<'a, Result<(), StartError>>;

    /// The next thing that happens to the running command; output is put into `buffer`, which is
    /// cleared before. May be dropped and called again without losing anything.
    fn next<'a>(&'a mut self, buffer: &'a mut Vec<u8>) -> BoxFuture<'a, Event>;

    /// Asks the running command to end ([`Stop::Soft`]) or ends it ([`Stop::Hard`]).
    fn stop(&mut self, how: Stop);

    /// Ends all that was started and is still there. False when something could not be ended.
    fn close(&mut self) -> BoxFuture<'_, bool>;
}

/// What happens to a running command.
#[derive(Debug)]
pub enum Event {
    /// It wrote something.
    Output(Stream),
    /// It is over, and all its output was given.
    Exited(ExitStatus),
    /// It could not be started after all.
    NotStarted(StartError),
    /// It can no longer be followed, and was killed.
    Lost(io::Error),
}

/// Where output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why nothing could be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The pipes for its output could not be made.
    #[error("make the pipes for its output")]
    Pipes(#[source] io::Error),
    /// The process that is to start it could not be made.
    #[error("start the process that watches over it")]
    Reaper(#[source] io::Error),
    /// The process could not be made.
    #[error("start `{program}`")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}
