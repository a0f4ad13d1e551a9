//! Waiting for conditions. Nothing else in tests sleeps.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

const POLL_EVERY: Duration = Duration::from_millis(5);

/// Polls until the condition gives `Ok`; returns that.
///
/// # Panics
///
/// The deadline passes. The message shows the status that the condition gave last.
pub fn wait_for<T, S: Display>(
    deadline: Duration,
    mut condition: impl FnMut() -> Result<T, S>,
) -> T {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(status) => give_up_after(start, deadline, &status),
        }
        std::thread::sleep(POLL_EVERY);
    }
}

/// As [`wait_for`], with an async condition.
///
/// # Panics
///
/// The deadline passes.
pub async fn wait_for_async<T, S: Display>(
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let start = Instant::now();
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(status) => give_up_after(start, deadline, &status),
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

fn give_up_after(start: Instant, deadline: Duration, status: &impl Display) {
    assert!(
        start.elapsed() < deadline,
        "waited {deadline:?} in vain; last seen: {status}"
    );
}

/// Runs a future on a runtime of its own with two threads.
///
/// # Panics
///
/// When the future panics.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a test machine has room for a runtime")
        .block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_until_the_condition_holds() {
        let mut polls = 0;
        let value = wait_for(Duration::from_secs(5), || {
            polls += 1;
            if polls < 3 { Err("not yet") } else { Ok(polls) }
        });
        assert_eq!(value, 3);
    }

    #[test]
    #[should_panic(expected = "last seen: 2 of 5 done")]
    fn the_last_status_is_shown_at_the_deadline() {
        wait_for(Duration::from_millis(1), || Err::<(), _>("2 of 5 done"));
    }
}
