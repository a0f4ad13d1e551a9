//! Closed loops: each caller sends its next request when the last one was answered.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::connection::Connection;

/// What was measured.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// What was done, of which each call may have done many.
    items: usize,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl Measured {
    /// So many things done by calls in a time.
    pub(crate) fn of_all(mut latencies: Vec<Duration>, items: usize, time: Duration) -> Self {
        latencies.sort_unstable();
        Self {
            per_second: items as f64 / time.as_secs_f64(),
            items,
            latencies,
        }
    }

    /// As if each call had been so many.
    pub(crate) fn times(mut self, calls: usize) -> Self {
        self.per_second *= calls as f64;
        self.items *= calls;
        self
    }

    fn percentile(&self, percent: usize) -> f64 {
        let index =
            (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies
            .get(index)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// Runs callers for a time. `turn` tells calls apart: no two are alike.
pub(crate) async fn closed_loop<F, R>(
    address: SocketAddr,
    callers: usize,
    time: Duration,
    call: F,
) -> Measured
where
    F: Fn(Connection, usize) -> R + Clone + Send + 'static,
    R: Future<Output = (Connection, Duration)> + Send,
{
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await;
                let mut latencies = Vec::new();
                let mut turn = caller;
                while start.elapsed() < time {
                    let (back, latency) = call(connection, turn).await;
                    connection = back;
                    latencies.push(latency);
                    turn += callers;
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a caller does not fail"));
    }
    let spent: Duration = latencies.iter().sum();
    let calls = latencies.len();
    // By the time spent in what is measured, so that preparing a call does not count.
    Measured::of_all(latencies, calls, spent.div_f64(callers as f64))
}

/// A line of the table.
pub(crate) struct Line<'l> {
    pub(crate) database: &'l str,
    pub(crate) what: &'l str,
    pub(crate) callers: usize,
    pub(crate) measured: &'l Measured,
    /// Processor time of the server: unlike the rate it hardly depends on what else the machine
    /// does.
    pub(crate) cpu: Duration,
    pub(crate) resident: u64,
    /// What else there is to say.
    pub(crate) note: &'l str,
}

impl Line<'_> {
    pub(crate) fn head() {
        write(&format!(
            "{:<10}  {:<34} {:>7} {:>11} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "database",
            "what",
            "callers",
            "per second",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "CPU µs",
            "RSS MiB"
        ));
    }

    pub(crate) fn print(&self) {
        let Self {
            database,
            what,
            callers,
            measured,
            cpu,
            resident,
            note,
        } = self;
        let cpu = cpu.as_secs_f64() * 1e6 / measured.items.max(1) as f64;
        let [p50, p95, p99] = [50, 95, 99].map(|percent| measured.percentile(percent));
        let per_second = measured.per_second;
        write(&format!(
            "{database:<10}  {what:<34} {callers:>7} {per_second:>11.0} {p50:>8.2} {p95:>8.2} {p99:>8.2} {cpu:>8.0} {resident:>8}  {note}"
        ));
    }
}

fn write(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("someone reads the results");
}
