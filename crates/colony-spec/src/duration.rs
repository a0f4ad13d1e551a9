//! Durations in Go syntax with `d` and `w` added (`job-definitions` 1.6).

use std::time::Duration;

use serde::Serializer;

/// The longest duration: 2^63 − 1 nanoseconds, the limit of Go. Longer ones are cut to it.
pub const MAX_DURATION: Duration = Duration::from_nanos(i64::MAX as u64);

/// Text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// A number other than 0 without a unit.
    #[error("cannot parse `{0}` as a duration, add a unit")]
    NoUnit(String),
    /// Anything else.
    #[error("cannot parse `{0}` as a duration")]
    Malformed(String),
}

const NANOS: [(&str, u64); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];
const WEEK_NANOS: u64 = 604_800_000_000_000;

/// Reads one or more `<decimal><unit>` such as `90s`, `1h30m`, `1.5h` or `7d`; `0` alone is valid.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let malformed = || ParseDurationError::Malformed(text.to_owned());
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if !rest.is_empty() && rest.parse::<f64>().is_ok() {
        return Err(ParseDurationError::NoUnit(text.to_owned()));
    }
    if rest.is_empty() {
        return Err(malformed());
    }
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let number_end = end_of(rest, |c| c.is_ascii_digit() || c == '.');
        let (number, after) = rest.split_at(number_end);
        let (unit, after) = after.split_at(end_of(after, |c| !c.is_ascii_digit() && c != '.'));
        let scale = unit_nanos(unit).ok_or_else(malformed)?;
        nanos = nanos.saturating_add(scaled(number, scale).ok_or_else(malformed)?);
        rest = after;
    }
    Ok(Duration::from_nanos(nanos).min(MAX_DURATION))
}

fn end_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn unit_nanos(unit: &str) -> Option<u64> {
    if unit == "w" {
        return Some(WEEK_NANOS);
    }
    let known = NANOS.iter().find(|(name, _)| *name == unit)?;
    Some(known.1)
}

/// `number × scale` in whole nanoseconds, exact for the integer part.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().unwrap_or(u64::MAX),
    };
    // Digits that are worth less than a nanosecond are cut, as in Go.
    let fraction: String = fraction.chars().take(18).collect();
    let part = match fraction.parse::<u128>() {
        Ok(digits) => digits * u128::from(scale) / 10u128.pow(u32::try_from(fraction.len()).ok()?),
        Err(_) => 0,
    };
    let part = u64::try_from(part).unwrap_or(u64::MAX);
    Some(whole.saturating_mul(scale).saturating_add(part))
}

/// Prints a duration as Go does: `1h30m0s`, `1.5s`, `250ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.min(MAX_DURATION).as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000)),
        _ => clock_text(nanos),
    }
}

fn clock_text(nanos: u128) -> String {
    let minutes_all = nanos / 60_000_000_000;
    let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
    match (minutes_all / 60, minutes_all % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `nanos / unit` with as many decimals as needed.
fn decimal(nanos: u128, unit: u128) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", nanos / unit, nanos % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Serializes a duration as integer nanoseconds, the form of the Jobs API.
pub(crate) fn as_nanos<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    serializer.serialize_i64(nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(input: &str, expected: Result<&str, &str>) {
        let actual = parse_duration(input)
            .map(format_duration)
            .map_err(|error| error.to_string());
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(actual, expected, "{input:?}");
    }

    #[test]
    fn go_syntax_with_days_and_weeks() {
        check("90s", Ok("1m30s"));
        check("1h30m", Ok("1h30m0s"));
        check("1.5h", Ok("1h30m0s"));
        check("7d", Ok("168h0m0s"));
        check("1w", Ok("168h0m0s"));
        check("0", Ok("0s"));
        check(".5s", Ok("500ms"));
        check("1.s", Ok("1s"));
        check("1500us", Ok("1.5ms"));
        check("1500ns", Ok("1.5µs"));
        check("3µs", Ok("3µs"));
        check("0.1s", Ok("100ms"));
        check("999999999999999h", Ok("2562047h47m16.854775807s"));
    }

    #[test]
    fn refusals_say_what_is_missing() {
        check("10", Err("cannot parse `10` as a duration, add a unit"));
        check("1.5", Err("cannot parse `1.5` as a duration, add a unit"));
        for bad in [
            "", "h", "1x", ".s", "1..5s", "-1s", "1h 30m", "1hs", "0x1s", "1e3s",
        ] {
            check(bad, Err(&format!("cannot parse `{bad}` as a duration")));
        }
    }

    proptest! {
        #[test]
        fn printed_durations_read_back(nanos in 0..=i64::MAX as u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[0-9.a-zµ -]{0,30}|.{0,20}") {
            let _ = parse_duration(&text);
        }
    }
}
