//! Being asked to end, softly and then hard.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM, counted together: the first asks softly, the second means now.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on these signals no longer end the program by themselves.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("failed to listen to signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// How long database calls and other leftovers may take after a command is done.
pub(crate) const RUNTIME_END_MAX: Duration = Duration::from_secs(5);
