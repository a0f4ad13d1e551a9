//! The handle that the rest of the program holds.

use std::any::Any;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::config::{Database, StoreConfig};
use crate::error::{OpenError, StoreError};
use crate::job::{self, Mode};
use crate::lane::{Command, Lane};
use crate::line::{Ended, Line};
use crate::stats::{Counters, Stats};
use crate::takeover::Takeover;
use crate::tx::{Dialect, Tx};
use crate::unknown::{Unknown, UnknownOutcomes};
use crate::{postgres, sqlite};

/// A database that runs closures and batches in transactions, on threads of its own. Cheap to clone.
///
/// A closure is a plain function of its transaction: no clock, no network, no waiting inside. It
/// may be run more than once, when the database asks for it, so it has no effect but its
/// statements and its result. It runs even when the caller has stopped waiting.
///
/// When the last handle is dropped, waiting closures are run and the threads end.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    dialect: Dialect,
    counters: Arc<Counters>,
    reads: Line,
    writers: Vec<Line>,
    threads: Vec<JoinHandle<()>>,
    /// Given back after the threads have ended.
    lock: Option<Box<dyn Any + Send + Sync>>,
    takeover: Takeover,
    unknown: Unknown,
}

/// What a database module gives to the handle.
pub(crate) struct Workers {
    /// Takes reading closures.
    pub(crate) reads: Line,
    /// Take writing jobs, one for each connection that writes; at least one.
    pub(crate) writers: Vec<Line>,
    /// Run until the queues are closed.
    pub(crate) threads: Vec<JoinHandle<()>>,
    /// Keeps other stores out until it is dropped.
    pub(crate) lock: Option<Box<dyn Any + Send + Sync>>,
    /// Told when another store has the database.
    pub(crate) takeover: Takeover,
    /// Told when the outcome of a transaction cannot be learned.
    pub(crate) unknown: Unknown,
}

impl Store {
    /// Opens the database, making it when it is not there.
    ///
    /// # Errors
    ///
    /// The database cannot be reached or used.
    pub fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        let counters = Arc::new(Counters::default());
        let (dialect, workers) = match &config.database {
            Database::Sqlite { path } => (Dialect::Sqlite, sqlite::open(path, config, &counters)?),
            Database::Postgres { url } => {
                (Dialect::Postgres, postgres::open(url, config, &counters)?)
            }
        };
        Ok(Self {
            inner: Arc::new(Inner {
                dialect,
                counters,
                reads: workers.reads,
                writers: workers.writers,
                threads: workers.threads,
                lock: workers.lock,
                takeover: workers.takeover,
                unknown: workers.unknown,
            }),
        })
    }

    /// Runs a closure that only looks, on one consistent state of the database.
    ///
    /// # Errors
    ///
    /// The closure's own, or the store's.
    pub async fn read<F, T, E>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let queue = &self.inner.reads;
        let done = run(queue, Mode::Read, closure).await;
        done.unwrap_or_else(|Ended| Err(self.why_closed().into()))
    }

    /// Runs a closure that changes something; returns once that is on disk.
    ///
    /// # Errors
    ///
    /// The closure's own, or the store's; then nothing of it was stored, but see
    /// [`StoreError::OutcomeUnknown`].
    pub async fn write<F, T, E>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let queue = &self.inner.writers[0];
        let done = run(queue, Mode::Write, closure).await;
        done.unwrap_or_else(|Ended| Err(self.why_closed().into()))
    }

    /// [`Store::read`] for threads outside of any async runtime.
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    pub fn read_blocking<F, T, E>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let done = run_blocking(&self.inner.reads, Mode::Read, closure);
        done.unwrap_or_else(|Ended| Err(self.why_closed().into()))
    }

    /// [`Store::write`] for threads outside of any async runtime.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn write_blocking<F, T, E>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let done = run_blocking(&self.inner.writers[0], Mode::Write, closure);
        done.unwrap_or_else(|Ended| Err(self.why_closed().into()))
    }

    /// A lane for operations of one kind: those that wait together are run as one set.
    pub fn lane<C: Command>(&self, command: C) -> Lane<C> {
        Lane::new(self.clone(), command)
    }

    /// The queues of the connections that write.
    pub(crate) fn writers(&self) -> &[Line] {
        &self.inner.writers
    }

    /// Which SQL the database speaks.
    pub fn dialect(&self) -> Dialect {
        self.inner.dialect
    }

    /// Whether no other store can have the database open: what is not told by this process does not
    /// change.
    pub fn is_exclusive(&self) -> bool {
        self.inner.lock.is_some()
    }

    /// Resolves with the reason when another store has taken the database from this exclusive
    /// one. From then on nothing is written any more: the process is to end.
    pub async fn taken_over(&self) -> String {
        self.inner.takeover.heard().await
    }

    /// Whether [`Store::taken_over`] has happened.
    pub fn is_taken_over(&self) -> bool {
        self.inner.takeover.is_told()
    }

    /// Hears from now on of each transaction whose outcome could not be learned
    /// ([`StoreError::OutcomeUnknown`]): it may be stored, and nobody acts on it. Whoever acts on
    /// rows is to look at them.
    pub fn unknown_outcomes(&self) -> UnknownOutcomes {
        self.inner.unknown.listen()
    }

    pub(crate) fn why_closed(&self) -> StoreError {
        match self.is_taken_over() {
            true => StoreError::TakenOver,
            false => StoreError::Closed,
        }
    }

    /// What the store has done so far.
    pub fn stats(&self) -> Stats {
        self.inner.counters.snapshot()
    }
}

async fn run<F, T, E>(queue: &Line, mode: Mode, closure: F) -> Result<Result<T, E>, Ended>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let place = queue.room().enter().await?;
    let (job, reply) = job::pack(mode, closure, place);
    queue.push(job)?;
    reply.await.map_err(|_| Ended)
}

fn run_blocking<F, T, E>(queue: &Line, mode: Mode, closure: F) -> Result<Result<T, E>, Ended>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let place = queue.room().enter_blocking()?;
    let (job, reply) = job::pack(mode, closure, place);
    queue.push(job)?;
    reply.blocking_recv().map_err(|_| Ended)
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reads.close();
        self.writers.iter().for_each(Line::close);
        let this_thread = std::thread::current().id();
        for thread in self.threads.drain(..) {
            // A closure may have held the last handle; a thread cannot wait for itself.
            if thread.thread().id() != this_thread {
                // Threads catch what closures do; there is nothing to report from here.
                let _ = thread.join();
            }
        }
    }
}
