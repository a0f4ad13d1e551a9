//! The loop: claim tasks as far as there is room, start them, and end in two steps.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::options::WorkerOptions;
use super::task::{Ended, TaskWork};
use crate::runs::{ClaimRequest, ClaimedTask};
use crate::runs_client::{ClientError, RunsClient};

/// How long to wait after the server could not be reached.
pub(super) const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What is wanted of a worker. Later ones are stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stop {
    /// Work on.
    #[default]
    No,
    /// Claim nothing more; running tasks have the grace time.
    Drain,
    /// Stop running tasks and give them back.
    Now,
}

/// What a worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Attempts that completed their task.
    pub completed: u64,
    /// Attempts that failed, whether their task is tried again or not.
    pub failed: u64,
    /// Tasks that were cancelled or lost meanwhile.
    pub stopped: u64,
    /// Tasks that were given back.
    pub given_back: u64,
}

impl Summary {
    fn add(&mut self, ended: Ended) {
        match ended {
            Ended::Completed => self.completed += 1,
            Ended::Failed => self.failed += 1,
            Ended::Stopped => self.stopped += 1,
            Ended::GivenBack => self.given_back += 1,
        }
    }

    /// All tasks.
    pub fn total(&self) -> u64 {
        self.completed + self.failed + self.stopped + self.given_back
    }
}

/// Works until it is asked to stop, or has done as many tasks as the options let it.
///
/// # Errors
///
/// The server refuses, which will not get better. Running tasks are stopped and, if the server lets
/// us, given back before. While it cannot be reached the worker waits.
pub async fn work(
    client: &RunsClient,
    options: &WorkerOptions,
    mut stop: watch::Receiver<Stop>,
) -> Result<Summary, ClientError> {
    let mut worker = Worker::new(client.clone(), options.clone());
    let claimed = tokio::select! {
        claimed = worker.claim_tasks() => claimed,
        () = asked(&mut stop, Stop::Drain) => Ok(()),
    };
    match claimed {
        Ok(()) => worker.drain(&mut stop).await,
        Err(_) => worker.end_now().await,
    }
    options.reapers.dismiss().await;
    claimed.map(|()| worker.summary)
}

/// Resolves once at least that is wanted. A sender that is gone wants everything to end.
async fn asked(stop: &mut watch::Receiver<Stop>, wanted: Stop) {
    let _ = stop.wait_for(|stop| *stop >= wanted).await;
}

struct Worker {
    client: RunsClient,
    options: Arc<WorkerOptions>,
    running: JoinSet<Ended>,
    halt: watch::Sender<bool>,
    claimed: u64,
    summary: Summary,
}

impl Worker {
    fn new(client: RunsClient, options: WorkerOptions) -> Self {
        Self {
            client,
            options: Arc::new(options),
            running: JoinSet::new(),
            halt: watch::Sender::new(false),
            claimed: 0,
            summary: Summary::default(),
        }
    }

    /// How many more tasks may be claimed now, and whether ever.
    fn room(&self) -> (u64, bool) {
        let busy = self.running.len() as u64;
        let free = (self.options.concurrency.max(1) as u64).saturating_sub(busy);
        let left = match self.options.max_tasks {
            Some(max) => max.saturating_sub(self.claimed),
            None => u64::MAX,
        };
        (free.min(left), left > 0)
    }

    /// Claims and starts tasks until there have been enough.
    async fn claim_tasks(&mut self) -> Result<(), ClientError> {
        loop {
            match self.room() {
                (_, false) => return Ok(()),
                (0, true) => self.next_end().await,
                (room, true) => {
                    for task in self.claim(room).await? {
                        self.start(task);
                    }
                }
            }
        }
    }

    /// One claim, repeated while the server is away. It is never given up halfway for a task that
    /// ends: its answer may be on the way.
    async fn claim(&mut self, room: u64) -> Result<Vec<ClaimedTask>, ClientError> {
        let (client, options) = (self.client.clone(), Arc::clone(&self.options));
        let claim = patient_claim(&client, &options, room);
        tokio::pin!(claim);
        loop {
            tokio::select! {
                claimed = &mut claim => return claimed,
                Some(ended) = self.running.join_next() => self.note(ended),
            }
        }
    }

    fn start(&mut self, claimed: ClaimedTask) {
        self.claimed += 1;
        let work = TaskWork {
            client: self.client.clone(),
            options: Arc::clone(&self.options),
            halt: self.halt.subscribe(),
            claimed,
        };
        self.running.spawn(work.run());
    }

    async fn next_end(&mut self) {
        if let Some(ended) = self.running.join_next().await {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(ended) => self.summary.add(ended),
            Err(error) => tracing::error!("a task of this worker broke: {error}"),
        }
    }

    /// Lets running tasks end within the grace time; then they are given back.
    async fn drain(&mut self, stop: &mut watch::Receiver<Stop>) {
        let grace = self.options.grace;
        let in_time = async {
            while !self.running.is_empty() {
                self.next_end().await;
            }
        };
        tokio::select! {
            () = in_time => return,
            () = over(stop, grace) => {}
        }
        self.end_now().await;
    }

    async fn end_now(&mut self) {
        self.halt.send_replace(true);
        while !self.running.is_empty() {
            self.next_end().await;
        }
    }
}

/// Resolves when the worker must not wait any longer for running tasks.
async fn over(stop: &mut watch::Receiver<Stop>, grace: Duration) {
    // Those of a worker that has done enough may take as long as they take.
    asked(stop, Stop::Drain).await;
    // Whichever is first.
    let _ = tokio::time::timeout(grace, asked(stop, Stop::Now)).await;
}

async fn patient_claim(
    client: &RunsClient,
    options: &WorkerOptions,
    room: u64,
) -> Result<Vec<ClaimedTask>, ClientError> {
    let claim = ClaimRequest {
        types: options.types.clone(),
        worker_id: Some(options.worker_id.clone()),
        limit: i64::try_from(room).ok(),
        wait_ms: i64::try_from(options.wait.as_millis()).ok(),
        lease_ms: options.lease_ms(),
    };
    let mut away = false;
    loop {
        match client.claim(&claim).await {
            Ok(claimed) => {
                if away {
                    tracing::info!("the server answers again");
                }
                return Ok(claimed.tasks);
            }
            Err(error) if error.is_retryable() => {
                if !away {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "the server cannot be reached; waiting for it");
                }
                away = true;
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            Err(error) => return Err(error),
        }
    }
}
