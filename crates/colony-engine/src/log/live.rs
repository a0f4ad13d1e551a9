//! Output of all running attempts, kept until it is stored: bounded in memory and on disk.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use colony_core::id::AttemptRef;
use colony_core::text::with_causes;
use colony_wire::LogChunk;

use super::spool::{Lines, Spool};

/// How much is kept, in bytes. Beyond it nothing is lost: the rest of a log can be read when its
/// attempt is over.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// In memory, of one log; more goes to its file.
    tail: u64,
    /// In memory, of all logs.
    memory: u64,
    /// Of one log.
    log: u64,
    /// In the files of all logs.
    files: u64,
}

const LIMITS: Limits = Limits {
    tail: 64 << 10,
    memory: 16 << 20,
    log: 256 << 20,
    files: 2 << 30,
};

/// Output of all running attempts.
pub(crate) struct LiveLogs {
    directory: PathBuf,
    limits: Limits,
    logs: Mutex<HashMap<AttemptRef, Arc<Mutex<LiveLog>>>>,
    memory: Arc<AtomicU64>,
    files: Arc<AtomicU64>,
}

struct LiveLog {
    spool: Spool,
    in_memory: Portion,
    in_file: Portion,
}

/// What one log adds to a sum over all logs, for as long as it is there.
struct Portion {
    sum: Arc<AtomicU64>,
    bytes: u64,
}

impl LiveLogs {
    /// Logs that grow beyond memory are kept in that directory.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            limits: LIMITS,
            logs: Mutex::default(),
            memory: Arc::default(),
            files: Arc::default(),
        }
    }

    /// Adds what an attempt wrote.
    pub(crate) fn append(&self, chunk: &LogChunk) {
        let log = {
            let mut logs = lock(&self.logs);
            let log = logs.entry(chunk.attempt);
            Arc::clone(log.or_insert_with(|| Arc::new(Mutex::new(self.new_log()))))
        };
        let mut log = lock(&log);
        log.spool.append(chunk);
        log.count();
        let memory = self.memory.load(Ordering::Relaxed);
        if log.in_memory.bytes > self.limits.tail || memory > self.limits.memory {
            self.relieve(&mut log.spool);
            log.count();
        }
    }

    fn new_log(&self) -> LiveLog {
        let portion = |sum: &Arc<AtomicU64>| Portion {
            sum: Arc::clone(sum),
            bytes: 0,
        };
        LiveLog {
            spool: Spool::default(),
            in_memory: portion(&self.memory),
            in_file: portion(&self.files),
        }
    }

    /// Moves a log out of memory, or ends it when there is no room for it.
    fn relieve(&self, spool: &mut Spool) {
        let limits = self.limits;
        let files = self.files.load(Ordering::Relaxed);
        if spool.len() > limits.log {
            spool.stop(format!("only its first {} bytes are kept", spool.len()));
        } else if files > limits.files {
            spool.stop(format!("all live logs hold {files} bytes"));
        } else {
            spool.spill(&self.directory);
        }
    }

    /// Whole lines of an attempt's output from `offset` on, about `limit` bytes. None when nothing
    /// is known of the attempt: it wrote nothing yet, or is over.
    pub(super) fn read(&self, attempt: AttemptRef, offset: u64, limit: usize) -> Option<Lines> {
        let log = lock(&self.logs).get(&attempt).map(Arc::clone)?;
        let read = lock(&log).spool.read(offset, limit);
        Some(read.unwrap_or_else(|error| {
            tracing::warn!(task.id = %attempt.task_id, "failed to read a live log: {}", with_causes(&error));
            Lines {
                end: offset,
                ..Lines::default()
            }
        }))
    }

    /// The attempt is over; its log is stored, or lost with it.
    pub(crate) fn forget(&self, attempt: AttemptRef) {
        lock(&self.logs).remove(&attempt);
    }
}

impl LiveLog {
    fn count(&mut self) {
        let held = u64::try_from(self.spool.held()).unwrap_or(u64::MAX);
        self.in_memory.set(held);
        self.in_file.set(self.spool.filed());
    }
}

impl Portion {
    fn set(&mut self, bytes: u64) {
        self.sum.fetch_add(bytes, Ordering::Relaxed);
        self.sum.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
