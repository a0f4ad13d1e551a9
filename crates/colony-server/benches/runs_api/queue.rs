//! A queue that is emptied: what other queues show as their claim and completion of jobs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::connection::Connection;
use crate::load::Measured;
use crate::operations;

/// The tasks belong to so many runs.
const RUNS: usize = 200;

const TYPE: &str = "queue";

/// A line that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    pub(crate) workers: usize,
    /// How many tasks a call takes.
    pub(crate) batch: usize,
    /// How many there are at first.
    tasks: usize,
    /// Tasks a second that are wanted, on SQLite and on PostgreSQL.
    wanted: [Option<u32>; 2],
}

pub(crate) const DRAINS: [Drain; 5] = [
    Drain::new(1, 1, 3_000, [Some(2_000), Some(1_500)]),
    Drain::new(16, 1, 20_000, [None, Some(6_000)]),
    Drain::new(64, 1, 30_000, [None, Some(12_000)]),
    Drain::new(1, 100, 50_000, [None, Some(25_000)]),
    Drain::new(16, 100, 50_000, [None, Some(25_000)]),
];

impl Drain {
    const fn new(workers: usize, batch: usize, tasks: usize, wanted: [Option<u32>; 2]) -> Self {
        Self {
            workers,
            batch,
            tasks,
            wanted,
        }
    }

    pub(crate) fn name(self) -> String {
        format!("queue: claim + complete, {} a call", self.batch)
    }

    /// What is wanted of it, for people.
    pub(crate) fn wanted(self, is_postgresql: bool) -> String {
        let wanted = self.wanted[usize::from(is_postgresql)];
        wanted.map_or(String::new(), |rate| format!("wanted {rate}"))
    }

    /// Fills the queue, then empties it. Only emptying counts, from when `filled` is called.
    pub(crate) async fn measure(
        self,
        address: SocketAddr,
        runs: &[String],
        filled: impl FnOnce(),
    ) -> Measured {
        fill(address, runs, self.tasks).await;
        filled();
        let start = Instant::now();
        let left = Arc::new(AtomicUsize::new(self.tasks));
        let workers: Vec<_> = (0..self.workers)
            .map(|_| tokio::spawn(work(address, self.batch, Arc::clone(&left))))
            .collect();
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.extend(worker.await.expect("a worker does not fail"));
        }
        Measured::of_all(latencies, self.tasks, start.elapsed())
    }
}

/// The runs that the tasks belong to.
pub(crate) async fn prepare(address: SocketAddr) -> Vec<String> {
    let mut connection = Connection::open(address).await;
    let mut runs = Vec::new();
    for n in 0..RUNS {
        runs.push(operations::create_run(&mut connection, n).await);
    }
    runs
}

/// Tasks of one after the other run, so that a batch that is claimed is of many.
async fn fill(address: SocketAddr, runs: &[String], tasks: usize) {
    let mut connection = Connection::open(address).await;
    let mut runs = runs.iter().cycle();
    let mut left = tasks;
    while left > 0 {
        let batch = left.min(1000);
        let tasks: Vec<Value> = (runs.by_ref().take(batch))
            .map(|run| json!({ "runId": run, "type": TYPE, "inputData": {} }))
            .collect();
        let body = json!({ "tasks": tasks }).to_string();
        connection.call("POST", "/tasks/batch", &body).await;
        left -= batch;
    }
}

/// Claims and reports until nothing is left. Returns how long each turn took.
async fn work(address: SocketAddr, batch: usize, left: Arc<AtomicUsize>) -> Vec<Duration> {
    let mut connection = Connection::open(address).await;
    let claim = json!({ "types": [TYPE], "limit": batch }).to_string();
    let mut latencies = Vec::new();
    while left.load(Ordering::Relaxed) > 0 {
        let start = Instant::now();
        let claimed = connection.call("POST", "/tasks/claim", &claim).await;
        let done = operations::report(&mut connection, &claimed, batch == 1).await;
        // What others have claimed may be the last.
        if done > 0 {
            left.fetch_sub(done, Ordering::Relaxed);
            latencies.push(start.elapsed());
        }
    }
    latencies
}
