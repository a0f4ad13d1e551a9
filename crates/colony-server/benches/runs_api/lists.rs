//! Lists over many rows: every filter, every order, deep pages.
//!
//! The rows are written by statements, not by calls: what is measured is reading.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use colony_store::ledger::block::{Counted, count_blocks};
use colony_store::{Database, Dialect, Store, StoreConfig, StoreError, Tx};

use crate::connection::Connection;

/// Rows in one transaction.
const CHUNK: u64 = 100_000;

/// Tasks of a run.
const TASKS: u64 = 5;

/// The run whose tasks are listed.
const RUN: u64 = 1000;

/// Callers of the closed loops.
pub(crate) const CALLERS: [usize; 2] = [1, 32];

/// Writes so many runs, each with five tasks. Most have ended; some failed, some wait, and those
/// that are retried are all among the oldest.
pub(crate) fn seed(database: &str, runs: u64) {
    let database = Database::parse(database).expect("the bench gives a database");
    let store = Store::open(&StoreConfig::new(database)).expect("the database opens");
    for (table, rows) in [("runs", runs), ("tasks", runs * TASKS)] {
        for first in (0..rows).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX)) {
            let last = (first + CHUNK).min(rows) - 1;
            store
                .write_blocking(move |tx| insert(tx, table, first, last))
                .expect("the rows fit the schema");
        }
    }
    // As the first far page of a list has it done.
    for counted in [Counted::Runs, Counted::Tasks] {
        while store
            .write_blocking(move |tx| count_blocks(tx, counted, "bench"))
            .expect("rows can be counted")
        {}
    }
}

fn insert(tx: &mut Tx<'_>, table: &str, first: u64, last: u64) -> Result<u64, StoreError> {
    let (numbers, run, task) = match tx.dialect() {
        Dialect::Sqlite => (
            "WITH RECURSIVE numbers (n) AS \
             (SELECT $1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $2)",
            "unhex(printf('%032x', n + 1))",
            "unhex(printf('%032x', n / 5 + 1))",
        ),
        Dialect::Postgres => (
            "WITH numbers (n) AS (SELECT generate_series(CAST($1 AS BIGINT), CAST($2 AS BIGINT)))",
            "CAST(lpad(to_hex(n + 1), 32, '0') AS UUID)",
            "CAST(lpad(to_hex(n / 5 + 1), 32, '0') AS UUID)",
        ),
    };
    let status = "CASE WHEN n % 1000 = 3 AND n < 100000 THEN '{rare}' \
         WHEN n % 100 < 3 THEN 'failed' WHEN n % 100 = 3 THEN 'cancelled' \
         WHEN n % 100 = 4 THEN 'running' WHEN n % 100 < 7 THEN 'pending' ELSE 'completed' END";
    let (into, rare, values) = match table {
        "runs" => (
            "runs (id, total_tasks, completed_tasks, failed_tasks, metadata",
            "pending",
            format!("{run}, 5, 5, 0, '{{\"source\":\"bench\"}}'"),
        ),
        _ => (
            "tasks (id, run_id, type, retry_count, max_retries, epoch",
            "retrying",
            format!("{run}, {task}, 'bench', 0, 3, 1"),
        ),
    };
    let status = status.replace("{rare}", rare);
    let sql = format!(
        "{numbers}, rows (n, status) AS (SELECT n, {status} FROM numbers) \
         INSERT INTO {into}, org_id, status, input, created_at, updated_at, started_at, \
         completed_at) SELECT {values}, 'bench', status, '{{\"payload\":\"xxxxxxxxxxxxxxxxxx\"}}', \
         n, n + 70, CASE WHEN status <> 'pending' THEN n + 20 END, \
         CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN n + 70 - n % 50 END \
         FROM rows"
    );
    let bound = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    tx.execute(&sql, &[&bound(first), &bound(last)])
}

/// The paths that are measured.
pub(crate) fn paths(runs: u64) -> Vec<String> {
    let mut paths = Vec::new();
    for (list, rows, rare) in [
        ("/runs", runs, "cancelled"),
        ("/tasks", runs * TASKS, "retrying"),
    ] {
        for query in [
            String::new(),
            "&status=completed".to_owned(),
            "&status=failed".to_owned(),
            "&status=pending".to_owned(),
            format!("&status={rare}"),
            "&status=nonsense".to_owned(),
            "&sortBy=started_at".to_owned(),
            "&sortBy=completed_at&sortOrder=asc".to_owned(),
            "&status=completed&sortBy=completed_at".to_owned(),
            "&status=failed&sortBy=started_at&sortOrder=asc".to_owned(),
            format!("&status={rare}&sortBy=started_at"),
            format!("&offset={}", rows / 100),
            format!("&offset={}", rows / 10),
            format!("&offset={}", rows / 2),
            format!("&offset={}", rows - 1000),
            format!("&status=completed&offset={}", rows / 4),
            format!("&sortBy=completed_at&offset={}", rows / 4),
        ] {
            paths.push(format!("{list}?limit=20{query}"));
        }
    }
    let run = format!(
        "/tasks?limit=20&runId={:08}-0000-0000-0000-{:012x}",
        0,
        RUN + 1
    );
    paths.push(run.clone());
    paths.push(format!("{run}&status=completed"));
    paths
}

/// One call.
pub(crate) async fn get(mut connection: Connection, path: &str) -> (Connection, Duration) {
    let start = Instant::now();
    connection.call("GET", path, "").await;
    (connection, start.elapsed())
}

/// Waits until the server is up.
pub(crate) async fn open(address: SocketAddr) {
    get(Connection::open(address).await, "/runs?limit=1").await;
}
