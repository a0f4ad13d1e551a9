//! How a worker works.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    /// Is told of every process group.
    pub groups: Option<GroupWatch>,
}

/// Is told of every process group of a worker as it begins and ends, so that somebody can end those
/// of a worker that was itself killed.
#[derive(Clone)]
pub struct GroupWatch(Arc<dyn Fn(GroupChange) + Send + Sync>);

/// A process group begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupChange {
    /// It was started.
    Started(i32),
    /// Nobody is left in it.
    Ended(i32),
}

impl GroupWatch {
    /// Has a function told.
    pub fn new(tell: impl Fn(GroupChange) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(super) fn tell(&self, change: GroupChange) {
        (self.0)(change);
    }
}

impl fmt::Debug for GroupWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupWatch")
    }
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
            grace: Duration::from_secs(30),
            max_tasks: None,
            command: command.to_vec(),
            environment: Vec::new(),
            groups: None,
        }
    }

    /// The lease in milliseconds, as calls want it.
    pub(super) fn lease_ms(&self) -> Option<i64> {
        i64::try_from(self.lease.as_millis()).ok()
    }
}
