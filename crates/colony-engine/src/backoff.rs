//! Pauses between tries at something that fails.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that grow, and that differ between loops and processes, so that not everybody asks in
/// the moment in which a database is back.
#[derive(Debug)]
pub(crate) struct Backoff {
    seed: u64,
    tries: u32,
}

impl Backoff {
    /// For one loop, by its name.
    pub(crate) fn new(name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (name, std::process::id()).hash(&mut hasher);
        Self {
            seed: hasher.finish(),
            tries: 0,
        }
    }

    /// It went well: the next pause is a short one.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    /// How long to pause after one more failure: from half of the pause to all of it.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = (SHORTEST * 2_u32.pow(self.tries.min(10))).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let mut hasher = DefaultHasher::new();
        (self.seed, self.tries).hash(&mut hasher);
        let half = pause / 2;
        let spread = u64::try_from(half.as_millis()).unwrap_or(0).max(1);
        half + Duration::from_millis(hasher.finish() % spread)
    }

    /// Pauses after one more failure.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_differ() {
        let (mut one, mut other) = (Backoff::new("one"), Backoff::new("other"));
        let pauses: Vec<Duration> = (0..40).map(|_| one.next()).collect();
        assert!(pauses[0] >= SHORTEST / 2 && pauses[0] < SHORTEST);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses[39] >= LONGEST / 2);
        let others: Vec<Duration> = (0..40).map(|_| other.next()).collect();
        assert_ne!(pauses, others);
        one.reset();
        assert!(one.next() < SHORTEST);
    }
}
