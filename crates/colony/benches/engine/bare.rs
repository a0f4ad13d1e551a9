//! The bare loop: nothing but spawning the command of the jobs.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Spawns `sh -c true` so often, on as many threads as there are cores. Returns spawns a second.
pub(crate) fn spawns_per_second(count: usize) -> f64 {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let done = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while done.fetch_add(1, Ordering::Relaxed) < count {
                    let status = Command::new("sh")
                        .args(["-c", "true"])
                        .stdin(Stdio::null())
                        .status();
                    assert!(
                        status.is_ok_and(|status| status.success()),
                        "sh -c true succeeds"
                    );
                }
            });
        }
    });
    count as f64 / start.elapsed().as_secs_f64()
}

/// A rate, and the bare loop's around it.
pub(crate) struct Compared {
    pub(crate) per_second: f64,
    pub(crate) bare_per_second: f64,
    /// Processor time of this process and its children for one thing, in milliseconds.
    pub(crate) cpu_ms: f64,
    pub(crate) bare_cpu_ms: f64,
    pub(crate) note: String,
}

/// Measures `work`, which does `count` things, between two runs of the bare loop.
pub(crate) fn compare(count: usize, work: impl FnOnce() -> String) -> Compared {
    let begin_ms = cpu_ms();
    let before = spawns_per_second(count);
    let work_ms = cpu_ms();
    let start = Instant::now();
    let note = work();
    let per_second = count as f64 / start.elapsed().as_secs_f64();
    let done_ms = cpu_ms();
    let after = spawns_per_second(count);
    Compared {
        per_second,
        bare_per_second: f64::midpoint(before, after),
        cpu_ms: (done_ms - work_ms) / count as f64,
        bare_cpu_ms: (work_ms - begin_ms) / count as f64,
        note,
    }
}

/// Processor time of this process and its children so far: fields 14 to 17 of `/proc/self/stat`,
/// in ticks of 10 ms.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc is there");
    let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = fields[11..15].iter().map(|ticks| ticks.parse::<f64>());
    ticks.map(|ticks| ticks.expect("a number")).sum::<f64>() * 10.0
}
