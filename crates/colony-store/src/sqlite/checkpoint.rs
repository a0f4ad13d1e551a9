//! Moving what was committed from the log of changes (WAL) into the file, beside the writer.
//!
//! A commit is on disk once it is in the log. A thread with a connection of its own moves the pages
//! of the log into the file whenever enough have come, while the writer goes on. A log that is
//! written to all the time never comes to an end that way and would grow for ever, so the writer
//! moves what little has come meanwhile: then it begins the log anew.

use colony_core::text::with_causes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use async_channel::{Receiver, Sender};
use rusqlite::Connection;

/// Pages in the log, of 4 KiB, after which it is moved. More often would write pages that many
/// commits change more often.
const PAGES: usize = 4000;

/// How many pages the log has after the last commit of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct LogPages(Arc<AtomicUsize>);

impl LogPages {
    /// Notes the commits of this connection. Nothing is moved on its path any more.
    pub(super) fn watch(connection: &mut Connection) -> rusqlite::Result<Self> {
        let pages = Self::default();
        let inside = pages.clone();
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            let pages = usize::try_from(pages).unwrap_or(0);
            inside.0.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(pages)
    }
}

/// The writer's end: tells when there is something to move.
pub(super) struct Checkpoints {
    pages: LogPages,
    /// Pages of the log when the thread was last told.
    told_at: usize,
    /// The thread has moved most of it.
    done: Arc<AtomicBool>,
    tell: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts the thread on a connection of its own.
    pub(super) fn start(connection: Connection, pages: LogPages) -> Self {
        let (tell, told) = async_channel::bounded(1);
        let done = Arc::new(AtomicBool::new(false));
        let inside = Arc::clone(&done);
        let thread = super::spawn("sqlite-checkpoint", move || {
            run(&connection, &told, &inside);
        });
        Self {
            pages,
            told_at: 0,
            done,
            tell: Some(tell),
            thread: Some(thread),
        }
    }

    /// To be called after each commit of the writer.
    pub(super) fn committed(&mut self, writer: &Connection) {
        let pages = self.pages.0.load(Ordering::Relaxed);
        if pages < self.told_at {
            // The log began anew.
            self.told_at = 0;
        }
        if self.done.swap(false, Ordering::Relaxed) {
            checkpoint(writer);
        } else if pages >= self.told_at + PAGES {
            self.told_at = pages;
            // When it is at work it hears it afterwards.
            let _ = self.tell.as_ref().map(|tell| tell.try_send(()));
        }
    }
}

impl Drop for Checkpoints {
    /// Its connection is closed before the writer's, whose close moves all that is left.
    fn drop(&mut self) {
        drop(self.tell.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to report.
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, told: &Receiver<()>, done: &AtomicBool) {
    while told.recv_blocking().is_ok() {
        checkpoint(connection);
        done.store(true, Ordering::Relaxed);
    }
}

/// Moves what no reader needs in the log. Waits for nobody; what is left is moved the next time.
fn checkpoint(connection: &Connection) {
    let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        row.get::<_, i64>(0)
    });
    if let Err(error) = moved {
        // The commits are safe in the log.
        tracing::warn!(
            "failed to move commits from the log into the database: {}",
            with_causes(&error)
        );
    }
}
