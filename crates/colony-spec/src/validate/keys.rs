//! Warns of keys that look like a slip: unknown keys are legal and ignored, so a misspelled
//! `on_completed` would silently end the job early.

use crate::suggest::nearest;
use crate::validate::Check;
use crate::yaml::{Kind, Node};

const JOB_KEYS: [&str; 30] = [
    "cron_trigger",
    "delay_between_retries",
    "description",
    "dynamic_template_tasks",
    "hard_reset_after_retries",
    "job_type",
    "job_variables",
    "max_concurrency",
    "methods",
    "notify",
    "pause_time",
    "platform",
    "public_plugin",
    "required_params",
    "resources",
    "retention_days_for_cancelled",
    "retention_days_for_completed",
    "retention_days_for_failed",
    "retry",
    "retry_backoff_policy",
    "sem_version",
    "skip_if",
    "tags",
    "tasks",
    "timeout",
    "triggers",
    "url",
    "webhook",
    "disabled",
    "filter",
];

const TASK_KEYS: [&str; 58] = [
    "affinity",
    "after_script",
    "allow_failure",
    "allow_start_if_completed",
    "always_run",
    "approval_policy",
    "artifact_ids",
    "artifact_key_prefix",
    "artifacts",
    "artifacts_dir",
    "await_forked_tasks",
    "before_script",
    "cache",
    "cache_dir",
    "container",
    "cost_factor",
    "debug",
    "delay_between_retries",
    "dependencies",
    "dependent_artifact_ids",
    "description",
    "environment",
    "except",
    "execute_command_without_shell",
    "fan_out",
    "fork_job_type",
    "fork_job_version",
    "headers",
    "helper",
    "helper_environment",
    "host_network",
    "job_version",
    "messaging_reply_queue",
    "messaging_request_queue",
    "method",
    "name",
    "network_mode",
    "node_selector",
    "node_tolerations",
    "on_completed",
    "on_exit_code",
    "on_failed",
    "pod_annotations",
    "pod_labels",
    "privileged",
    "query",
    "report_stdout",
    "resources",
    "retry",
    "retry_backoff_policy",
    "script",
    "services",
    "sub_workflow",
    "tags",
    "task_type",
    "timeout",
    "variables",
    "worker_type",
];

/// Known to more readers than the two lists, or too short to guess about.
const OTHER_KEYS: [&str; 3] = ["url", "webhook", "working_dir"];

impl Check<'_> {
    pub(super) fn keys(&mut self) {
        let mut slips = near_misses(self.root, &JOB_KEYS);
        for task in self.root.get("tasks").map_or(&[][..], Node::items) {
            slips.extend(near_misses(task, &TASK_KEYS));
        }
        for (span, key, near) in slips {
            let message = format!("unknown key `{key}` is ignored");
            self.warn_at(span, message, format!("did you mean `{near}`?"));
        }
    }
}

/// Keys of one mapping that are looked at.
const KEYS_MAX: usize = 500;

type Slip = (crate::span::Span, String, &'static str);

/// Keys of a mapping that are unknown and near to a known one.
fn near_misses(node: &Node, known: &'static [&'static str]) -> Vec<Slip> {
    let Kind::Map(entries) = &node.kind else {
        return Vec::new();
    };
    let is_known = |key: &str| known.contains(&key) || OTHER_KEYS.contains(&key);
    entries
        .iter()
        .take(KEYS_MAX)
        .filter(|entry| !is_known(&entry.key) && entry.key.len() > 3)
        .filter_map(|entry| {
            let near = nearest(&entry.key, known.iter().copied().chain(OTHER_KEYS))?;
            // A key beside the one it resembles is no slip.
            let twin = node.get(near).is_some();
            (!twin).then(|| (entry.key_span, entry.key.clone(), near))
        })
        .collect()
}
