//! Scalars of the Jobs API (`formicary-api` 1.2).

use std::fmt;
use std::time::Duration;

use colony_core::time::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds between 0001-01-01 and 1970-01-01.
const UNSET_MILLIS: i64 = -62_135_596_800_000;

/// A time: RFC 3339 in UTC with as many fractional digits as needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl Time {
    /// What an unset time that cannot be null shows: `0001-01-01T00:00:00Z`.
    pub const UNSET: Self = Self(Timestamp::from_millis(UNSET_MILLIS));

    /// The time itself, unless unset.
    pub fn get(self) -> Option<Timestamp> {
        (self != Self::UNSET).then_some(self.0)
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::UNSET
    }
}

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl From<Option<Timestamp>> for Time {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::UNSET, Self)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let digits = text.strip_suffix('Z').unwrap_or(&text);
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        // Zeros of whole seconds are not fractional digits.
        let shortest = text.find('.').unwrap_or(digits.len());
        let end = digits.len().max(shortest);
        write!(f, "{}Z", &text[..end])
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A duration in output: integer nanoseconds; 0 = unset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// From whole milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(u64::try_from(nanos.0).unwrap_or(0))
    }
}

/// A duration in input: integer nanoseconds, or text such as `90s` or `1h30m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a duration: integer nanoseconds or text such as \"90s\""
)]
pub enum DurationInput {
    /// Nanoseconds.
    Nanos(i64),
    /// Decimal numbers with units, as in definitions.
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_drop_zeros_that_say_nothing() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (100, "1970-01-01T00:00:00.1Z"),
            (10, "1970-01-01T00:00:00.01Z"),
            (1_754_288_919_123, "2025-08-04T06:28:39.123Z"),
            (1_754_288_920_000, "2025-08-04T06:28:40Z"),
        ] {
            let time = Time(Timestamp::from_millis(millis));
            assert_eq!(time.to_string(), text);
            let json = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), time);
        }
        assert_eq!(Time::UNSET.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(Time::UNSET.get(), None);
    }

    #[test]
    fn durations_come_as_numbers_and_texts() {
        let check = |json: &str, expected: Option<DurationInput>| {
            assert_eq!(serde_json::from_str(json).ok(), expected, "{json}");
        };
        check("5", Some(DurationInput::Nanos(5)));
        check("\"5s\"", Some(DurationInput::Text("5s".to_owned())));
        check("1.5", None);
        check("true", None);
    }
}
