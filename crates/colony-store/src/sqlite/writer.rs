//! The writing thread of SQLite: group commit.
//!
//! Everything that waits goes into one transaction and is answered after the one commit. The wait
//! for the disk is thus shared by all who wait.
//!
//! A group is first tried without savepoints, which cost a copy of each page that a closure
//! changes. Only when one of its closures fails after it has changed something is the group rolled
//! back and run again, with each closure in a savepoint of its own.

use std::time::Duration;

use async_channel::Receiver;
use rusqlite::Connection;

use super::identity::Identity;
use super::reader::{statement, transaction};
use crate::error::{DriverError, StoreError};
use crate::job::Job;
use crate::migrate::{self, MigrateError};
use crate::stats::Counters;
use crate::tx::Tx;

/// The most closures in one transaction: more would only make the first ones wait.
const GROUP_MAX: usize = 256;

/// How many closures the last group must have had for the next one to wait for company. A lone
/// caller never waits.
const COMMIT_SIBLINGS: usize = 4;

/// How long a group waits for company: about as long as a commit takes. A larger group writes the
/// same pages once and shares one wait for the disk.
const COMMIT_DELAY: Duration = Duration::from_micros(500);

type Jobs = Vec<Box<dyn Job>>;

/// Runs writing closures until the queue is closed and empty.
pub(super) fn run(
    connection: &Connection,
    file: &Identity,
    queue: &Receiver<Box<dyn Job>>,
    counters: &Counters,
) {
    let writer = Writer {
        connection,
        file,
        counters,
    };
    let mut siblings = 0;
    while let Ok(first) = queue.recv_blocking() {
        let mut jobs = vec![first];
        if siblings >= COMMIT_SIBLINGS {
            std::thread::sleep(COMMIT_DELAY);
        }
        while jobs.len() < GROUP_MAX
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        siblings = jobs.len();
        writer.write(&mut jobs);
        for job in jobs {
            job.answer();
        }
    }
}

/// Brings the schema up to date.
pub(super) fn migrate(connection: &Connection) -> Result<(), MigrateError> {
    let failed = |step| move |error| MigrateError::from(transaction(step, error));
    statement(connection, "BEGIN IMMEDIATE").map_err(failed("begin"))?;
    // When this fails the connection is closed, which rolls back.
    migrate::run(&mut Tx::sqlite(connection, &Counters::default()))?;
    statement(connection, "COMMIT").map_err(failed("commit"))
}

struct Writer<'a> {
    connection: &'a Connection,
    file: &'a Identity,
    counters: &'a Counters,
}

impl Writer<'_> {
    fn write(&self, jobs: &mut Jobs) {
        if !self.file.is_in_place() {
            let moved = || StoreError::Unreachable {
                source: Some(Box::new(DriverError::Moved)),
            };
            return jobs.iter_mut().for_each(|job| job.fail(moved()));
        }
        // A group fails as a whole when SQLite gives up the transaction (disk full) or refuses the
        // commit (a deferred foreign key). Nothing is stored then, so each closure gets a
        // transaction of its own, and only the guilty one fails.
        let grouped = jobs.len() > 1
            && (self.write_group(jobs, Self::run_bare)
                || self.write_group(jobs, Self::run_in_savepoint));
        if !grouped {
            for job in jobs {
                self.write_alone(job.as_mut());
            }
        }
    }

    /// Runs each job by `run`. True when the group is committed and every job has its result.
    fn write_group(&self, jobs: &mut Jobs, run: fn(&Self, &mut dyn Job) -> bool) -> bool {
        if statement(self.connection, "BEGIN IMMEDIATE").is_err() {
            return false;
        }
        let done = jobs.iter_mut().all(|job| run(self, job.as_mut()))
            && statement(self.connection, "COMMIT").is_ok();
        if done {
            self.counters.commit();
        } else {
            self.roll_back();
        }
        done
    }

    /// True when the transaction goes on: the closure succeeded, or failed before it changed
    /// anything.
    fn run_bare(&self, job: &mut dyn Job) -> bool {
        let changes = self.connection.total_changes();
        let succeeded = job.run(&mut Tx::sqlite(self.connection, self.counters));
        let untouched = self.connection.total_changes() == changes;
        !self.connection.is_autocommit() && (succeeded || untouched)
    }

    /// True when the transaction goes on, whether or not the closure succeeded.
    fn run_in_savepoint(&self, job: &mut dyn Job) -> bool {
        if statement(self.connection, "SAVEPOINT closure").is_err() {
            return false;
        }
        let succeeded = job.run(&mut Tx::sqlite(self.connection, self.counters));
        // Some errors, such as a full disk, end the whole transaction.
        let alive = !self.connection.is_autocommit();
        let undone = succeeded || statement(self.connection, "ROLLBACK TO closure").is_ok();
        alive && undone && statement(self.connection, "RELEASE closure").is_ok()
    }

    fn write_alone(&self, job: &mut dyn Job) {
        if let Err(error) = statement(self.connection, "BEGIN IMMEDIATE") {
            return job.fail(transaction("begin", error));
        }
        if !job.run(&mut Tx::sqlite(self.connection, self.counters)) {
            return self.roll_back();
        }
        match statement(self.connection, "COMMIT") {
            Ok(()) => self.counters.commit(),
            Err(error) => {
                self.roll_back();
                job.fail(transaction("commit", error));
            }
        }
    }

    fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = statement(self.connection, "ROLLBACK") {
            tracing::error!(%error, "failed to roll back a transaction");
        }
    }
}
