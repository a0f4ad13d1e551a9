//! A worker that runs a command for each task that it claims: a worker in any language.
//!
//! The command gets the task's input as JSON on stdin, and ids in its environment
//! (`COLONY_TASK_ID`, `COLONY_RUN_ID`, `COLONY_TASK_TYPE`, `COLONY_ATTEMPT`). Exit 0 completes the
//! task with its stdout as output, as JSON if it is JSON, else as text. Any other exit fails it: it
//! is tried again while retries are left. Leases are renewed meanwhile; a task that was cancelled
//! or lost is stopped.

use std::process::Stdio;
use std::time::Duration;

use colony_core::state::TaskStatus;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::runs::{ChangeTask, ClaimRequest, ClaimedTask, HeartbeatRequest};
use crate::runs_client::{ClientError, RunsClient};

/// The most of stderr that an error shows.
const STDERR_MAX: usize = 4_000;

/// How long to wait after the server could not be reached.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Types of tasks that it does.
    pub types: Vec<String>,
    /// What it is called.
    pub worker_id: String,
    /// Tasks at a time.
    pub concurrency: usize,
    /// How long a lease lasts; it is renewed three times meanwhile.
    pub lease: Duration,
    /// How long a claim waits for tasks.
    pub wait: Duration,
    /// How long before a failed task is tried again.
    pub retry_delay: Duration,
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl WorkerOptions {
    /// A worker for one type with the usual numbers.
    pub fn new(kind: &str, command: &[String]) -> Self {
        Self {
            types: vec![kind.to_owned()],
            worker_id: format!("worker-{}", std::process::id()),
            concurrency: 1,
            lease: Duration::from_secs(30),
            wait: Duration::from_secs(30),
            retry_delay: Duration::ZERO,
            command: command.to_vec(),
        }
    }
}

/// Works until `stop` becomes true; then claims nothing more and finishes what it has. Returns how
/// many tasks it reported.
///
/// # Errors
///
/// The server refuses, which will not get better. While it cannot be reached the worker waits.
pub async fn work(
    client: &RunsClient,
    options: &WorkerOptions,
    mut stop: watch::Receiver<bool>,
) -> Result<u64, ClientError> {
    let mut running = JoinSet::new();
    let mut done = 0;
    while !*stop.borrow() {
        while running.len() >= options.concurrency.max(1) {
            done += u64::from(running.join_next().await.is_some());
        }
        let room = options.concurrency.max(1) - running.len();
        let claim = ClaimRequest {
            types: options.types.clone(),
            worker_id: Some(options.worker_id.clone()),
            limit: i64::try_from(room).ok(),
            wait_ms: i64::try_from(options.wait.as_millis()).ok(),
            lease_ms: i64::try_from(options.lease.as_millis()).ok(),
        };
        let claimed = tokio::select! {
            claimed = client.claim(&claim) => claimed,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = running.join_next() => {
                done += 1;
                continue;
            }
        };
        match claimed {
            Ok(claimed) => {
                for task in claimed.tasks {
                    running.spawn(do_task(client.clone(), options.clone(), task));
                }
            }
            Err(error) if error.is_retryable() => {
                tracing::warn!("failed to claim tasks: {error}");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            Err(error) => return Err(error),
        }
    }
    while running.join_next().await.is_some() {
        done += 1;
    }
    Ok(done)
}

async fn do_task(client: RunsClient, options: WorkerOptions, claimed: ClaimedTask) {
    let token = claimed.lease_token.clone();
    let id = claimed.task.id.clone();
    let mut change = tokio::select! {
        change = attempt(&options, &claimed) => change,
        // Dropping the attempt ends its process.
        () = lose_lease(&client, &options, &token) => {
            tracing::info!(task.id = %id, "task was cancelled or its lease is over");
            return;
        }
    };
    change.lease_token = Some(token);
    // The lease bounds how long this can make sense.
    let report = async {
        loop {
            match client.change_task(&id, &change).await {
                Err(error) if error.is_retryable() => {
                    tracing::warn!(task.id = %id, "failed to report: {error}");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
                other => return other,
            }
        }
    };
    match tokio::time::timeout(options.lease, report).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(task.id = %id, "failed to report: {error}"),
        Err(_) => tracing::warn!(task.id = %id, "failed to report before the lease ended"),
    }
}

/// Renews the lease; ends when the task must stop.
async fn lose_lease(client: &RunsClient, options: &WorkerOptions, token: &str) {
    let beat = HeartbeatRequest {
        lease_tokens: vec![token.to_owned()],
        lease_ms: i64::try_from(options.lease.as_millis()).ok(),
    };
    loop {
        tokio::time::sleep(options.lease / 3).await;
        match client.heartbeat(&beat).await {
            Ok(leases) if leases.leases.iter().any(|held| held.stop) => return,
            Ok(_) => {}
            Err(error) => tracing::warn!("failed to renew a lease: {error}"),
        }
    }
}

/// Runs the command; says what to report.
async fn attempt(options: &WorkerOptions, claimed: &ClaimedTask) -> ChangeTask {
    let task = &claimed.task;
    match run_command(options, claimed).await {
        Ok(output) if output.status.success() => ChangeTask {
            status: Some(TaskStatus::Completed),
            output_data: Some(json_or_text(&output.stdout)),
            ..ChangeTask::default()
        },
        Ok(output) => {
            let stderr = tail(&output.stderr);
            let message = format!("command ended with {}", output.status);
            let code = output.status.code();
            let error = json!({ "message": message, "exitCode": code, "stderr": stderr });
            failed(options, task.retry_count < task.max_retries, error)
        }
        Err(error) => {
            let message = format!("command could not be run: {error}");
            let error = json!({ "message": message });
            failed(options, task.retry_count < task.max_retries, error)
        }
    }
}

fn failed(options: &WorkerOptions, retries_left: bool, error: Value) -> ChangeTask {
    ChangeTask {
        status: Some(if retries_left {
            TaskStatus::Retrying
        } else {
            TaskStatus::Failed
        }),
        error_data: Some(error),
        delay_ms: retries_left
            .then(|| i64::try_from(options.retry_delay.as_millis()).ok())
            .flatten(),
        ..ChangeTask::default()
    }
}

async fn run_command(
    options: &WorkerOptions,
    claimed: &ClaimedTask,
) -> std::io::Result<std::process::Output> {
    let task = &claimed.task;
    let (program, arguments) = options
        .command
        .split_first()
        .ok_or_else(|| std::io::Error::other("there is no command"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("COLONY_TASK_ID", &task.id)
        .env("COLONY_RUN_ID", &task.run_id)
        .env("COLONY_TASK_TYPE", &task.kind)
        .env("COLONY_ATTEMPT", task.retry_count.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let input = task.input_data.to_string();
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command need not read its input.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    output
}

fn json_or_text(stdout: &[u8]) -> Value {
    serde_json::from_slice(stdout).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(stdout);
        let text = text.trim_end_matches('\n');
        if text.is_empty() {
            Value::Null
        } else {
            Value::String(text.to_owned())
        }
    })
}

fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let skip = text.chars().count().saturating_sub(STDERR_MAX);
    text.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_json_or_text() {
        for (stdout, expected) in [
            ("{\"a\":1}\n", json!({ "a": 1 })),
            ("42", json!(42)),
            ("hello\nworld\n", json!("hello\nworld")),
            ("", Value::Null),
        ] {
            assert_eq!(json_or_text(stdout.as_bytes()), expected, "{stdout:?}");
        }
    }
}
