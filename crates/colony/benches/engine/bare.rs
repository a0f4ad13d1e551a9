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
    pub(crate) note: String,
}

/// Measures `work`, which does `count` things, between two runs of the bare loop.
pub(crate) fn compare(count: usize, work: impl FnOnce() -> String) -> Compared {
    let before = spawns_per_second(count);
    let start = Instant::now();
    let note = work();
    let per_second = count as f64 / start.elapsed().as_secs_f64();
    let after = spawns_per_second(count);
    Compared {
        per_second,
        bare_per_second: f64::midpoint(before, after),
        note,
    }
}
