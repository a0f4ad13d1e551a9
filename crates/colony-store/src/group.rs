//! What one transaction does for many callers, and how the guilty one among them is found.
//!
//! A writer takes what waits, runs it in one transaction and answers after the one commit. When
//! that is refused, nothing of it is stored; it is then run in halves, each in a transaction of its
//! own, until whoever caused it stands alone: the others are stored, a few together, and it fails
//! alone.

use std::collections::VecDeque;

use async_channel::Receiver;

use crate::job::Job;

/// Jobs of one transaction.
pub(crate) type Jobs = Vec<Box<dyn Job>>;

/// The most jobs in one transaction: more would only make the first ones wait.
const JOBS_MAX: usize = 256;

/// As soon as the jobs weigh so much, the transaction is full.
const WEIGHT_MAX: usize = 4096;

/// How a transaction ended.
pub(crate) enum Ended {
    /// Every job has its result.
    Settled,
    /// Nothing was stored, because of one of them.
    Refused,
}

/// Which jobs go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// Everything that waits.
    All,
    /// Closures with closures, each batch alone. Operations of one kind lock their rows in the
    /// order of their ids, so that transactions of several connections never wait for each other
    /// in a circle; operations of two kinds after each other would not.
    OfOneKind,
}

/// The jobs in front of a writer.
pub(crate) struct Line {
    waiting: Receiver<Box<dyn Job>>,
    /// Taken out already, or what a batch left for another transaction; before those that wait.
    kept: VecDeque<Box<dyn Job>>,
    company: Company,
}

impl Line {
    pub(crate) fn new(waiting: Receiver<Box<dyn Job>>, company: Company) -> Self {
        Self {
            waiting,
            kept: VecDeque::new(),
            company,
        }
    }

    /// Waits for a first job. None when the queue is closed and empty.
    pub(crate) fn first(&mut self) -> Option<Box<dyn Job>> {
        match self.kept.pop_front() {
            Some(job) => Some(job),
            None => self.waiting.recv_blocking().ok(),
        }
    }

    /// A first job with all that waits and may go with it.
    pub(crate) fn group(&mut self, first: Box<dyn Job>) -> Jobs {
        let mut weight = 0;
        let mut jobs = Vec::new();
        // What batches left comes after everything that has waited for this transaction.
        let mut left = Vec::new();
        let mut next = Some(first);
        while let Some(mut job) = next {
            if !self.is_welcome(&jobs, job.as_ref()) {
                self.kept.push_front(job);
                break;
            }
            let (heavy, rest) = job.gather();
            weight += heavy;
            left.extend(rest);
            jobs.push(job);
            next = match jobs.len() < JOBS_MAX && weight < WEIGHT_MAX {
                true => self
                    .kept
                    .pop_front()
                    .or_else(|| self.waiting.try_recv().ok()),
                false => None,
            };
        }
        self.kept.extend(left);
        jobs
    }

    fn is_welcome(&self, jobs: &Jobs, job: &dyn Job) -> bool {
        match self.company {
            Company::All => true,
            Company::OfOneKind => {
                jobs.is_empty() || !(job.is_batch() || jobs.iter().any(|job| job.is_batch()))
            }
        }
    }
}

/// Runs jobs by `transact`, together and then in halves, and answers them.
pub(crate) fn settle(jobs: Jobs, mut transact: impl FnMut(&mut Jobs) -> Ended) {
    let mut waiting = vec![jobs];
    while let Some(mut jobs) = waiting.pop() {
        match transact(&mut jobs) {
            Ended::Settled => answer(jobs),
            Ended::Refused => match halves(jobs) {
                Ok((first, second)) => {
                    waiting.push(second);
                    waiting.push(first);
                }
                // It has its error.
                Err(guilty) => guilty.answer(),
            },
        }
    }
}

fn answer(jobs: Jobs) {
    for job in jobs {
        job.answer();
    }
}

/// Two halves of a group, or of the batch that is all of it.
fn halves(mut jobs: Jobs) -> Result<(Jobs, Jobs), Box<dyn Job>> {
    let second = jobs.split_off(jobs.len() / 2);
    if !jobs.is_empty() {
        return Ok((jobs, second));
    }
    let alone = second.into_iter().next();
    let alone = alone.expect("a transaction has at least one job");
    let [first, second] = alone.split()?;
    Ok((vec![first], vec![second]))
}
