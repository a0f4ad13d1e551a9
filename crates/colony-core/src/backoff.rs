//! How long to wait before the next attempt (`job-definitions` 7.4).

use std::time::Duration;

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

/// `retry_backoff_policy`: waits that grow by a factor up to a maximum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first wait.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
    /// Each wait is this many times the one before.
    pub factor: f64,
    /// Take a random wait between `min` and the computed one.
    pub jitter: bool,
}

impl Backoff {
    /// The wait after `retries_done` earlier retries.
    pub fn delay(&self, retries_done: u32, rng: &mut dyn Rng) -> Duration {
        let exponent = i32::try_from(retries_done).unwrap_or(i32::MAX);
        let seconds = self.min.as_secs_f64() * self.factor.max(0.0).powi(exponent);
        let delay = Duration::try_from_secs_f64(seconds)
            .unwrap_or(self.max)
            .min(self.max);
        if self.jitter {
            between(self.min.min(delay), delay, rng)
        } else {
            delay
        }
    }
}

/// A wait between attempts: a policy, a fixed delay, or the default range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// Wins when present.
    pub backoff: Option<Backoff>,
    /// `delay_between_retries`.
    pub delay: Option<Duration>,
}

impl Wait {
    /// The wait after `retries_done` earlier retries; without a setting, a random one from `default`.
    pub fn pick(
        &self,
        retries_done: u32,
        default: (Duration, Duration),
        rng: &mut dyn Rng,
    ) -> Duration {
        match (self.backoff, self.delay) {
            (Some(backoff), _) => backoff.delay(retries_done, rng),
            (None, Some(delay)) => delay,
            (None, None) => between(default.0, default.1, rng),
        }
    }
}

/// A random duration of whole milliseconds in `[low, high]`.
pub fn between(low: Duration, high: Duration, rng: &mut dyn Rng) -> Duration {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if high <= low {
        return low;
    }
    Duration::from_millis(rng.random_range(millis(low)..=millis(high)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    #[test]
    fn waits_grow_up_to_the_maximum() {
        let mut rng = StdRng::seed_from_u64(1);
        let policy = Backoff {
            min: Duration::from_secs(1),
            max: Duration::from_secs(120),
            factor: 2.0,
            jitter: false,
        };
        let seconds: Vec<u64> = (0..9)
            .map(|n| policy.delay(n, &mut rng).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(policy.delay(u32::MAX, &mut rng), policy.max);
    }

    #[test]
    fn jitter_stays_between_the_minimum_and_the_computed_wait() {
        let mut rng = StdRng::seed_from_u64(2);
        let policy = Backoff {
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
            factor: 3.0,
            jitter: true,
        };
        for n in 0..50 {
            let delay = policy.delay(n, &mut rng);
            assert!(delay >= policy.min && delay <= policy.max, "{delay:?}");
        }
    }
}
