//! How a worker works.

use std::sync::Arc;
use std::time::Duration;

use colony_reaper::Reapers;

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
    /// How long running tasks may go on once the worker is asked to end.
    pub grace: Duration,
    /// After how many tasks it ends by itself.
    pub max_tasks: Option<u64>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables that the command sees beside those of this process.
    pub environment: Vec<(String, String)>,
    /// The processes that start the commands and let nothing of them outlive its task. They are
    /// dismissed at the end.
    pub reapers: Arc<Reapers>,
}

impl WorkerOptions {
    /// A worker for one type with the usual numbers.
    pub fn new(kind: &str, command: &[String], reapers: Arc<Reapers>) -> Self {
        Self {
            types: vec![kind.to_owned()],
            worker_id: format!("worker-{}", std::process::id()),
            concurrency: 1,
            lease: Duration::from_secs(30),
            wait: Duration::from_secs(30),
            retry_delay: Duration::ZERO,
            grace: Duration::from_secs(30),
            max_tasks: None,
            command: command.to_vec(),
            environment: Vec::new(),
            reapers,
        }
    }

    /// The lease in milliseconds, as calls want it.
    pub(super) fn lease_ms(&self) -> Option<i64> {
        i64::try_from(self.lease.as_millis()).ok()
    }
}
