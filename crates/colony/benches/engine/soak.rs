//! A steady load for a long time.

use std::time::{Duration, Instant};

use colony_testkit::block_on;

use crate::database::Database;
use crate::marks::{Marks, percentile};
use crate::queen::{Queen, submit};

/// What was seen.
pub(crate) struct Soak {
    /// Milliseconds from when a job was to be submitted to its command.
    pub(crate) latency: String,
    pub(crate) memory: String,
    pub(crate) complaints: String,
}

/// One-task jobs at a rate, whether or not the queen keeps up.
pub(crate) fn measure(database: &Database, per_second: u32, time: Duration) -> Soak {
    let queen = Queen::start(database);
    let mut marks = Marks::listen(database.dir.path());
    queen.save(marks.definition("mark", ""));
    block_on(async {
        let mut due = Vec::new();
        let mut resident = vec![(0.0, queen.memory_mb())];
        let mut heard = Vec::new();
        let start = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        while start.elapsed() < time {
            // Late ticks follow at once, so that a stall counts for all that were due in it.
            let at = ticks.tick().await.into_std();
            let (client, number) = (queen.client.clone(), due.len());
            tokio::spawn(async move { submit(&client, "mark", Some(number)).await });
            due.push(at);
            if due.len().is_multiple_of(per_second as usize) {
                resident.push((start.elapsed().as_secs_f64() / 60.0, queen.memory_mb()));
                heard.extend(marks.take());
            }
        }
        while heard.len() < due.len()
            && let Some(one) = marks.next(Duration::from_secs(30)).await
        {
            heard.push(one);
        }
        let millis = (heard.iter())
            .map(|(number, at)| at.duration_since(due[*number]).as_secs_f64() * 1000.0);
        Soak {
            latency: latency(millis.collect(), due.len()),
            memory: memory(&resident),
            complaints: queen.complaints(),
        }
    })
}

fn latency(mut millis: Vec<f64>, due: usize) -> String {
    millis.sort_by(f64::total_cmp);
    let [p50, p99, worst] = [50, 99, 100].map(|percent| percentile(&millis, percent));
    format!(
        "p50 {p50:.1} ms, p99 {p99:.1} ms, worst {worst:.0} ms; {} of {due} started",
        millis.len()
    )
}

fn memory(resident: &[(f64, f64)]) -> String {
    let [first, last] = [resident.first(), resident.last()];
    let mb = |sample: Option<&(f64, f64)>| sample.map_or(0.0, |(_, mb)| *mb);
    // What is filled at first, such as caches, is not growth.
    let settled = &resident[resident.len() / 2..];
    format!(
        "{:.0} MB at first, {:.0} MB in the end; slope {:+.2} MB/min, of the second half {:+.2}",
        mb(first),
        mb(last),
        slope(resident),
        slope(settled)
    )
}

/// By least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let above: f64 = (points.iter())
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    above / below.max(f64::MIN_POSITIVE)
}
