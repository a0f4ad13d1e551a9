//! A thread of PostgreSQL: runs jobs in transactions, and runs them again when the server asks for
//! it.
//!
//! A writer takes closures that wait together into one transaction, and each batch into one of its
//! own: see [`Company::OfOneKind`]. All statements that need no answer travel together with the next
//! one that does. No savepoint parts the closures of a group: one that is refused takes the group
//! with it, which is then run in halves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Receiver;

use super::failure::Failure;
use super::session::Session;
use super::transaction::{Commit, Outcome, refused_commit};
use crate::error::{DriverError, StoreError};
use crate::group::{Company, Ended, Jobs, Line, settle};
use crate::job::{Job, Mode};
use crate::migrate::{self, MigrateError};
use crate::stats::Counters;
use crate::tx::Tx;
use crate::unknown::Unknown;

/// How often a job that stands alone is run before its collisions with others are reported.
const TRIES_MAX: u32 = 12;

/// How often a group is run before it is run in halves.
const GROUP_TRIES_MAX: u32 = 3;

/// How long a job waits for a lost server to come back, from when it was given.
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// READ COMMITTED is enough for writing: verbs lock or check the rows that they change. Reading
/// sees one state of the database, as on SQLite.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Closures after each other lock rows in any order. A group of them that waits long for another
/// connection gives way, before the server looks for circles (which it does after a second).
const BEGIN_GROUP: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                           SET LOCAL lock_timeout = '100ms'";

/// Runs reading closures until the queue is closed and empty.
pub(super) fn read(session: Session, queue: &Receiver<Box<dyn Job>>, counters: &Counters) {
    let mut worker = Worker {
        session,
        counters,
        unknown: &Unknown::default(),
    };
    while let Ok(job) = queue.recv_blocking() {
        if !job.is_abandoned() {
            settle(vec![job], |jobs| worker.transact(jobs));
        }
    }
}

/// Runs writing jobs until the queue is closed and empty.
pub(super) fn write(
    session: Session,
    queue: Receiver<Box<dyn Job>>,
    counters: &Counters,
    unknown: &Unknown,
) {
    let mut worker = Worker {
        session,
        counters,
        unknown,
    };
    let mut line = Line::new(queue, Company::OfOneKind);
    while let Some(first) = line.first() {
        let jobs = line.group(first);
        settle(jobs, |jobs| worker.transact(jobs));
    }
}

/// Brings the schema up to date.
pub(super) fn migrate(session: &mut Session) -> Result<(), MigrateError> {
    session.begin(BEGIN_WRITE, Mode::Write);
    let migrated = migrate::run(&mut Tx::postgres(session, &Counters::default()));
    if migrated.is_err() {
        session.roll_back();
        return migrated;
    }
    match session.commit(Mode::Write) {
        Commit::Done => Ok(()),
        Commit::Refused(_, error) => Err(error.into()),
        Commit::Unknown(error, _) => Err(refused_commit(error).into()),
    }
}

struct Worker<'c> {
    session: Session,
    counters: &'c Counters,
    unknown: &'c Unknown,
}

impl Worker<'_> {
    /// Runs jobs in transactions until one is done.
    fn transact(&mut self, jobs: &mut Jobs) -> Ended {
        let since = jobs.iter().map(|job| job.since()).max();
        let since = since.unwrap_or_else(Instant::now);
        let tries = match jobs.len() {
            1 => TRIES_MAX,
            _ => GROUP_TRIES_MAX,
        };
        let mut collisions = 0;
        while collisions < tries {
            if let Err(error) = ensure_connected(&mut self.session, since) {
                return settle_all(jobs, &error);
            }
            let failure = match self.attempt(jobs) {
                Ok(ended) => return ended,
                Err(failure) => failure,
            };
            match failure {
                Failure::Final => return Ended::Refused,
                Failure::TakenOver => return settle_all(jobs, &StoreError::TakenOver),
                Failure::Lost => {
                    self.session.abandon();
                    if since.elapsed() > RECONNECT_MAX {
                        return settle_all(jobs, &StoreError::Unreachable { source: None });
                    }
                }
                Failure::Conflict => {
                    collisions += 1;
                    // Who comes back at once meets the same one, who has not been woken yet.
                    if collisions < tries {
                        std::thread::sleep(pause(collisions, self.session.number()));
                    }
                }
            }
        }
        fail_all(jobs, &StoreError::Conflict { attempts: tries });
        Ended::Refused
    }

    /// Runs jobs in one transaction. When it may be tried again, says why it failed.
    fn attempt(&mut self, jobs: &mut Jobs) -> Result<Ended, Failure> {
        let mode = jobs.first().map_or(Mode::Read, |job| job.mode());
        self.session.begin(begin(jobs), mode);
        for job in jobs.iter_mut() {
            let mut tx = Tx::postgres(&mut self.session, self.counters);
            let succeeded = job.run(&mut tx);
            let untouched = !job.is_batch() && tx.is_untouched();
            let failure = self.session.failure();
            if failure.is_some() || !(succeeded || untouched) {
                self.session.roll_back();
                return Err(failure.unwrap_or(Failure::Final));
            }
        }
        match self.session.commit(mode) {
            Commit::Done => {
                self.counters.commit();
                Ok(Ended::Settled)
            }
            Commit::Refused(Failure::Final, error) => {
                fail_all(jobs, &error);
                Ok(Ended::Refused)
            }
            Commit::Refused(failure, _) => Err(failure),
            Commit::Unknown(error, lost) => {
                self.session.disconnect();
                // Where there was nothing to store, nothing is unknown.
                if mode == Mode::Read {
                    return Ok(Ended::Settled);
                }
                match lost.map_or(Outcome::Unknown, |lost| self.session.outcome(lost)) {
                    Outcome::Committed => {
                        self.counters.commit();
                        Ok(Ended::Settled)
                    }
                    Outcome::RolledBack => Err(Failure::Lost),
                    Outcome::Unknown => {
                        self.give_up(jobs, &error);
                        Ok(Ended::Settled)
                    }
                }
            }
        }
    }

    /// Nobody knows whether the jobs are done.
    fn give_up(&self, jobs: &mut Jobs, error: &DriverError) {
        let reason = error.to_string();
        tracing::error!("it is not known whether a transaction was stored: {reason}");
        // What failed of itself has changed nothing.
        for job in jobs.iter_mut().filter(|job| job.has_succeeded()) {
            let reason = reason.clone();
            job.fail(StoreError::OutcomeUnknown { reason });
        }
        self.unknown.tell();
    }
}

fn begin(jobs: &Jobs) -> &'static str {
    match jobs.as_slice() {
        [job] if job.mode() == Mode::Read => BEGIN_READ,
        [_] => BEGIN_WRITE,
        _ => BEGIN_GROUP,
    }
}

/// Every job has this error for its result.
fn fail_all(jobs: &mut Jobs, error: &StoreError) {
    for job in jobs {
        job.fail(error.clone());
    }
}

fn settle_all(jobs: &mut Jobs, error: &StoreError) -> Ended {
    fail_all(jobs, error);
    Ended::Settled
}

/// Whoever has waited long enough while the server was away is refused at once, so that a queue
/// of jobs does not wait for its turns to wait.
fn ensure_connected(session: &mut Session, since: Instant) -> Result<(), StoreError> {
    let mut attempt = 0;
    while !session.is_connected() {
        if since.elapsed() > RECONNECT_MAX && session.is_refused() {
            return Err(StoreError::Unreachable { source: None });
        }
        let Err(error) = session.connect() else {
            return Ok(());
        };
        attempt += 1;
        if Failure::of(&error) == Failure::Final || since.elapsed() > RECONNECT_MAX {
            return Err(StoreError::Unreachable {
                source: Some(Arc::new(error)),
            });
        }
        std::thread::sleep(10 * pause(attempt, session.number()));
    }
    Ok(())
}

/// A wait that grows with each attempt, up to 16 ms, and differs between threads, so that those
/// who collided do not meet again.
fn pause(attempt: u32, session: usize) -> Duration {
    let longest = 1_u64 << attempt.min(4);
    // Spreads successive small numbers over the whole range (the multiplier of SplitMix64).
    let seed = (u64::from(attempt) << 32) | session as u64;
    let spread = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    Duration::from_micros(longest * 500 + spread % (longest * 500))
}
