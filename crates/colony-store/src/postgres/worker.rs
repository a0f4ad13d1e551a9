//! A thread of PostgreSQL: runs closures, and runs them again when the server asks for it.

use std::time::{Duration, Instant};

use async_channel::Receiver;

use super::failure::Failure;
use super::session::{Commit, Session, refused_commit};
use crate::error::{DriverError, StoreError};
use crate::job::{Job, Mode};
use crate::migrate::{self, MigrateError};
use crate::stats::Counters;
use crate::tx::Tx;

/// How often a closure is run before its collisions with others are reported.
const TRIES_MAX: u32 = 12;

/// How long a closure waits for a lost server to come back, from when it was given.
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// Runs reading closures until the queue is closed and empty.
pub(super) fn run(mut session: Session, jobs: &Receiver<Box<dyn Job>>, counters: &Counters) {
    while let Ok(mut job) = jobs.recv_blocking() {
        if job.is_abandoned() {
            continue;
        }
        finish(&mut session, job.as_mut(), counters);
        job.answer();
    }
}

/// Runs a closure alone until it has its result.
pub(super) fn finish(session: &mut Session, job: &mut dyn Job, counters: &Counters) {
    if let Err(error) = transact(session, job, counters) {
        job.fail(error);
    }
}

/// Brings the schema up to date.
pub(super) fn migrate(session: &mut Session) -> Result<(), MigrateError> {
    session.begin(begin(Mode::Write), false);
    let migrated = migrate::run(&mut Tx::postgres(session, &Counters::default()));
    if migrated.is_err() {
        session.roll_back();
        return migrated;
    }
    match session.commit() {
        Commit::Done => Ok(()),
        Commit::Refused(_, error) => Err(error.into()),
        Commit::Unknown(error) => Err(refused_commit(error).into()),
    }
}

/// Runs the closure in transactions until one is done. On success, and when the closure itself
/// failed, the job holds its result.
fn transact(
    session: &mut Session,
    job: &mut dyn Job,
    counters: &Counters,
) -> Result<(), StoreError> {
    for attempt in 1..=TRIES_MAX {
        ensure_connected(session, job.since())?;
        session.begin(begin(job.mode()), false);
        let succeeded = job.run(&mut Tx::postgres(session, counters));
        let failure = if succeeded {
            match session.commit() {
                Commit::Done => {
                    counters.commit();
                    return Ok(());
                }
                Commit::Refused(Failure::Final, error) => return Err(error),
                Commit::Refused(failure, _) => failure,
                Commit::Unknown(error) => {
                    session.disconnect();
                    return unknown(job.mode(), &error);
                }
            }
        } else {
            session.roll_back();
            session.failure().unwrap_or(Failure::Final)
        };
        match failure {
            Failure::Final => return Ok(()),
            Failure::TakenOver => return Err(StoreError::TakenOver),
            Failure::Lost => {
                session.disconnect();
                if job.since().elapsed() > RECONNECT_MAX {
                    return Err(StoreError::Unreachable { source: None });
                }
            }
            Failure::Conflict => std::thread::sleep(pause(attempt, session.number())),
        }
    }
    Err(StoreError::Conflict {
        attempts: TRIES_MAX,
    })
}

/// READ COMMITTED is enough for writing: verbs lock or check the rows that they change. Reading
/// sees one state of the database, as on SQLite.
fn begin(mode: Mode) -> &'static str {
    match mode {
        Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Mode::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    }
}

/// What a connection that was lost while committing means: nothing, if there was nothing to store.
fn unknown(mode: Mode, error: &DriverError) -> Result<(), StoreError> {
    match mode {
        Mode::Read => Ok(()),
        Mode::Write => Err(StoreError::OutcomeUnknown {
            reason: error.to_string(),
        }),
    }
}

/// Whoever has waited long enough while the server was away is refused at once, so that a queue
/// of closures does not wait for its turns to wait.
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
                source: Some(Box::new(error)),
            });
        }
        std::thread::sleep(10 * pause(attempt, session.number()));
    }
    Ok(())
}

/// A wait that grows with each attempt, up to 64 ms, and differs between threads, so that those
/// who collided do not meet again.
fn pause(attempt: u32, session: usize) -> Duration {
    let longest = 1_u64 << attempt.min(6);
    // Spreads successive small numbers over the whole range (the multiplier of SplitMix64).
    let seed = (u64::from(attempt) << 32) | session as u64;
    let spread = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    Duration::from_micros(longest * 500 + spread % (longest * 500))
}
