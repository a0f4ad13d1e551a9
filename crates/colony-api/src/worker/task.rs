//! One task under its lease: run its command, renew meanwhile, report.

use std::sync::Arc;
use std::time::Duration;

use colony_core::state::TaskStatus;
use tokio::sync::watch;
use tokio::time::Instant;

use super::claim::AFTER_FAILURE;
use super::command::{self, End};
use super::options::WorkerOptions;
use super::report;
use crate::runs::{ChangeTask, ClaimedTask, HeartbeatRequest};
use crate::runs_client::{ClientError, RunsClient};

/// How long a result is reported beyond the end of its lease.
const REPORT_LONGER: Duration = Duration::from_secs(5 * 60);

/// How an attempt of this worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Completed,
    Failed,
    /// It was cancelled, or its lease was over.
    Stopped,
    GivenBack,
}

/// What is needed to do one task.
pub(super) struct TaskWork {
    pub(super) client: RunsClient,
    pub(super) options: Arc<WorkerOptions>,
    pub(super) halt: watch::Receiver<bool>,
    pub(super) claimed: ClaimedTask,
}

impl TaskWork {
    /// Does the task; nothing of its command is left afterwards.
    pub(super) async fn run(mut self) -> Ended {
        let started = Instant::now();
        let (change, mut ended) = self.attempt(started).await;
        let task = &self.claimed.task;
        let stored = match change {
            Some(change) => self.report(change).await.map(Some),
            None => Ok(None),
        };
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                let error: &dyn std::error::Error = &*error;
                tracing::warn!(task.id, error, "the end of a task could not be reported");
                return Ended::Stopped;
            }
        };
        let reason = stored.as_ref().and_then(report::reason_of);
        if ended == Ended::Completed && reason.is_some() {
            ended = Ended::Failed;
        }
        let duration_ms = started.elapsed().as_millis();
        tracing::info!(
            task.id,
            task.r#type = task.kind,
            duration_ms,
            reason,
            "task {ended}"
        );
        ended
    }

    /// Runs the command until it ends or has to; says what to report.
    async fn attempt(&mut self, started: Instant) -> (Option<ChangeTask>, Ended) {
        let (task, options) = (&self.claimed.task, &*self.options);
        let lost = lose_lease(&self.client, options, &self.claimed, started);
        let halt = &mut self.halt;
        let stop = async {
            tokio::select! {
                () = lost => None,
                // A worker that is gone wants the same.
                _ = halt.wait_for(|halt| *halt) => Some(report::give_back()),
            }
        };
        let change = match command::run(options, task, stop).await {
            Ok(End::Ended(output)) => report::of_output(task, options, &output),
            Ok(End::Stopped(None)) => return (None, Ended::Stopped),
            Ok(End::Stopped(change)) => return (change, Ended::GivenBack),
            Err(error) if colony_reaper::is_want(&error) => {
                tracing::warn!(task.id, %error, "no room for a command on this host");
                // Others have time to take it, and this host to recover.
                tokio::time::sleep(AFTER_FAILURE).await;
                return (Some(report::give_back()), Ended::GivenBack);
            }
            Err(error) => report::of_failure(task, options, &error),
        };
        match change.status {
            Some(TaskStatus::Completed) => (Some(change), Ended::Completed),
            _ => (Some(change), Ended::Failed),
        }
    }

    /// Reports for as long as the lease can last, and longer unless the worker is to end: a server that was frozen or without
    /// its database lets leases last longer, and refuses what comes too late. Returns what was stored. An output that the
    /// server does not take fails the task with the server's reason.
    async fn report(
        &self,
        mut change: ChangeTask,
    ) -> Result<ChangeTask, Box<dyn std::error::Error + Send + Sync>> {
        change.lease_token = Some(self.claimed.lease_token.clone());
        let id = &self.claimed.task.id;
        let reports = async {
            loop {
                match self.client.change_task(id, &change).await {
                    Ok(_) => return Ok(change),
                    Err(error) if error.is_retryable() => tokio::time::sleep(AFTER_FAILURE).await,
                    Err(error) if is_unusable(&error) && change.output_data.is_some() => {
                        change = ChangeTask {
                            lease_token: change.lease_token.take(),
                            ..report::of_refusal(&error)
                        };
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        tokio::select! {
            reported = reports => reported,
            () = self.patience() => Err("the server was away until the lease ended".into()),
        }
    }

    /// Ends when there is no point in reporting any more.
    async fn patience(&self) {
        tokio::time::sleep(self.options.lease).await;
        let mut halt = self.halt.clone();
        // A worker that is gone, or whose patience is over, gives up.
        let _ = tokio::time::timeout(REPORT_LONGER, halt.wait_for(|halt| *halt)).await;
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "was cancelled or its lease is over; stopped",
            Self::GivenBack => "given back",
        })
    }
}

/// The server cannot take the body: too large, or not what it stores.
fn is_unusable(error: &ClientError) -> bool {
    matches!(error.status(), Some(400 | 413))
}

/// Renews the lease; resolves when the task must stop, also when nobody answers until the lease is
/// over: someone else may have the task then.
async fn lose_lease(
    client: &RunsClient,
    options: &WorkerOptions,
    claimed: &ClaimedTask,
    started: Instant,
) {
    let beat = HeartbeatRequest {
        lease_tokens: vec![claimed.lease_token.clone()],
        lease_ms: options.lease_ms(),
    };
    let mut renewed = started;
    while renewed.elapsed() < options.lease {
        tokio::time::sleep(pause(options.lease, renewed.elapsed())).await;
        let now = Instant::now();
        let left = options.lease.saturating_sub(renewed.elapsed());
        match tokio::time::timeout(left, client.heartbeat(&beat)).await {
            Ok(Ok(leases)) if leases.leases.iter().any(|held| held.stop) => return,
            Ok(Ok(_)) => renewed = now,
            Ok(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(task.id = claimed.task.id, error, "failed to renew a lease");
            }
            Err(_) => {}
        }
    }
}

/// A third of the lease, but not beyond its end.
fn pause(lease: Duration, elapsed: Duration) -> Duration {
    (lease / 3).min(lease.saturating_sub(elapsed))
}
