//! A reading thread of SQLite.

use std::sync::Arc;

use async_channel::Receiver;
use rusqlite::Connection;

use crate::error::{DriverError, StoreError};
use crate::job::Job;
use crate::stats::Counters;
use crate::tx::Tx;

/// Runs reading closures until the queue is closed, each on one state of the database.
pub(super) fn run(connection: &Connection, jobs: &Receiver<Box<dyn Job>>, counters: &Counters) {
    while let Ok(mut job) = jobs.recv_blocking() {
        if job.is_abandoned() {
            continue;
        }
        read(connection, job.as_mut(), counters);
        job.answer();
    }
}

fn read(connection: &Connection, job: &mut dyn Job, counters: &Counters) {
    if let Err(error) = statement(connection, "BEGIN") {
        return job.fail(transaction("begin", error));
    }
    job.run(&mut Tx::sqlite(connection, counters));
    // Nothing can have been changed, so the answer stands even if this failed.
    let end = statement(connection, "COMMIT").or_else(|_| statement(connection, "ROLLBACK"));
    if let Err(error) = end {
        tracing::error!(%error, "failed to end a reading transaction");
    }
    counters.commit();
}

pub(super) fn statement(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.raw_execute().map(drop)
}

pub(super) fn transaction(step: &'static str, error: rusqlite::Error) -> StoreError {
    StoreError::Transaction {
        step,
        source: Arc::new(DriverError::Sqlite(error)),
    }
}
