//! The Runs API over HTTP, on both databases.
//!
//! `cargo xtask bench runs-api [-- SECONDS [WAITING [RUNS]] [WORD…]]`: seconds for each
//! measurement (2), the longest queue that is measured (1 000 000), the runs behind the lists
//! (100 000, with five times as many tasks), and words of the lines that are wanted (all):
//! `SQLite`, `PostgreSQL`, or a part of what is measured, such as `queue` (claim and completion of
//! tasks that are there) or `waiting` (the same behind long queues). The server is a process of its own, as
//! its memory is measured too; load and server share the machine.

mod connection;
mod lists;
mod load;
mod operations;
mod process;
mod queue;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use colony_testkit::TestPostgres;

use load::{Line, Measured};
use process::Process;

/// Connections of the closed loops over single operations.
const CONNECTIONS: [usize; 3] = [1, 32, 256];

/// Callers of the life cycles.
const CALLERS: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, database, ..] = arguments.as_slice()
        && word == "serve"
    {
        return process::serve(database);
    }
    let numbers: Vec<u64> = arguments
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    let wanted = Wanted::read(&arguments);
    let time = Duration::from_secs(numbers.first().copied().unwrap_or(2));
    let waiting_max = numbers.get(1).copied().unwrap_or(1_000_000);
    let runs = numbers.get(2).copied().unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a machine for benchmarks has room for a runtime");
    let directory = tempfile::tempdir().expect("a machine for benchmarks has room for a directory");
    let sqlite = format!("sqlite:{}", directory.path().join("colony.db").display());
    let postgres = TestPostgres::create("bench_runs_api");
    Line::head();
    for (name, database) in [(SQLITE, sqlite.as_str()), (POSTGRESQL, postgres.url())] {
        if wanted.database(name) {
            runtime.block_on(measure(name, database, time, waiting_max, &wanted));
        }
    }
    if !lists::paths(runs).iter().any(|path| wanted.line(path)) {
        return;
    }
    let sqlite = format!("sqlite:{}", directory.path().join("lists.db").display());
    let postgres = TestPostgres::create("bench_runs_api_lists");
    for (name, database) in [(SQLITE, sqlite.as_str()), (POSTGRESQL, postgres.url())] {
        if wanted.database(name) {
            lists::seed(database, runs);
            if name == POSTGRESQL {
                // As it would by itself within minutes.
                postgres.run("VACUUM ANALYZE");
            }
            runtime.block_on(measure_lists(name, database, time, runs, &wanted));
        }
    }
}

const SQLITE: &str = "SQLite";
const POSTGRESQL: &str = "PostgreSQL";

/// Which lines are wanted.
struct Wanted {
    databases: Vec<String>,
    lines: Vec<String>,
}

impl Wanted {
    fn read(arguments: &[String]) -> Self {
        // Cargo adds options of its own.
        let words = arguments.iter().filter(|word| !word.starts_with("--"));
        let words = words.filter(|word| word.parse::<u64>().is_err()).cloned();
        let (databases, lines) =
            words.partition(|word| [SQLITE, POSTGRESQL].contains(&word.as_str()));
        Self { databases, lines }
    }

    fn database(&self, name: &str) -> bool {
        self.databases.is_empty() || self.databases.iter().any(|word| word == name)
    }

    fn line(&self, what: &str) -> bool {
        self.lines.is_empty() || self.lines.iter().any(|word| what.contains(word.as_str()))
    }
}

async fn measure(name: &str, database: &str, time: Duration, waiting_max: u64, wanted: &Wanted) {
    let process = Process::start(database);
    let cpu_before = Cell::new(Duration::ZERO);
    let line = |what: &str, callers: usize, measured: &Measured, note: &str| {
        let cpu = process.cpu();
        Line {
            database: name,
            what,
            callers,
            measured,
            cpu: cpu.saturating_sub(cpu_before.get()),
            resident: process.resident_mib(),
            note,
        }
        .print();
        cpu_before.set(cpu);
    };
    let place = operations::prepare(process.address).await;
    cpu_before.set(process.cpu());
    let operations = operations::ALL.into_iter();
    for operation in operations.filter(|operation| wanted.line(operation.name())) {
        for callers in CONNECTIONS {
            let measured = load::closed_loop(process.address, callers, time, {
                let place = Arc::clone(&place);
                move |connection, turn| {
                    let place = Arc::clone(&place);
                    async move { operation.run(connection, &place, turn).await }
                }
            });
            line(operation.name(), callers, &measured.await, "");
        }
    }
    for batch in [1, 100] {
        let what = format!("create + claim + complete, {batch} a call");
        if !wanted.line(&what) {
            continue;
        }
        let measured = load::closed_loop(process.address, CALLERS, time, {
            let place = Arc::clone(&place);
            move |connection, turn| {
                let place = Arc::clone(&place);
                async move { operations::lifecycle(connection, &place, turn, batch).await }
            }
        });
        line(&what, CALLERS, &measured.await.times(batch), "");
    }
    let drains = queue::DRAINS.into_iter();
    let drains: Vec<_> = drains.filter(|drain| wanted.line(&drain.name())).collect();
    if !drains.is_empty() {
        let runs = queue::prepare(process.address).await;
        for drain in drains {
            let measured = drain.measure(process.address, &runs, || cpu_before.set(process.cpu()));
            let note = drain.wanted(name == POSTGRESQL);
            line(&drain.name(), drain.workers, &measured.await, &note);
        }
    }
    let (mut filled, mut shortest) = (0, None);
    if !wanted.line("claim + report, waiting") {
        return;
    }
    for waiting in [1_000, 100_000, 1_000_000]
        .into_iter()
        .filter(|n| *n <= waiting_max)
    {
        operations::fill(process.address, &place, waiting - filled).await;
        filled = waiting;
        cpu_before.set(process.cpu());
        let what = format!("claim + report, {waiting} waiting");
        let measured = load::closed_loop(process.address, CALLERS, time, {
            let place = Arc::clone(&place);
            move |connection, turn| {
                let place = Arc::clone(&place);
                async move { operations::claim_and_report(connection, &place, turn).await }
            }
        });
        let measured = measured.await;
        let first = *shortest.get_or_insert(measured.per_second);
        let note = format!("{:.2} times the first", measured.per_second / first);
        line(&what, CALLERS, &measured, &note);
    }
}

async fn measure_lists(name: &str, database: &str, time: Duration, runs: u64, wanted: &Wanted) {
    let process = Process::start(database);
    lists::open(process.address).await;
    for path in lists::paths(runs).iter().filter(|path| wanted.line(path)) {
        for callers in lists::CALLERS {
            let cpu = process.cpu();
            let measured = load::closed_loop(process.address, callers, time, {
                let path = path.clone();
                move |connection, _| {
                    let path = path.clone();
                    async move { lists::get(connection, &path).await }
                }
            });
            let measured = measured.await;
            Line {
                database: name,
                what: path,
                callers,
                measured: &measured,
                cpu: process.cpu().saturating_sub(cpu),
                resident: process.resident_mib(),
                note: "",
            }
            .print();
        }
    }
}
