//! `colony run`, a process for each job.

use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::bare;
use crate::database::{Database, Kind};
use crate::jobs::{CHAIN_TASKS, ONE, chain};
use crate::marks::percentile;

/// How often each is run.
const TIMES: usize = 15;

/// A chain of `true`, beside as many spawns one after the other.
pub(crate) fn chains(kind: Kind) -> String {
    let command = median((0..TIMES).map(|_| run(&chain("true"), &kind.fresh())));
    let bare = median((0..TIMES).map(|_| {
        let start = Instant::now();
        (0..CHAIN_TASKS).for_each(|_| bare::spawn());
        millis(start)
    }));
    let [each, bare_each] = [command, bare].map(|ms| ms / CHAIN_TASKS as f64);
    format!("{each:.2} ms a task, {command:.0} ms in all (bare: {bare_each:.2} ms)")
}

/// One job on an empty database, and one on the database of the last one.
pub(crate) fn cold(kind: Kind) -> String {
    let first = median((0..TIMES).map(|_| run(ONE, &kind.fresh())));
    let database = kind.fresh();
    run(ONE, &database);
    let again = median((0..TIMES).map(|_| run(ONE, &database)));
    format!("{first:.1} ms, {again:.1} ms where a job was run before")
}

/// Milliseconds of a whole process.
fn run(definition: &str, database: &Database) -> f64 {
    let dir: &TempDir = &database.dir;
    let file = dir.path().join("job.yaml");
    std::fs::write(&file, definition).expect("room for a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_colony"));
    command
        .arg("run")
        .arg(file)
        .arg("--data-dir")
        .arg(dir.path().join("data"));
    if let Some(url) = database.url() {
        command.env("COLONY_DATABASE_URL", url);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("the program starts");
    assert!(status.success(), "the job is done");
    millis(start)
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    percentile(&numbers, 50)
}
