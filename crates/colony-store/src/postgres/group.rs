//! Group commit on PostgreSQL.
//!
//! Everything that waits goes into one transaction, each closure in a savepoint of its own, and is
//! answered after the one commit. The words between closures travel together with the first
//! statement of the next one, so that a closure of one statement costs one round trip, and the
//! wait for the disk is shared.
//!
//! The price is that rows stay locked until the group ends. Only one thread of a store writes, so
//! its groups never wait for each other; a group that waits long for another store gives way, and
//! its closures are then run one by one.

use async_channel::Receiver;

use super::failure::Failure;
use super::session::{Commit, Session};
use super::worker;
use crate::error::StoreError;
use crate::job::Job;
use crate::stats::Counters;
use crate::tx::Tx;

/// The most closures in one transaction: more would only make the first ones wait.
const GROUP_MAX: usize = 128;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                     SET LOCAL lock_timeout = '100ms'; SAVEPOINT closure";
const NEXT: &str = "RELEASE SAVEPOINT closure; SAVEPOINT closure";
const UNDO: &str = "ROLLBACK TO SAVEPOINT closure";

/// How a group ended.
enum Ended {
    /// Every job has its result.
    Done,
    /// Nothing was stored; the closures are to be run one by one.
    GaveWay,
}

/// Runs writing closures until the queue is closed and empty.
pub(super) fn run(mut session: Session, queue: &Receiver<Box<dyn Job>>, counters: &Counters) {
    while let Ok(first) = queue.recv_blocking() {
        let mut jobs = vec![first];
        while jobs.len() < GROUP_MAX
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        let ended = match jobs.len() {
            1 => Ended::GaveWay,
            _ => write_group(&mut session, &mut jobs, counters),
        };
        for mut job in jobs {
            if matches!(ended, Ended::GaveWay) {
                worker::finish(&mut session, job.as_mut(), counters);
            }
            job.answer();
        }
    }
}

fn write_group(session: &mut Session, jobs: &mut [Box<dyn Job>], counters: &Counters) -> Ended {
    if session.connect().is_err() {
        return Ended::GaveWay;
    }
    session.begin(BEGIN, true);
    let mut succeeded = Vec::with_capacity(jobs.len());
    for job in jobs.iter_mut() {
        let done = job.run(&mut Tx::postgres(session, counters));
        if session.failure().is_some_and(Failure::is_of_all) {
            session.roll_back();
            return Ended::GaveWay;
        }
        session.next(if done { NEXT } else { UNDO });
        succeeded.push(done);
    }
    match session.commit() {
        Commit::Done => counters.commit(),
        Commit::Refused(..) => {
            session.roll_back();
            return Ended::GaveWay;
        }
        Commit::Unknown(error) => {
            session.disconnect();
            let reason = error.to_string();
            for (job, _) in jobs.iter_mut().zip(succeeded).filter(|(_, done)| *done) {
                job.fail(StoreError::OutcomeUnknown {
                    reason: reason.clone(),
                });
            }
        }
    }
    Ended::Done
}
