//! How fast a queen with its embedded ant runs jobs, and what it costs.
//!
//! Everything is printed in one run, beside a bare loop that only spawns the same command on the
//! same cores: on a noisy machine the ratio says more than the rates. `COLONY_TEST_POSTGRES_URL`
//! names a server for the second database; `cargo xtask bench engine` provides one.
//!
//! Arguments, in any order: parts (`jobs` and `run` unless some are named), databases (`sqlite`,
//! `postgresql`; both unless one is named), numbers (`3000 10000` is short for those of `jobs`).
//!
//! | part | what | numbers |
//! | --- | --- | --- |
//! | `jobs` | one-task jobs inside and over HTTP, what each costs, memory, rest | `jobs=3000`, `many=10000` (before memory is read again) |
//! | `run` | `colony run`: a chain of tasks, a cold start | |
//! | `fairness` | the first job of a type behind a crowd of another | `ready=50000`, `unserved=20000` |
//! | `soak` | a steady load: memory, submit to start | `rate=200`, `seconds=20` |

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod arguments;
mod bare;
mod command;
mod cpu;
mod database;
mod fairness;
mod inside;
mod jobs;
mod marks;
mod queen;
mod report;
mod soak;

use std::time::Duration;

use arguments::{Arguments, Part};
use database::Kind;
use inside::Inside;
use queen::Queen;
use report::Table;

fn main() {
    if std::env::args().nth(1).is_some_and(|word| word == "reaper") {
        return colony_reaper::run().expect("an ant has started it");
    }
    let arguments = Arguments::read();
    let mut table = Table::new();
    for kind in arguments.databases.clone() {
        for part in &arguments.parts {
            match part {
                Part::Jobs => {
                    inside(kind, &arguments, &mut table);
                    over_http(kind, &arguments, &mut table);
                }
                Part::Run => run(kind, &mut table),
                Part::Fairness => fairness(kind, &arguments, &mut table),
                Part::Soak => soak(kind, &arguments, &mut table),
            }
        }
    }
    table.print();
}

fn inside(kind: Kind, arguments: &Arguments, table: &mut Table) {
    let database = kind.fresh();
    let inside = Inside::start(&database);
    let (rate, costs) = inside.throughput(arguments.number("jobs", 3000));
    table.add_rate(kind, "one-task SHELL jobs, inside one process", &rate);
    table.add(kind, "… cost of a job, many at once", costs);
    table.add(kind, "… one after the other", inside.alone(200));
    table.add(kind, "… tasks of chains of 50", inside.chains(10));
}

fn over_http(kind: Kind, arguments: &Arguments, table: &mut Table) {
    let jobs = arguments.number("jobs", 3000);
    let many = arguments.number("many", 10_000);
    let database = kind.fresh();
    let queen = Queen::start(&database);
    table.add(kind, "start to ready", format!("{:.0} ms", queen.ready_ms));
    table.add(kind, "memory at rest", queen.memory());
    table.add(kind, "at rest for 5 s", queen.at_rest());
    let rate = queen.throughput(jobs);
    table.add_rate(kind, "one-task SHELL jobs, over HTTP", &rate);
    table.add(kind, "submit to first command", queen.latency());
    queen.run_jobs(many.saturating_sub(jobs));
    let what = format!("memory after {} jobs", many.max(jobs));
    table.add(kind, &what, queen.memory());
    table.add(kind, "complaints", queen.complaints());
}

fn run(kind: Kind, table: &mut Table) {
    table.add(kind, "colony run, chain of 50", command::chains(kind));
    table.add(kind, "colony run, one job, cold", command::cold(kind));
}

fn fairness(kind: Kind, arguments: &Arguments, table: &mut Table) {
    let crowd = arguments.number("unserved", 20_000);
    let waits = fairness::behind_unserved(&kind.fresh(), crowd);
    table.add(kind, &format!("start behind {crowd} unserved"), waits);
    let crowd = arguments.number("ready", 50_000);
    let waits = fairness::behind_ready(&kind.fresh(), crowd);
    table.add(kind, &format!("start behind {crowd} ready"), waits);
}

fn soak(kind: Kind, arguments: &Arguments, table: &mut Table) {
    let rate = u32::try_from(arguments.number("rate", 200)).unwrap_or(u32::MAX);
    let seconds = arguments.number("seconds", 20);
    let seen = soak::measure(&kind.fresh(), rate, Duration::from_secs(seconds as u64));
    let what = |what: &str| format!("{rate} jobs/s for {seconds} s, {what}");
    table.add(kind, &what("submit to start"), seen.latency);
    table.add(kind, &what("memory"), seen.memory);
    table.add(kind, &what("complaints"), seen.complaints);
}
