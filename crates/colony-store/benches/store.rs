//! How many one-row transactions a store does, by number of concurrent callers.
//!
//! `cargo xtask bench store [-- SECONDS]`. Each line is one measurement on a fresh database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use colony_store::{Store, StoreError, params};
use colony_testkit::TestStore;

fn main() {
    // `cargo bench` adds `--bench`.
    let seconds = std::env::args()
        .filter_map(|argument| argument.parse::<u64>().ok())
        .next()
        .unwrap_or(3);
    let time = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a machine for benchmarks has room for a runtime");

    line(
        "database",
        "what",
        "callers",
        "per second",
        "p50 ms",
        "p99 ms",
    );
    let measure = |db: &TestStore, what, callers, call: &dyn Fn(&TestStore) -> Measured| {
        report(db, what, callers, &call(db));
    };
    for make in [TestStore::sqlite as fn() -> TestStore, || {
        TestStore::postgres("bench")
    }] {
        for callers in [1, 64, 256] {
            measure(&make(), "write one row", callers, &|db| {
                runtime.block_on(run(db, callers, time, write))
            });
        }
        for callers in [1, 64] {
            measure(&make(), "write 100 rows", callers, &|db| {
                runtime.block_on(run(db, callers, time, write_many))
            });
        }
        for callers in [1, 64] {
            measure(&make(), "read one row", callers, &|db| {
                runtime.block_on(run(db, 64, time / 4, write));
                runtime.block_on(run(db, callers, time, read))
            });
        }
    }
}

struct Measured {
    per_second: f64,
    latencies: Vec<Duration>,
}

/// Keeps a number of callers busy, each with one call at a time.
async fn run<F, R>(db: &TestStore, callers: u64, time: Duration, call: F) -> Measured
where
    F: Fn(Store, i64) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Result<(), StoreError>> + Send,
{
    db.write(|tx| {
        tx.execute(
            "CREATE TABLE IF NOT EXISTS bench (id BIGINT PRIMARY KEY, state TEXT NOT NULL)",
            &[],
        )
    })
    .await
    .expect("a table can be made");
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, next) = (Store::clone(db), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < time {
                    let number = next.fetch_add(1, Ordering::Relaxed).cast_signed();
                    let called = Instant::now();
                    call(store.clone(), number).await.expect("calls succeed");
                    latencies.push(called.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("callers do not panic"));
    }
    let elapsed = start.elapsed();
    latencies.sort_unstable();
    Measured {
        per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
        latencies,
    }
}

async fn write(store: Store, number: i64) -> Result<(), StoreError> {
    store
        .write(move |tx| {
            let sql = "INSERT INTO bench (id, state) VALUES ($1, $2)";
            tx.execute(sql, &[&number, &"READY"]).map(drop)
        })
        .await
}

async fn write_many(store: Store, number: i64) -> Result<(), StoreError> {
    let ids: Vec<i64> = (number * 100..(number + 1) * 100).collect();
    store
        .write(move |tx| {
            let sql = "INSERT INTO bench (id, state) VALUES {rows: id, text}";
            tx.execute_rows(sql, &[], &ids, |id| params![id, "READY"])
                .map(drop)
        })
        .await
}

async fn read(store: Store, number: i64) -> Result<(), StoreError> {
    let id = number % 100;
    store
        .read(move |tx| {
            let row = tx.query_one("SELECT state FROM bench WHERE id = $1", &[&id])?;
            row.get::<String>(0).map(drop)
        })
        .await
}

fn report(db: &TestStore, what: &str, callers: u64, measured: &Measured) {
    let at = |share: usize| {
        let index = (measured.latencies.len() * share / 100).min(measured.latencies.len() - 1);
        format!("{:.2}", measured.latencies[index].as_secs_f64() * 1000.0)
    };
    line(
        &format!("{:?}", db.dialect()),
        what,
        &callers.to_string(),
        &format!("{:.0}", measured.per_second),
        &at(50),
        &at(99),
    );
}

#[expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]
fn line(database: &str, what: &str, callers: &str, per_second: &str, p50: &str, p99: &str) {
    println!("{database:10} {what:16} {callers:>8} {per_second:>12} {p50:>9} {p99:>9}");
}
