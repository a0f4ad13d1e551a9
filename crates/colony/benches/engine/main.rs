//! How fast a queen with its embedded ant runs jobs, and what it costs at rest.
//!
//! Everything is printed in one run, beside a bare loop that only spawns the same command on the
//! same cores: on a noisy machine the ratio says more than the rates. `COLONY_TEST_POSTGRES_URL`
//! names a server for the second database; `cargo xtask bench engine` provides one.
//!
//! Arguments: `JOBS` (default 3000) and `MANY` (jobs before memory is read again, default 10000);
//! `sqlite` or `postgresql` for one of them only.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod bare;
mod inside;
mod queen;
mod report;

use inside::Inside;
use queen::Queen;
use report::{Row, print_table};

fn main() {
    if std::env::args().nth(1).is_some_and(|word| word == "reaper") {
        return colony_reaper::run().expect("an ant has started it");
    }
    let words = std::env::args().skip(1);
    // Cargo passes `--bench`.
    let words: Vec<String> = words.filter(|word| !word.starts_with('-')).collect();
    let (numbers, named): (Vec<String>, Vec<String>) =
        (words.into_iter()).partition(|word| word.parse::<usize>().is_ok());
    let mut numbers = numbers.iter().filter_map(|word| word.parse().ok());
    let jobs = numbers.next().unwrap_or(3000);
    let many = numbers.next().unwrap_or(10_000);
    let mut rows = Vec::new();
    for database in queen::databases(&named) {
        println!("measuring on {} …", database.name());
        let inside = Inside::measure(&database, jobs);
        rows.push(Row::rate(
            &database,
            "one-task SHELL jobs, inside one process",
            inside,
        ));
        let queen = Queen::start(&database);
        rows.push(Row::value(
            &database,
            "start to ready",
            format!("{:.0} ms", queen.ready_ms),
        ));
        rows.push(Row::value(&database, "memory at rest", queen.memory()));
        rows.push(Row::value(&database, "at rest for 5 s", queen.at_rest()));
        rows.push(Row::rate(
            &database,
            "one-task SHELL jobs, over HTTP",
            queen.throughput(jobs),
        ));
        rows.push(Row::value(
            &database,
            "submit to first task started",
            queen.latency(),
        ));
        queen.run_jobs(many.saturating_sub(jobs));
        let what = format!("memory after {} jobs", many.max(jobs));
        rows.push(Row::value(&database, &what, queen.memory()));
    }
    print_table(&rows);
}
