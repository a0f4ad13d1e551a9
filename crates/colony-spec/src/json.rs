//! Definitions written as JSON (`formicary-api` 1.2): durations may be integer nanoseconds there,
//! which is how definitions are shown. In YAML a duration is always text.

use std::time::Duration;

use serde_json::Value;

use crate::duration::format_duration;

/// Where durations are: members of the job, of its tasks, and of its triggers.
const OF_JOB: &[&str] = &[
    "timeout",
    "pause_time",
    "delay_between_retries",
    "retry_backoff_policy/min",
    "retry_backoff_policy/max",
];
const OF_TASKS: &[&str] = &[
    "timeout",
    "delay_between_retries",
    "retry_backoff_policy/min",
    "retry_backoff_policy/max",
    "approval_policy/sla_deadline",
    "artifacts/expires_after",
    "cache/expires_after",
];
const OF_TRIGGERS: &[&str] = &["poll_interval", "rate_limit/window"];

/// Writes integer durations of a definition as text.
pub(crate) fn durations_as_text(definition: &mut Value) {
    write(definition, OF_JOB);
    for (list, members) in [("tasks", OF_TASKS), ("triggers", OF_TRIGGERS)] {
        let items = definition.get_mut(list).and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            write(item, members);
        }
    }
}

fn write(object: &mut Value, members: &[&str]) {
    for member in members {
        if let Some(value) = object.pointer_mut(&format!("/{member}"))
            && let Some(nanos) = value.as_u64()
        {
            *value = format_duration(Duration::from_nanos(nanos)).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_integer_durations_change() {
        let mut definition = json!({
            "timeout": 90_000_000_000_u64, "pause_time": "5s", "retry": 3,
            "job_variables": {"timeout": 7}, "retry_backoff_policy": {"min": 0, "max": 5},
            "tasks": [{"timeout": 1_000_000, "variables": {"timeout": 7}, "cache": null}, 7],
            "triggers": [{"rate_limit": {"max": 3, "window": 60_000_000_000_u64}}]
        });
        durations_as_text(&mut definition);
        let expected = json!({
            "timeout": "1m30s", "pause_time": "5s", "retry": 3,
            "job_variables": {"timeout": 7}, "retry_backoff_policy": {"min": "0s", "max": "5ns"},
            "tasks": [{"timeout": "1ms", "variables": {"timeout": 7}, "cache": null}, 7],
            "triggers": [{"rate_limit": {"max": 3, "window": "1m0s"}}]
        });
        assert_eq!(definition, expected);
        for other in [json!([]), json!("x"), json!({"tasks": {}})] {
            let mut same = other.clone();
            durations_as_text(&mut same);
            assert_eq!(same, other);
        }
    }
}
