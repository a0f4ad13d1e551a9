//! The bare loop: nothing but spawning the command of the jobs.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::cpu::cpu_ms;
use crate::database::Database;

/// Spawns `sh -c true` so often, on as many threads as there are cores. Returns spawns a second.
pub(crate) fn spawns_per_second(count: usize) -> f64 {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let done = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while done.fetch_add(1, Ordering::Relaxed) < count {
                    spawn();
                }
            });
        }
    });
    count as f64 / start.elapsed().as_secs_f64()
}

/// Runs the command once, to its end.
pub(crate) fn spawn() {
    let status = Command::new("sh")
        .args(["-c", "true"])
        .stdin(Stdio::null())
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "sh -c true succeeds"
    );
}

/// A rate, and the bare loop's around it. Processor times are milliseconds for one thing.
pub(crate) struct Compared {
    pub(crate) per_second: f64,
    pub(crate) bare_per_second: f64,
    /// Of the measured process, with the commands.
    pub(crate) cpu_ms: f64,
    pub(crate) bare_cpu_ms: f64,
    /// Of the database server.
    pub(crate) server_cpu_ms: Option<f64>,
}

/// Measures `work` of a process, which does `count` things, between two runs of the bare loop.
pub(crate) fn compare(
    database: &Database,
    process: u32,
    count: usize,
    work: impl FnOnce(),
) -> Compared {
    let this = std::process::id();
    let server = database.server_process();
    let server_ms = || server.map(cpu_ms);
    let begin_ms = cpu_ms(this);
    let before = spawns_per_second(count);
    let bare_ms = cpu_ms(this) - begin_ms;
    let (work_ms, work_server_ms) = (cpu_ms(process), server_ms());
    let start = Instant::now();
    work();
    let per_second = count as f64 / start.elapsed().as_secs_f64();
    let (done_ms, done_server_ms) = (cpu_ms(process), server_ms());
    let after = spawns_per_second(count);
    let used = work_server_ms.zip(done_server_ms);
    Compared {
        per_second,
        bare_per_second: f64::midpoint(before, after),
        cpu_ms: (done_ms - work_ms) / count as f64,
        bare_cpu_ms: bare_ms / count as f64,
        server_cpu_ms: used.map(|(before, after)| (after - before) / count as f64),
    }
}
