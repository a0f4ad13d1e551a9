//! The writing thread of SQLite: group commit.
//!
//! Everything that waits goes into one transaction and is answered after the one commit. The wait
//! for the disk is thus shared by all who wait.

use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use rusqlite::Connection;

use super::checkpoint::Checkpoints;
use super::identity::Identity;
use super::reader::{statement, transaction};
use crate::error::{DriverError, StoreError};
use crate::group::{Company, Ended, Jobs, Line, settle};
use crate::job::Job;
use crate::migrate::{self, MigrateError};
use crate::stats::Counters;
use crate::tx::Tx;

/// How many jobs the last group must have had for the next one to wait for company. A lone
/// caller never waits.
const COMMIT_SIBLINGS: usize = 4;

/// How long a group waits for company: about as long as a commit takes. A larger group writes the
/// same pages once and shares one wait for the disk.
const COMMIT_DELAY: Duration = Duration::from_micros(500);

/// Runs writing jobs until the queue is closed and empty.
pub(super) fn run(
    connection: &Connection,
    file: &Identity,
    queue: Receiver<Box<dyn Job>>,
    counters: &Counters,
    mut checkpoints: Checkpoints,
) {
    let writer = Writer {
        connection,
        file,
        counters,
    };
    let mut line = Line::new(queue, Company::All);
    let mut siblings = 0;
    while let Some(first) = line.first() {
        if siblings >= COMMIT_SIBLINGS {
            std::thread::sleep(COMMIT_DELAY);
        }
        let jobs = line.group(first);
        siblings = jobs.len();
        settle(jobs, |jobs| writer.write(jobs));
        checkpoints.committed(connection);
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
    fn write(&self, jobs: &mut Jobs) -> Ended {
        if !self.file.is_in_place() {
            let source = Some(Arc::new(DriverError::Moved));
            return fail_all(jobs, &StoreError::Unreachable { source });
        }
        if let Err(error) = statement(self.connection, "BEGIN IMMEDIATE") {
            return fail_all(jobs, &transaction("begin", error));
        }
        // What failed alone has its result; a group is run again in halves.
        if !jobs.iter_mut().all(|job| self.run(job.as_mut())) {
            self.roll_back();
            return Ended::Refused;
        }
        match statement(self.connection, "COMMIT") {
            Ok(()) => {
                self.counters.commit();
                Ended::Settled
            }
            Err(error) => {
                self.roll_back();
                let error = transaction("commit", error);
                fail_all(jobs, &error);
                match error.hits_all() {
                    true => Ended::Settled,
                    false => Ended::Refused,
                }
            }
        }
    }

    /// True when the transaction goes on: the job succeeded, or failed before it changed anything.
    /// Some errors, such as a full disk, end the whole transaction.
    fn run(&self, job: &mut dyn Job) -> bool {
        let changes = self.connection.total_changes();
        let mut tx = Tx::sqlite(self.connection, self.counters);
        let succeeded = job.run(&mut tx);
        let untouched = !job.is_batch() && self.connection.total_changes() == changes;
        !self.connection.is_autocommit() && (succeeded || untouched)
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

/// Every job has this error for its result.
fn fail_all(jobs: &mut Jobs, error: &StoreError) -> Ended {
    for job in jobs {
        job.fail(error.clone());
    }
    Ended::Settled
}
