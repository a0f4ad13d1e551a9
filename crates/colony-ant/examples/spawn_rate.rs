//! How much an ant costs: one-command attempts through an [`Ant`], and a bare loop that spawns the
//! same command, with as many at once, in one run.
//!
//! ```text
//! cargo run --release -p colony-ant --example spawn_rate -- [attempts] [at once] [directory]
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use colony_ant::{Ant, AntConfig, DirectObjects, Link, ReaperCommand, Shutdown};
use colony_core::id::{AttemptRef, Epoch, IdSource, MonotonicIds, RequestId, TaskId};
use colony_core::method::Method;
use colony_core::time::SystemClock;
use colony_wire::{AntMessage, ArtifactRules, Order, Outcome, Phases, QueenMessage};
use object_store::memory::InMemory;
use tokio::sync::mpsc;

/// Rounds of each kind, by turns: the machine's mood changes, and an ant that has worked before in
/// its directory is faster.
const ROUNDS: usize = 3;

#[expect(clippy::print_stdout, reason = "the result is what this is for")]
fn main() {
    let mut args = std::env::args().skip(1).peekable();
    if args.peek().is_some_and(|first| first == "reaper") {
        return colony_reaper::run().unwrap();
    }
    let attempts = args.next().map_or(3000, |text| text.parse().unwrap());
    let at_once = args.next().map_or(4, |text| text.parse().unwrap());
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let (bare, bare_cpu) = cost(attempts, || bare_loop(attempts, at_once));
        let (ant, ant_cpu) = cost(attempts, || {
            work_on(&runtime, ant(attempts, at_once, dir.path().to_owned()));
        });
        let (ratio, cpu_ratio) = (100.0 * ant / bare, 100.0 * bare_cpu / ant_cpu);
        println!(
            "round {round}: bare loop {bare:.0}/s {bare_cpu:.0} us, \
             ant {ant:.0}/s {ant_cpu:.0} us: {ratio:.0} % by the clock, {cpu_ratio:.0} % by CPU time"
        );
        ratios.push((ratio, cpu_ratio));
    }
    let median = |mut numbers: Vec<f64>| {
        numbers.sort_by(f64::total_cmp);
        numbers[ROUNDS / 2]
    };
    let (ratios, cpu_ratios) = ratios.into_iter().unzip();
    println!(
        "median {:.0} % by the clock, {:.0} % by CPU time",
        median(ratios),
        median(cpu_ratios)
    );
}

/// Attempts per second, and CPU time of one in microseconds, children included.
fn cost(attempts: usize, work: impl FnOnce()) -> (f64, f64) {
    let (start, cpu) = (Instant::now(), cpu_ticks());
    work();
    let attempts = attempts as f64;
    let ticks = (cpu_ticks() - cpu) as f64;
    let rate = attempts / start.elapsed().as_secs_f64();
    (rate, ticks * 10_000.0 / attempts)
}

/// CPU time of this process and its children so far, in hundredths of a second.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields
        .skip(11)
        .take(4)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

/// Threads that spawn and wait, and nothing else.
fn bare_loop(attempts: usize, at_once: usize) {
    let left = AtomicUsize::new(attempts);
    let work = || {
        let take = |left: usize| left.checked_sub(1);
        while left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
        {
            let status = std::process::Command::new("/bin/sh")
                .args(["-c", "true"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            assert!(status.unwrap().success());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(work);
        }
    });
}

/// Runs the queen where a real one runs: on the threads of the runtime.
fn work_on(runtime: &tokio::runtime::Runtime, work: impl Future<Output = ()> + Send + 'static) {
    runtime.block_on(runtime.spawn(work)).unwrap();
}

/// A queen that keeps the ant full.
async fn ant(attempts: usize, at_once: usize, dir: PathBuf) {
    let (to_queen, mut from_ant) = mpsc::channel(256);
    let (to_ant, from_queen) = mpsc::channel(256);
    let link = Link {
        to_queen,
        from_queen,
    };
    let mut config = AntConfig::new("bench", dir, ReaperCommand::of_this_program());
    // The bare loop has children of its own.
    config.reaper.adopts = false;
    config.capacity = u32::try_from(at_once).unwrap();
    let ids = Arc::new(MonotonicIds::new(SystemClock));
    let ant = Ant::new(
        config,
        link,
        Arc::new(DirectObjects::new(Arc::new(InMemory::new()))),
        Arc::new(SystemClock),
        Arc::clone(&ids) as _,
    );
    let shutdown = Shutdown::new();
    let ant = tokio::spawn(ant.run(shutdown.clone()));
    let heartbeat_ms = 5000;
    let welcome = QueenMessage::Welcome { heartbeat_ms };
    to_ant.send(welcome).await.unwrap();
    let start = || QueenMessage::Start(Box::new(order(&*ids)));
    for _ in 0..at_once.min(attempts) {
        to_ant.send(start()).await.unwrap();
    }
    let mut reported = 0;
    while reported < attempts {
        // The channel is long enough that no report is repeated.
        if let AntMessage::Report(report) = from_ant.recv().await.unwrap() {
            assert_eq!(report.outcome, Outcome::Completed);
            let (attempt, accepted) = (report.attempt, true);
            let stored = QueenMessage::ReportStored { attempt, accepted };
            to_ant.send(stored).await.unwrap();
            reported += 1;
            if reported + at_once <= attempts {
                to_ant.send(start()).await.unwrap();
            }
        }
    }
    shutdown.drain();
    ant.await.unwrap().unwrap();
}

fn order(ids: &dyn IdSource) -> Order {
    Order {
        attempt: AttemptRef {
            task_id: TaskId::new(ids.next_uuid()),
            epoch: Epoch(1),
        },
        request_id: RequestId::new(ids.next_uuid()),
        job_type: "bench".to_owned(),
        task_type: "true".to_owned(),
        method: Method::Shell,
        phases: Phases {
            script: vec!["true".to_owned()],
            ..Phases::default()
        },
        environment: BTreeMap::new(),
        working_dir: None,
        timeout_ms: 60_000,
        artifacts: ArtifactRules::default(),
        dependencies: Vec::new(),
        report_stdout: false,
        secrets: Vec::new(),
    }
}
